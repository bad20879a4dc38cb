"""Molecules: what a run draws beside the published rows, and whether it has what was asked for.

    python benchmarks/molecules.py samples RUN -n 1000 --out JSON
    python benchmarks/molecules.py property RUN --minutes 5 -n 200 --out JSON
    python benchmarks/molecules.py scaffold RUN -n 100 --out JSON

`samples` tells stability, validity, uniqueness and novelty with n and 95 % intervals, and how the
lengths and angles of bonds differ from those of held-out molecules (Wasserstein distances; the
floor is another held-out part); of the first `RELAXED` also PoseBusters' checks, the strain by
MMFF94 and what GFN2-xTB's relaxation changes, where these are installed. The published rows are
those that the papers print, of 10 000 samples of models trained for days on a GPU.
`property` takes a run that was trained with `data.half=1 data.properties=gap`: it trains a judge of
the gap on the other half, prints its own error, and correlates the gaps asked for with those that
the judge sees.
`scaffold` keeps the places and elements of a ring of five or six atoms of each of n held-out
molecules and draws the rest, as many atoms as the molecule has, beside free molecules of the same
sizes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_record
from torch import Tensor, nn

import unfog
from unfog.builtin import open_run
from unfog.core.conditioning import Context
from unfog.errors import MissingExtra
from unfog.molecules.egnn import EGNN
from unfog.molecules.files import to_rdkit
from unfog.molecules.fragment import Fragment
from unfog.molecules.keep import keeping, told_of
from unfog.molecules.metrics import bond_angles, bond_lengths, report, smiles_of, wasserstein
from unfog.molecules.molecule import Molecule
from unfog.molecules.qm9 import QM9
from unfog.molecules.sizes import draw_sizes, masks_of
from unfog.molecules.state import molecules_of, states
from unfog.molecules.strain import gfn2_relaxation, mmff_strain, posebusters, rmsd
from unfog.runs.machine import processor
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.runs.sample import draw as draw_states

PUBLISHED = {  # atom and molecule stability, validity, validity x uniqueness, in percent
    "EDM (Hoogeboom et al. 2022)": [98.7, 82.0, 91.9, 90.7],
    "GeoLDM (Xu et al. 2023)": [98.9, 89.4, 93.8, 92.7],
    "EquiFM (Song et al. 2023)": [98.9, 88.3, 94.7, 93.5],
    "G-SchNet (Gebauer et al. 2019)": [95.7, 68.1, 85.5, 80.3],
}
BATCH = 100
RELAXED = 50  # molecules that are relaxed and checked one by one
SCALES = (1.0, 4.0, 8.0, 12.0)  # of guidance
RINGS = (5, 6)  # atoms of the rings that are kept


def draw(
    run: Run, n: int, seed: int = 0, told: Tensor | None = None, guidance: float | None = None
) -> tuple[Any, float]:
    """Molecules, and CPU seconds for each."""
    sizes = draw_sizes(run.config["sampling"]["sizes"], range(n), seed)
    condition = {"mask": masks_of(sizes, run.shape[1])}
    if told is not None:
        condition["property"] = told
    begun = time.process_time()
    x = run.sample(n, seed=seed, condition=condition, guidance=guidance, batch=BATCH)
    seconds = (time.process_time() - begun) / n
    return molecules_of(x, condition["mask"]), seconds


def distances(drawn: list[Molecule], real: list[Molecule]) -> dict[str, float]:
    """Wasserstein distances of bond lengths in picometres, and of angles in degrees."""
    ours, theirs = bond_lengths(drawn), bond_lengths(real)
    common = sorted(k for k in theirs if len(theirs[k]) > 100 and len(ours.get(k, ())) > 20)
    lengths = {k: round(100 * wasserstein(ours[k], theirs[k]), 3) for k in common}
    angles = wasserstein(bond_angles(drawn), bond_angles(real))
    return {**lengths, "angles": round(angles, 3)}


def samples(run: Run, n: int) -> dict[str, Any]:
    drawn, seconds = draw(run, n)
    train, test = QM9("train"), QM9("test")
    known = {text for k in range(0, len(train), 4) if (text := smiles_of(train.molecule(k)))}
    real, other = ([test.molecule(k) for k in range(start, 6000, 2)] for start in (0, 1))
    return {
        "n": n,
        "cpu_seconds_a_molecule": seconds,
        "figures": report(drawn, known).figures(),
        "novelty_against": "a quarter of the training molecules",
        "at_rest": at_rest(drawn[:RELAXED]),
        "at_rest_data": at_rest(real[:RELAXED]),
        "distances": distances(drawn, real),
        "floor": distances(other, real),
        "data": report(real[:1000]).figures(),
        "published": PUBLISHED,
    }


def at_rest(molecules: list[Molecule]) -> dict[str, Any]:
    """How far molecules are from rest, by what is installed."""
    found: dict[str, Any] = {"mmff_strain_kcal_mol": mmff_strain(molecules).figures()}
    for name, judge in (
        ("posebusters", posebusters),
        ("gfn2", lambda some: gfn2_relaxation(some).figures()),
    ):
        try:
            found[name] = judge(molecules)
        except MissingExtra as missing:
            found[name] = str(missing)
    return found


def rings(n: int) -> list[tuple[Molecule, list[int]]]:
    """Held-out molecules with the atoms of a ring, which come first."""
    test, found = QM9("test"), list[tuple[Molecule, list[int]]]()
    for k in range(len(test)):
        molecule = test.molecule(k)
        made = to_rdkit(molecule)
        if made is None or len(found) == n:
            continue
        for ring in map(list, made.GetRingInfo().AtomRings()):
            if len(ring) in RINGS:
                found.append((molecule, ring))
                break
    return found


def scaffolds(run: Run, n: int) -> dict[str, Any]:
    plan, kept, free, moved = Plan.of(run), list[Molecule](), list[Molecule](), list[float]()
    some = rings(n)
    for size in RINGS:
        part = [(m, ring) for m, ring in some if len(ring) == size]
        if not part:
            continue
        operator = Fragment(size, run.shape[1])
        fragments = [Molecule(m.numbers[ring], m.positions[ring]) for m, ring in part]
        y = run.codec.encode(operator(states(fragments, run.shape[1])["x"]))
        mask = masks_of([len(m) for m, _ in part], run.shape[1])
        told, ids = {"condition": {"mask": mask}, "batch": BATCH}, range(len(part))
        free += molecules_of(draw_states(run, plan, ids, 0, **told), mask)
        held = replace(plan, sampler=keeping(run, plan.sampler, operator, y))
        # The measurements are of all at once.
        told["condition"] |= told_of(run, operator, len(part))
        told["batch"] = len(part)
        drawn = molecules_of(draw_states(run, held, ids, 0, **told), mask)
        for fragment, molecule in zip(fragments, drawn, strict=True):
            same = bool((molecule.numbers[:size] == fragment.numbers).all())
            moved.append(rmsd(fragment.positions, molecule.positions[:size]) if same else np.inf)
        kept += drawn
    ours, theirs = report(kept), report(free)
    return {
        "n": len(some),
        "largest_rmsd_of_the_scaffold": max(moved),
        "kept": ours.figures(),
        "free": theirs.figures(),
        "validity_ratio": ours.validity.value / max(theirs.validity.value, 1e-9),
    }


class Judge(nn.Module):
    """A property of a molecule: an EGNN's features, their mean, and a perceptron."""

    def __init__(self, width: int = 96, layers: int = 4) -> None:
        super().__init__()
        self.egnn = EGNN(9, 9, width=width, layers=layers)
        self.head = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.egnn.features(x, x.new_zeros(len(x)), Context())[-1]
        atoms = (x != 0).any(1).sum(1, keepdim=True)
        out: Tensor = self.head(h.sum(2) / atoms)[:, 0]
        return out


def train_judge(data: QM9, minutes: float, scale: Any) -> Judge:
    """A judge trained on molecules and their standardised property."""
    torch.manual_seed(0)
    judge, batch = Judge(), 64
    optimiser = torch.optim.AdamW(judge.parameters(), lr=1e-3)
    begun, draw_ids = time.process_time(), np.random.default_rng(0)
    while (share := (time.process_time() - begun) / (60 * minutes)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - share)
        part = data.batch(draw_ids.integers(len(data), size=batch))
        loss = (judge(scale(part["x"])) - part["property"][:, 0]).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return judge.eval()


def property_asked(run: Run, n: int, minutes: float) -> dict[str, Any]:
    (name, (mean, std)), *_ = run.config["sampling"]["properties"].items()
    judge = train_judge(QM9("train", half=2, properties=name), minutes, run.codec.encode)
    test = QM9("test", properties=name)
    held = test.batch(range(2000))
    with torch.no_grad():
        seen = judge(run.codec.encode(held["x"]))
        own = held["property"][:, 0]
        told = own[:n, None]
        by_scale = {str(scale): _obeyed(run, judge, told, scale, float(std)) for scale in SCALES}
    return {
        "property": name,
        "n": n,
        "judge": {
            "mean_absolute_error": float((seen - own).abs().mean() * std),
            "correlation": _correlation(seen, own),
            "cpu_minutes": minutes,
        },
        "asked_mean": mean,
        "asked_deviation": std,
        "by_guidance": by_scale,
    }


def _obeyed(run: Run, judge: Judge, told: Tensor, scale: float, std: float) -> dict[str, Any]:
    """How molecules drawn with guidance obey what they were told; those that RDKit finds valid
    apart.
    """
    drawn, _ = draw(run, len(told), told=told, guidance=scale)
    found, asked = judge(run.codec.encode(states(drawn, run.shape[1])["x"])), told[:, 0]
    valid = torch.tensor([smiles_of(m) is not None for m in drawn])
    return {
        "correlation": _correlation(found, asked),
        "correlation_of_valid": _correlation(found[valid], asked[valid]),
        "mean_absolute_error": float((found - asked).abs().mean() * std),
        "figures": report(drawn).figures(),
    }


def _correlation(a: Tensor, b: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("samples", "property", "scaffold"))
    parser.add_argument("run")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    run = open_run(options.run)
    if options.kind == "samples":
        results = samples(run, options.n)
    elif options.kind == "scaffold":
        results = scaffolds(run, options.n)
    else:
        results = property_asked(run, options.n, options.minutes)
    training = {"steps": run.config["training"]["steps"], "network": run.config["network"]}
    figures = {"processor": processor(), "training": training, "results": results}
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
