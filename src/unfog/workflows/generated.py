"""Samples of a generator's run, and the report of its training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.data.dataset import Dataset, open_dataset
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.output import write_text
from unfog.networks.generator import Variational
from unfog.report import Page, Row
from unfog.report.pictures import shown
from unfog.runs.generated import GeneratorRun
from unfog.runs.record import Record
from unfog.runs.run import data_range
from unfog.training.order import streams
from unfog.workflows.restore_report import planes
from unfog.workflows.run_table import curves
from unfog.workflows.sample import write_samples

LEAD = (
    "A model that draws a sample in one call. What the loss says differs by system: a VAE's is a "
    "bound on the likelihood, a GAN's is the generator's side of a game and says little."
)
SHOWN, MEASURED = 16, 256


def sample_generator(
    source: Path, count: int | None, out: Path, seed: int = 0, label: int | str | None = None
) -> dict[str, Any]:
    """Draw samples of a generator into a new folder, as ``sample_run`` does.

    Args:
        source: The run.
        count: Samples; 16 by default.
        out: The new folder.
        seed: Sample k depends on (seed, k) and its class alone.
        label: The class of all, by number; drawn evenly where it is not given.

    Returns:
        The summary that is written there too.
    """
    with job(out) as work:
        run = GeneratorRun.open(source)
        labels = None if label is None else torch.full((count or 16,), _number(run, label))
        x = run.sample(count or 16, seed=seed, labels=labels, report=work.progress("sampling"))
        write_samples(run, work.folder, x)
        return work.end({"run": run.name, "samples": len(x), "seed": seed, "class": label})


def _number(run: GeneratorRun, label: int | str) -> int:
    """The class that a user asks a generator for."""
    if not str(label).isdigit():
        raise InputError(f"The classes of {run.name} are asked for by number, not {label!r}.")
    return int(label)


def report_generator(out: Path) -> dict[str, Any]:
    """Write the report.html of a trained generator: samples beside data, and its loss.

    Args:
        out: The run's folder.

    Returns:
        Figures for the summary: of a VAE its bound, in nats a sample.
    """
    run = GeneratorRun.open(out)
    dataset = open_dataset(run.config["data"])
    x = run.sample(SHOWN)
    page, figures = Page(f"unfog train {run.config['system']}", LEAD), bound_of(run, dataset)
    if figures:
        page.facts([(f"{value:.4g}", name) for name, value in figures.items()])
    if x.ndim > 3 and x.shape[1] in (1, 3):
        real = dataset.batch(torch.arange(min(SHOWN, len(dataset))))["x"]
        low, high = data_range(run)
        rows = [(name, planes(part)[: SHOWN // 2]) for name, part in (("data", real), ("drawn", x))]
        page.section("Data and samples")
        page.pictures(
            [Row(name, [shown(p, low, high) for p in part]) for name, part in rows],
            f"From {low:g} to {high:g}.",
        )
    page.section("Training")
    page.chart(curves([Record.of(out)]), "step", "loss", "The loss of the last turn of each step.")
    page.provenance({**run.config["training"], **figures}, "The run of this page.")
    write_text(out / "report.html", page.html(), overwrite=True)
    return {**figures, "report": str(out / "report.html")}


@torch.no_grad()
def bound_of(run: GeneratorRun, dataset: Dataset) -> dict[str, float]:
    """The evidence bound of a VAE on the model's scale, over some of the data, in nats a sample; of
    a GAN nothing, as it has none.
    """
    if not isinstance(run.model, Variational):
        return {}
    ids = torch.linspace(0, len(dataset) - 1, min(MEASURED, len(dataset))).round().long()
    nll, kl = [], []
    for part in torch.split(ids, 64):
        batch = dataset.batch(part)
        x: Tensor = run.codec.encode(batch["x"])
        label = None if run.label is None else batch[run.label]
        found = run.model.bound(x, streams("bound", 0, 0, part.tolist()), label)
        nll.append(found.nll)
        kl.append(found.kl)
    rate, distortion = float(torch.cat(kl).mean()), float(torch.cat(nll).mean())
    return {"nats in the latents": rate, "nats a sample, at most": distortion + rate}
