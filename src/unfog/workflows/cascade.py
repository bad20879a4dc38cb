"""Cascades on files: ``unfog train``, ``sample`` and ``edit`` of a cascade."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.formats import format_for, read_scan
from unfog.files.numpy_files import keep_array, kept_array, write_array
from unfog.files.scans import Look
from unfog.runs.cascade import (
    TrainedCascade,
    Wanted,
    at,
    draw_cascade,
    is_cascade,
    mark,
    stage_settings,
)
from unfog.runs.cascade_edit import between, decoder_of, variations
from unfog.runs.machine import AUTO
from unfog.runs.prompts import Prompt
from unfog.runs.run import data_range
from unfog.runs.train import train_system
from unfog.systems.cascades import cascades
from unfog.workflows.prompts import read_prompts, write_names

__all__ = ["cascades", "edit_by_cascade", "is_cascade", "sample_cascade", "train_stage"]


def train_stage(
    name: str,
    which: str | None,
    data: str | None,
    out: Path,
    overrides: Sequence[str] = (),
    **options: Any,
) -> dict[str, Any]:
    """Train one stage of a cascade.

    Args:
        name: The cascade.
        which: The stage, by name or by number from 1.
        data: A data set by name or a folder of pictures with captions; the cascade's by default.
        out: The cascade's folder.
        overrides: Settings, each "key=value".
        **options: Others of ``runs.train.train_system``: resume, minutes.

    Returns:
        The summary of the training.

    Raises:
        InputError: There is no such stage, or one that it needs is not trained.
    """
    cascade = at(name, out)
    if which is None:
        names = [stage.name for stage in cascade.stages]
        raise InputError(f"{name} is trained stage by stage; give --stage one of {_listed(names)}.")
    stage = cascade.stage(which)
    settings = stage_settings(cascade, stage, out)
    if options.get("resume"):
        # A run that goes on has its data and settings.
        settings = []
    else:
        data = data or cascade.data
    result = train_system(stage.system, data, out / stage.name, [*settings, *overrides], **options)
    mark(cascade, out)
    return {"cascade": name, "stage": stage.name, **result}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"{number} ({name})" for number, name in enumerate(names, 1))


def sample_cascade(
    source: Path,
    count: int | None,
    out: Path,
    *,
    text: str | None,
    negative: str | None = None,
    seed: int = 0,
    guidance: float | None = None,
    level: float = 0.0,
    steps: int | None = None,
    seamless: bool = False,
    windows: bool = False,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Draw pictures of a cascade for prompts into a new folder. What each stage has drawn is kept
    beside it until the last is done, so that a work that was cut off goes on there.

    Args:
        source: The cascade's folder.
        count: Samples of each prompt; 16 of one, 1 of each of several, by default.
        out: The new folder.
        text: A prompt, or "@FILE" for a file of one a line.
        negative: What samples are to be unlike.
        seed: Sample k depends on (seed, k) and its prompt alone.
        guidance: Scale of classifier-free guidance; each stage's own by default.
        level: Of the noise in small pictures: the higher, the less an upsampler trusts them.
        steps: Sampler steps of every stage; each stage's own by default.
        seamless: Whether pictures go on at the opposite border.
        windows: Whether pictures larger than a stage's training are made in windows.
        precision: Of the networks: "bf16", "fp32" or "auto".

    Returns:
        The summary that is written there too.
    """
    if text is None:
        raise InputError(f"{source.name} draws what a text says; give --text.")
    with job(out) as work:
        cascade = TrainedCascade.open(source).in_precision(precision)
        prompts = read_prompts(text)
        count = (16 if len(prompts) == 1 else 1) if count is None else count
        wanted = Wanted(
            [prompt for prompt in prompts for _ in range(count)],
            count * len(prompts),
            seed,
            guidance,
            level,
            None if negative is None else Prompt.plain(negative),
            seamless,
            windows,
            steps,
        )
        drafts = _Drafts.of(out, cascade, wanted)
        x = draw_cascade(
            cascade, wanted, known=drafts.known, keep=drafts.keep, report=work.progress
        )
        folder = work.folder
        write_array(folder / "samples.npy", x.numpy())
        last = list(cascade.runs.values())[-1]
        format_for(x.shape[1:], last.config.get("format")).write(
            folder, x.numpy(), Look(*data_range(last), (1.0,) * 3)
        )
        write_names(folder, prompts, count)
        summary = {
            "cascade": cascade.cascade.name,
            "stages": list(cascade.runs),
            "samples": len(x),
            "seed": seed,
            **{k: v for k, v in _stated(wanted, text, negative).items() if v},
        }
        result = work.end(summary)
    drafts.remove()
    return result


def _stated(wanted: Wanted, text: str, negative: str | None) -> dict[str, Any]:
    """What was asked, for the summary."""
    return {
        "text": text,
        "negative": negative,
        "guidance": wanted.guidance,
        "level": wanted.level,
        "steps": wanted.steps,
        "seamless": wanted.seamless,
        "windows": wanted.windows,
    }


class _Drafts:
    """What the stages have drawn so far, in a hidden folder beside the new one, under the hash of
    all that it depends on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, out: Path, cascade: TrainedCascade, wanted: Wanted) -> _Drafts:
        """Those of a piece of work."""
        depends = [
            {name: run.weights_sha256 for name, run in cascade.runs.items()},
            {name: run.precision for name, run in cascade.runs.items()},
            repr(wanted),
        ]
        digest = hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:16]
        return cls(out.parent / f".unfog-stages-{out.name}-{digest}")

    def known(self, stage: str) -> Tensor | None:
        """What a stage has drawn, where it is here."""
        file = self.folder / f"{stage}.npy"
        try:
            shape = np.load(file, mmap_mode="r", allow_pickle=False).shape
        except (OSError, ValueError):
            return None
        kept = kept_array(file, shape, np.float32)
        return None if kept is None else torch.from_numpy(np.array(kept))

    def keep(self, stage: str, drawn: Tensor) -> None:
        keep_array(self.folder / f"{stage}.npy", drawn.float().numpy())

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def edit_by_cascade(
    source: Path,
    path: Path,
    method: str,
    out: Path,
    *,
    other: Path | None = None,
    samples: int = 4,
    seed: int = 0,
    guidance: float | None = None,
    steps: int | None = None,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Pictures of one picture's embedding, or between two pictures, into a new folder.

    Args:
        source: A cascade that knows embeddings of pictures.
        path: The picture.
        method: "variations" or "interpolate".
        out: The new folder.
        other: The second picture of an interpolation.
        samples: How many; in an interpolation both ends are counted.
        seed: Sample k depends on (seed, k) and the pictures alone.
        guidance: Scale of classifier-free guidance; each stage's own by default.
        steps: Sampler steps of every stage; each stage's own by default.
        precision: Of the networks: "bf16", "fp32" or "auto".

    Returns:
        The summary that is written there too.
    """
    if (other is not None) != (method == "interpolate"):
        raise InputError("An interpolation, and it alone, takes a second picture: --other FILE.")
    with job(out, path, other) as work:
        cascade = TrainedCascade.open(source).in_precision(precision)
        wanted = Wanted((), samples, seed, guidance, steps=steps)
        first = _picture(cascade, path)
        if other is None:
            x = variations(cascade, first, wanted, work.progress)
        else:
            x = between(cascade, first, _picture(cascade, other), wanted, work.progress)
        write_array(work.folder / "samples.npy", x.numpy())
        last = list(cascade.runs.values())[-1]
        form = format_for(x.shape[1:], last.config.get("format"))
        form.write(work.folder, x.numpy(), Look(*data_range(last), (1.0,) * 3))
        summary = {"cascade": cascade.cascade.name, "method": method, "input": path.name}
        summary |= {} if other is None else {"other": other.name}
        return work.end({**summary, "samples": samples, "seed": seed})


def _picture(cascade: TrainedCascade, path: Path) -> Tensor:
    """The one picture in a file, (1, channels, rows, columns) in the units of the data."""
    run = decoder_of(cascade)
    scan = read_scan(path, 2, run.shape[0])
    if len(scan.values) != 1:
        raise InputError(f"{path.name} holds {len(scan.values)} pictures; give one.")
    offset, scale = scan.units(*data_range(run))
    return (torch.from_numpy(scan.values).float() - offset) / scale
