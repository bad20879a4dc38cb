"""Slices that dropped out are named, and denoising leaves them for eddy to find."""

from __future__ import annotations

import numpy as np
import pytest
from support.rings import Ring, with_noise

from unfog.dmri.checks.dropout import dropout_warning, dropped_slices
from unfog.dmri.denoising.blind import refine
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.gradients import GradientTable
from unfog.runs.run import Run


def dropped(ring: Ring, *slices: tuple[int, int, int, float]) -> np.ndarray:
    """The ring with noise, its slices (axis, number, volume) times a factor."""
    signal = np.array(ring.signal)
    for axis, k, volume, factor in slices:
        place = [slice(None)] * 3
        place[axis] = slice(k, k + 1)
        signal[(*place, volume)] *= factor
    return with_noise(signal, 0.05)


@pytest.mark.parametrize(
    "slices",
    [[(2, 4, 12, 0.2)], [(2, 4, 12, 0.6)], [(0, 20, 15, 0.5)], [(1, 9, 11, 0.0), (2, 2, 20, 0.4)]],
)
def test_they_are_found_where_they_are(
    ring: Ring, gradients: GradientTable, slices: list[tuple[int, int, int, float]]
) -> None:
    data, inside = dropped(ring, *slices), np.ones(ring.signal.shape[:3], bool)
    assert sorted(dropped_slices(data, gradients, inside)) == sorted(one[:3] for one in slices)
    axis, k, volume, _ = slices[0]
    text = dropout_warning(data, gradients, inside)
    assert text is not None
    assert f"{'xyz'[axis]} {k} of volume {volume}" in text


def test_a_whole_scan_has_none(ring: Ring, gradients: GradientTable) -> None:
    data, inside = dropped(ring), np.ones(ring.signal.shape[:3], bool)
    assert dropout_warning(data, gradients, inside) is None
    # Nor one whose volumes drift, or whose slices differ in all volumes alike.
    drift = data * np.linspace(1, 0.7, data.shape[3])
    assert dropout_warning(drift, gradients, inside) is None
    uneven = data * np.where(np.arange(data.shape[2]) % 2, 0.5, 1)[:, None]
    assert dropout_warning(uneven, gradients, inside) is None


@pytest.mark.parametrize("factor", [0.2, 0.5])
def test_denoising_does_not_fill_them(ring: Ring, gradients: GradientTable, factor: float) -> None:
    data = dropped(ring, (2, 4, 12, factor)).astype(np.float32)
    prior = Run.open("dmri-refiner").denoiser
    signal = refine(prior, denoise(data, gradients), gradients).signal
    true = np.array(ring.signal)[:, :, 4, 12].mean()
    assert abs(signal[:, :, 4, 12].mean() / true - factor) < 0.05
