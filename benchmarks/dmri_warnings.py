"""How often each warning of ``unfog dmri denoise`` is raised of faultless phantoms, and of phantoms
that have the fault.

    python benchmarks/dmri_warnings.py --out benchmarks/results/dmri_warnings.json --keep
    # and writes what the report states into src/unfog/dmri/checks/false_alarms.json

Low rank alone, which all warnings but one look at. Faultless: 16 x 16 x 8 voxels, 30 directions of
a scanner at b = 1000 and 6 b = 0, Rician noise of SNR 10 to 30, even in half of the scans and
varying threefold in the other half. Whether b-vectors are flipped can be told of 5000 fibrous
voxels or more, so that is asked of larger scans of 12 directions, and of those with each axis
reversed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import write_record

import unfog
from unfog.core.random import generator
from unfog.dmri import harmonics
from unfog.dmri.checks.false_alarms import FILE, KINDS, kind_of
from unfog.dmri.checks.warnings import FLIPS, flipped
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.faults import reversed_encoding
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import Phantom, make_phantom, real_gradients
from unfog.dmri.workflows.denoise import summary_of
from unfog.dmri.workflows.groups import groups_of
from unfog.dmri.workflows.scan import Series
from unfog.files.nifti import new_volume

Array = Any
SMALL, LARGE, EACH = (16, 16, 8), (40, 40, 24), 5  # voxels; scans of one phantom
FLIPPED = "b-vectors flipped"


def noisy(signal: Array, level: Array, number: int) -> Array:
    """Rician noise of a ``level`` in space, (X, Y, Z, volumes)."""
    truth = torch.from_numpy(signal).float().movedim(3, 0)
    noise = torch.from_numpy(level).float()
    return add_magnitude_noise(truth, noise, generator(number, "noise")).movedim(0, 3).numpy()


def level_of(phantom: Phantom, number: int) -> Array:
    """A level of SNR 10 to 30, varying threefold along x in every other scan."""
    snr = 10 * 3 ** np.random.default_rng(number).uniform()
    level = np.full(phantom.mask.shape, phantom.b0 / snr)
    if number % 2:
        level *= np.linspace(0.5, 1.5, len(level))[:, None, None]
    return level


def kinds_raised(y: Array, phantom: Phantom) -> set[str]:
    """The kinds of warnings that a scan gets."""
    volume = new_volume(y, phantom.affine)
    series = Series(volume, volume, phantom.gradients, phantom.mask)
    low = series.low_rank(None, True)
    groups = groups_of(series, low, None)
    told = [*summary_of(series, low, {})["warnings"], *groups.warnings(False)]
    return {kind for text in told if (kind := kind_of(text))}


def reversed_half(phantom: Phantom, level: Array, number: int) -> tuple[Array, Array]:
    """Every other volume of both kinds displaced to the other side, by up to 1 to 2 voxels."""
    b0 = phantom.gradients.b0
    half = np.r_[np.flatnonzero(b0)[::2], np.flatnonzero(~b0)[::2]]
    size = 1 + np.random.default_rng(number).uniform()
    return reversed_encoding(phantom.signal, half.tolist(), size, number), level


def doubled_slices(phantom: Phantom, level: Array, number: int) -> tuple[Array, Array]:
    """Every other slice with twice the noise."""
    twice = level.copy()
    twice[:, :, ::2] *= 2
    return phantom.signal, twice / 1.5


def dropped_slice(phantom: Phantom, level: Array, number: int) -> tuple[Array, Array]:
    """An inner slice of one weighted volume at two fifths of its signal."""
    random, signal = np.random.default_rng(number), phantom.signal.copy()
    volume = random.choice(np.flatnonzero(~phantom.gradients.b0))
    signal[:, :, random.integers(2, signal.shape[2] - 2), volume] *= 0.4
    return signal, level


Fault = Callable[[Phantom, Array, int], tuple[Array, Array]]
FAULTS: dict[str, Fault] = {
    "two geometries": reversed_half,
    "noise by slice": doubled_slices,
    "slices dropped out": dropped_slice,
}


def scans(
    count: int, table: GradientTable, shape: tuple[int, ...]
) -> Iterator[tuple[int, Phantom]]:
    """Numbered phantoms, a few scans of each."""
    anatomy, phantom = mni_anatomy(shape), None
    for number in range(count):
        if phantom is None or number % EACH == 0:
            phantom = make_phantom(table, number // EACH, anatomy)
        yield number, phantom


def small_scans(count: int, faulty: int) -> tuple[Counter[str], dict[str, int]]:
    """How many scans without a fault raise each kind, and how many with a fault raise its own."""
    raised: Counter[str] = Counter()
    found = dict.fromkeys(FAULTS, 0)
    for number, phantom in scans(count, real_gradients()[:36], SMALL):
        level = level_of(phantom, number)
        raised.update(kinds_raised(noisy(phantom.signal, level, number), phantom))
        for name, fault in FAULTS.items() if number < faulty else ():
            y = noisy(*fault(phantom, level, number), number)
            found[name] += name in kinds_raised(y, phantom)
    return raised, found


def large_scans(count: int, faulty: int) -> tuple[int, dict[str, int]]:
    """How many scans with right vectors raise the warning, and how many with each axis reversed."""
    directions = np.concatenate([np.zeros((2, 3)), harmonics.fibonacci(24)[:12].numpy()])
    table = GradientTable(np.r_[0.0, 0.0, np.full(12, 1000.0)], directions)
    raised, found = 0, dict.fromkeys(FLIPS, 0)
    for number, phantom in scans(count, table, LARGE):
        y = noisy(phantom.signal, level_of(phantom, number), number)
        raised += flipped(y, table, phantom.mask, phantom.affine) is not None
        for axis, signs in FLIPS.items() if number < faulty else ():
            other = GradientTable(table.bvals, table.directions * signs)
            found[axis] += flipped(y, other, phantom.mask, phantom.affine) is not None
    return raised, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--faulty", type=int, default=50)
    parser.add_argument("--keep", action="store_true", help="write what the report states")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    raised, found = small_scans(options.scans, options.faulty)
    sys.stderr.write(f"small: {dict(raised)}, {found}\n")
    flips, reversed_axes = large_scans(options.scans, options.faulty)
    sys.stderr.write(f"large: {flips}, {reversed_axes}\n")
    alarms = {kind: raised[kind] for kind in KINDS} | {FLIPPED: flips}
    faults = found | {f"{FLIPPED}: {axis}": n for axis, n in reversed_axes.items()}
    results = {"scans": options.scans, "falsely": alarms, "faulty": options.faulty, "found": faults}
    if options.keep:
        FILE.write_text(json.dumps(results, indent=1) + "\n")
    write_record(results, (unfog, torch, np), options.out)


if __name__ == "__main__":
    main()
