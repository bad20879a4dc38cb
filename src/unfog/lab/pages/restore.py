"""Restore: a file is dropped, and comes back with its uncertainty: ``unfog restore``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unfog.lab.examples import Example
from unfog.lab.form import CHOICE, FILE, NUMBER, Answers, Choice, Field, FieldError
from unfog.lab.job import RESULT, Job
from unfog.lab.page import Made, Page
from unfog.lab.painted import is_picture, size_of
from unfog.lab.results import named
from unfog.lab.runs_folder import Listed, RunsFolder, priors
from unfog.workflows.tasks import TASKS

AUTO = Choice("auto", "auto: chosen for a scan")
OFFERED = ("denoise", "inpaint", "superres", "deblur", "colorize", "slices", "shading")
PRIORS = ("t1-slices", "head-ct", "head", "fashion", "garments", "textures", "emoji")
MODELS = (Choice("gaussian", "Gaussian"), Choice("rician", "Rician: magnitude MRI"))
PICTURES = ".png,.jpg,.jpeg,.tif,.tiff,.npy,.nii,.nii.gz,.dcm,.zip"


def _named(listed: Listed) -> Choice:
    """A run as a choice, with the size of what it knows."""
    size = " x ".join(map(str, listed.space))
    return Choice(listed.id, f"{listed.label} ({size})" if size else listed.label)


def _fields(runs: RunsFolder) -> Sequence[Field]:
    models = [AUTO, *(_named(p) for p in priors() if p.id in PRIORS), *map(_named, runs.runs())]
    tasks = [Choice(name, f"{name}: {TASKS[name].help}") for name in OFFERED]
    return (
        Field("scan", "Picture or scan", FILE, accept=PICTURES, required=True,
              help="PNG, NIfTI, NumPy, or a zip of a DICOM series."),
        Field("task", "What to undo", CHOICE, "--task", "denoise", choices=tasks, required=True),
        Field("run", "Model", CHOICE, default="auto", choices=models, required=True,
              help="Of pictures like yours; a shipped prior, or a run of yours."),
        Field("mask", "Mask", FILE, "--mask", accept=".png,.npy,.nii,.nii.gz",
              help="Not 0 where the input is to be filled in.", only=("task", ("inpaint",)),
              paint="scan"),
        Field("factor", "Times finer", NUMBER, "--factor", "4", step="1",
              only=("task", ("superres", "slices"))),
        Field("blur", "Blur in pixels", NUMBER, "--blur", "1.5", only=("task", ("deblur",))),
        Field("noise", "Noise", option="--noise", default="auto",
              help="Standard deviation in the input's units, or auto."),
        Field("noise_model", "Its law", CHOICE, "--noise-model", "gaussian", choices=MODELS),
        Field("samples", "Restorations to draw", NUMBER, "--samples", "4", step="1",
              help="Their spread is the uncertainty."),
        Field("steps", "Steps", NUMBER, "--steps", step="1", help="The model's own without."),
        Field("seed", "Seed", NUMBER, "--seed", "0", step="1"),
    )  # fmt: skip


def _command(answers: Answers, runs: RunsFolder) -> Made:
    """``unfog restore RUN SCAN ...``; a law of noise that is the default is left out, as some
    tasks take none.
    """
    values = dict(answers.values)
    _require_size(answers)
    if values.get("noise_model") == "gaussian":
        del values["noise_model"]
    run = "auto" if values["run"] == "auto" else runs.get(values["run"]).told
    options = Answers(values, {}).options(_fields(runs))
    return Made(["restore", run, values["scan"], *options, "--out", RESULT, "--json"])


def _require_size(answers: Answers) -> None:
    """``FieldError`` where a picture's mask has other sizes."""
    scan, mask = (answers.files.get(answers.values.get(name, "")) for name in ("scan", "mask"))
    if scan is None or mask is None or not (is_picture(scan) and is_picture(mask)):
        return
    found, expected = size_of(mask), size_of(scan)
    if found != expected:
        raise FieldError(
            "mask",
            f"The mask is {found[0]} x {found[1]} pixels and the picture {expected[0]} x "
            f"{expected[1]}; paint it over this picture, or give one of its size.",
        )


def _view(job: Job, folder: Path) -> Mapping[str, Any]:
    """Before, after and uncertainty; the input is shown where a browser can show it."""
    inputs = named(folder, "scan")
    return {"before": inputs, "after": named(folder, "mean"), "spread": named(folder, "std")}


PAGE = Page(
    name="restore",
    title="Restore",
    lead="Drop a degraded picture or scan; it comes back restored, with how sure each pixel is.",
    submit="Restore",
    fields=_fields,
    command=_command,
    view=_view,
    examples=(
        Example(
            "t1",
            "A noisy T1 slice",
            {"task": "denoise", "run": "t1-slices", "noise": "20", "samples": "4", "steps": "12"},
            {"scan": "t1-noisy.png"},
        ),
        Example(
            "shirt",
            "A shirt with a hole",
            {"task": "inpaint", "run": "garments", "noise": "2", "samples": "4", "steps": "20"},
            {"scan": "shirt.png", "mask": "hole.png"},
        ),
    ),
)
