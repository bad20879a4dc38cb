"""``unfog evaluate`` of molecules: a run's draws, or a file of them, beside real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from unfog.data.dataset import Dataset
from unfog.errors import InputError, MissingExtra
from unfog.evaluation.judgement import LEAST
from unfog.files.folder import job
from unfog.files.output import write_json
from unfog.molecules.chemnet import LEAST as FEWEST
from unfog.molecules.chemnet import chemnet_distance
from unfog.molecules.files import read_molecules
from unfog.molecules.metrics import report, smiles_of
from unfog.molecules.molecule import Molecule
from unfog.molecules.sizes import draw_sizes, masks_of
from unfog.molecules.state import molecules_of
from unfog.molecules.workflows.page import page_of
from unfog.progress import Report
from unfog.runs.machine import AUTO
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.workflows.judged import data_against
from unfog.workflows.kinds import is_molecules

COUNT = 1000
FILES = (".sdf", ".xyz")


def takes(source: Path) -> bool:
    """Whether what is to be judged are molecules: a run of them, or a file."""
    return source.suffix.lower() in FILES or is_molecules(source)


def evaluate_molecules(
    source: Path,
    out: Path,
    *,
    against: str | None = None,
    count: int | None = None,
    steps: int | None = None,
    sampler: str | None = None,
    seed: int = 0,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Judge molecules beside real ones, into a new folder with figures.json and report.html.

    Args:
        source: A run, a shipped prior's name, or an SDF or XYZ file.
        out: The new folder.
        against: The data: a name, a file or a folder; those of the run by default.
        count: Molecules; 1000 of a run and all of a file by default.
        steps: Sampler steps of a run.
        sampler: Its sampler.
        seed: Of draws, and of which real ones are taken.
        precision: Of a run's network.

    Returns:
        The summary: figures of the molecules, of as many real ones as their floor, and, where the
        library fcd is installed, the Fréchet ChemNet distance of both to other real ones.
    """
    with job(out) as work:
        data = data_against(source, against)
        how = (count, steps, sampler, seed, precision)
        drawn = _molecules(source, *how, report=work.progress("sampling"))
        if min(len(drawn), len(data) // 2) < LEAST:
            raise InputError(
                f"There are {len(drawn)} molecules to judge beside {len(data)} real ones; figures "
                f"need at least {LEAST}, and twice as many real ones."
            )
        work.progress("measuring")
        order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
        n = min(len(drawn), len(data) // 2)
        real, others = (_real(data, rows) for rows in (order[:n], order[n : n + max(n, 2000)]))
        figures, floor = report(drawn).figures(), report(real).figures()
        summary = {
            "run" if is_molecules(source) else "file": source.name,
            "n": len(drawn),
            "real": n,
            "reference": len(others),
            "seed": seed,
            **{name: share["value"] for name, share in figures.items()},
            "floor": {name: share["value"] for name, share in floor.items()},
            **_chemnet(drawn, real, others),
        }
        write_json(work.folder / "figures.json", summary)
        work.write_report(page_of(drawn, figures, {"run": source.name} | summary).html())
        return work.end(summary)


def _molecules(
    source: Path,
    count: int | None,
    steps: int | None,
    sampler: str | None,
    seed: int,
    precision: str,
    report: Report,
) -> list[Molecule]:
    """The molecules of a file, or drawn by a run."""
    if not is_molecules(source):
        found = read_molecules(source)
        return found if count is None else found[:count]
    run = Run.open(source).in_precision(precision)
    ids = range(COUNT if count is None else count)
    mask = masks_of(draw_sizes(run.config["sampling"]["sizes"], ids, seed), run.shape[1])
    x = draw(
        run,
        Plan.of(run, sampler, steps),
        ids,
        seed,
        condition={"mask": mask},
        batch=64,
        report=report,
    )
    return molecules_of(x, mask)


def _real(data: Dataset, rows: torch.Tensor) -> list[Molecule]:
    batch = data.batch(rows.tolist())
    return molecules_of(batch["x"], batch["mask"])


def _chemnet(drawn: list[Molecule], real: list[Molecule], others: list[Molecule]) -> dict[str, Any]:
    """The distance of valid molecules, or why there is none."""
    smiles = [
        [one for one in map(smiles_of, part) if one is not None] for part in (drawn, real, others)
    ]
    n = min(map(len, smiles[:2]))
    if min(n, len(smiles[2])) < FEWEST:
        return {"frechet chemnet": f"fewer than {FEWEST} valid molecules"}
    try:
        found = chemnet_distance(smiles[0][:n], smiles[1][:n], smiles[2])
    except MissingExtra as error:
        return {"frechet chemnet": str(error)}
    return {"frechet chemnet": found.plain()}
