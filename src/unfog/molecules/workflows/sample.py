"""``unfog sample`` of a run of molecules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.numpy_files import write_array
from unfog.molecules.files import write_sdf, write_xyz
from unfog.molecules.metrics import report
from unfog.molecules.properties import asked_property
from unfog.molecules.sizes import draw_sizes, masks_of
from unfog.molecules.state import molecules_of
from unfog.molecules.workflows.page import page_of
from unfog.runs.machine import AUTO
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw

BATCH = 64


def sample_molecules(
    source: str | Path,
    count: int | None,
    out: Path,
    *,
    atoms: int | None = None,
    asked: str | None = None,
    guidance: float | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Draw molecules into a new folder: molecules.sdf with bonds, molecules.xyz, samples.npy, and a
    report of their figures.

    Args:
        source: A run's folder, or the name of a shipped prior.
        count: How many; 16 by default.
        out: The new folder.
        atoms: Of each; as the training data have them by default.
        asked: Properties, such as "gap=5.2", in their units, comma between several.
        guidance: Scale of classifier-free guidance towards the properties.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        seed: Sample k depends on (seed, k) alone.
        precision: Of the network.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: The run knows no such property, or no molecule of that size.
    """
    with job(out) as work:
        run = Run.open(source).in_precision(precision)
        count = 16 if count is None else count
        if guidance is not None and asked is None:
            raise InputError("Guidance needs a property to guide towards; give --property too.")
        plan, ids = Plan.of(run, sampler, steps), range(count)
        prior = run.config["sampling"]["sizes"]
        sizes = draw_sizes(prior, ids, seed) if atoms is None else [atoms] * count
        condition: dict[str, Tensor] = {"mask": masks_of(sizes, run.shape[1])}
        if asked is not None:
            condition["property"] = asked_property(run, asked).expand(count, -1)
        x = draw(
            run,
            plan,
            ids,
            seed,
            condition=condition,
            guidance=guidance,
            batch=BATCH,
            report=work.progress("sampling"),
        )
        drawn = molecules_of(x, condition["mask"])
        figures = report(drawn).figures()
        write_array(work.folder / "samples.npy", x.numpy())
        write_sdf(work.folder / "molecules.sdf", drawn)
        write_xyz(work.folder / "molecules.xyz", drawn)
        summary = {
            "run": run.name,
            "samples": count,
            "seed": seed,
            **plan.names,
            "atoms": atoms,
            "property": asked,
            "guidance": guidance,
            "precision": run.precision,
            **{name: share["value"] for name, share in figures.items()},
        }
        work.write_report(page_of(drawn, figures, summary).html())
        return work.end(summary)
