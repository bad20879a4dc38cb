"""``unfog sample`` of a run of molecules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.numpy_files import write_array
from unfog.molecules.files import read_molecules, write_sdf, write_xyz
from unfog.molecules.fragment import Fragment, fragment_of
from unfog.molecules.keep import keeping, told_of
from unfog.molecules.metrics import report
from unfog.molecules.sizes import draw_sizes, masks_of
from unfog.molecules.state import molecules_of
from unfog.molecules.workflows.page import page_of
from unfog.progress import Report
from unfog.runs.machine import AUTO
from unfog.runs.properties import asked_properties
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.sampling.loop import Sampler

BATCH = 64


def sample_molecules(
    source: str | Path,
    count: int | None,
    out: Path,
    *,
    atoms: int | None = None,
    asked: str | None = None,
    guidance: float | None = None,
    keep: Path | None = None,
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
        keep: A file of one fragment, or of pieces to be linked, that every molecule keeps, by
            RePaint.
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
            told = asked_properties(run, asked)
            condition |= {name: value.expand(count, -1) for name, value in told.items()}
        kept = None if keep is None else _kept(run, keep, sizes)
        x = _draw(run, plan, condition, guidance, kept, seed, work.progress("sampling"))
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
            **({} if keep is None else {"keep": keep.name}),
            "precision": run.precision,
            **{name: share["value"] for name, share in figures.items()},
        }
        work.write_report(page_of(drawn, figures, summary).html())
        return work.end(summary)


Kept = tuple[Fragment, Tensor]  # the operator, and its measurement on the model's scale (1, ...)


def _kept(run: Run, path: Path, sizes: Sequence[int]) -> Kept:
    """The fragment that every molecule keeps; ``InputError`` where one is not larger."""
    (fragment, *more) = read_molecules(path)
    if more:
        raise InputError(f"{path.name} holds {1 + len(more)} molecules; give one fragment.")
    operator, y = fragment_of(fragment, run.shape[1])
    if min(sizes) <= len(fragment):
        raise InputError(
            f"{path.name} has {len(fragment)} atoms and a molecule {min(sizes)}; ask for more by "
            "--atoms."
        )
    return operator, run.codec.encode(y)


def _draw(
    run: Run,
    plan: Plan,
    condition: Mapping[str, Tensor],
    guidance: float | None,
    kept: Kept | None,
    seed: int,
    report: Report,
) -> Tensor:
    """Molecules in natural units, (molecules, 9, atoms), those with a fragment by RePaint."""
    total, parts = len(condition["mask"]), []
    for start in range(0, total, BATCH):
        ids = range(start, min(start + BATCH, total))
        some = {name: value[start : start + BATCH] for name, value in condition.items()}
        sampler: Sampler = plan.sampler
        if kept is not None:
            operator, y = kept
            known = y.expand(len(ids), -1, -1)
            sampler = keeping(run, plan.sampler, operator, known)
            some |= told_of(run, operator, len(ids))
        own = replace(plan, sampler=sampler)
        parts.append(draw(run, own, ids, seed, condition=some, guidance=guidance, batch=BATCH))
        report(len(ids) + start, total)
    return torch.cat(parts)
