"""Warnings in words: each on a scan that deserves it, none on one that does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from support.rings import Ring, make_ring, with_noise

from unfog.dmri.checks.warnings import (
    marchenko_pastur_quantile,
    removed_over_noise,
    too_much_removed,
    warnings_of,
)
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.noise_level import estimate_noise
from unfog.dmri.gradients import GradientTable
from unfog.dmri.rician import magnitude_error
from unfog.dmri.simulation.phantom import make_phantom


def told(y: np.ndarray, gradients: GradientTable, affine: np.ndarray | None = None) -> list[str]:
    inside = np.ones(y.shape[:3], bool)
    noise = estimate_noise(
        torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32)), torch.from_numpy(inside)
    )
    return warnings_of(y, gradients, inside, np.eye(4) if affine is None else affine, noise)


@pytest.fixture(scope="module")
def scan(ring: Ring) -> np.ndarray:
    return with_noise(ring.signal, 0.05)


def test_nothing_is_said_of_a_plain_scan(scan: np.ndarray, gradients: GradientTable) -> None:
    assert told(scan, gradients) == []
    assert told(scan[:16, :16, :4], gradients) == []


@pytest.mark.parametrize("times", [0.5, 2.0])
def test_nor_where_noise_varies_or_there_is_noise_alone(
    ring: Ring, gradients: GradientTable, times: float
) -> None:
    level = 0.05 * torch.linspace(1, times, 40)[:, None, None].expand(40, 40, 10)
    assert told(with_noise(ring.signal, level), gradients) == []
    assert told(with_noise(0 * ring.signal, level), gradients) == []


def test_denoised_already(scan: np.ndarray, gradients: GradientTable) -> None:
    from dipy.denoise.patch2self import patch2self

    [ours] = told(denoise(scan[:20, :20], gradients).signal, gradients)
    [theirs] = told(patch2self(scan[:20, :20], gradients.bvals, verbose=False), gradients)
    assert "looks denoised already" in ours
    assert "looks denoised already" in theirs


@pytest.mark.slow
def test_denoised_by_mppca(scan: np.ndarray, gradients: GradientTable) -> None:
    from dipy.denoise.localpca import mppca

    assert "looks denoised already" in told(mppca(scan[:20, :20]), gradients)[0]


def test_interpolated(scan: np.ndarray, gradients: GradientTable) -> None:
    shifted = ndimage.shift(scan[:20, :20], (0.3, 0.4, 0.5, 0), order=1, mode="nearest")
    finer = ndimage.zoom(scan[:16, :16, :4], (2, 2, 1, 1), order=1)
    assert "looks interpolated" in told(shifted, gradients)[0]
    assert "looks interpolated" in told(finer, gradients)[0]


def test_correlated(ring: Ring, gradients: GradientTable) -> None:
    [text] = told(with_noise(ring.signal[:20, :20], 0.05, correlation=(0.26, 0.1, 0)), gradients)
    assert "correlated between neighbours (0.25, 0.10" in text


@pytest.mark.parametrize("axis", [0, 1])
def test_flipped(scan: np.ndarray, gradients: GradientTable, axis: int) -> None:
    """Around a ring in x and y either sign is the same wrong one; z is not used."""
    signs = np.ones(3)
    signs[axis] = -1
    [text] = told(scan, GradientTable(gradients.bvals, gradients.directions * signs))
    assert "seem flipped" in text
    assert "with x reversed" in text or "with y reversed" in text


def test_exchanged(scan: np.ndarray, gradients: GradientTable) -> None:
    [text] = told(scan, GradientTable(gradients.bvals, gradients.directions[:, [1, 0, 2]]))
    assert "with x and y exchanged" in text


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_on_a_head(seed: int, gradients: GradientTable) -> None:
    """The anatomical phantom: nothing said of it, and each fault named."""
    phantom = make_phantom(gradients, seed)
    y = with_noise(phantom.signal, phantom.b0 / 20, seed)
    assert told(y, gradients, phantom.affine) == []
    for axis, name in enumerate("xyz"):
        signs = np.where(np.arange(3) == axis, -1, 1)
        assert (
            f"with {name} reversed"
            in told(
                y, GradientTable(gradients.bvals, gradients.directions * signs), phantom.affine
            )[0]
        )
        order = np.delete(np.arange(3), axis)
        swap = np.arange(3)
        swap[order] = order[::-1]
        assert (
            "exchanged"
            in told(
                y, GradientTable(gradients.bvals, gradients.directions[:, swap]), phantom.affine
            )[0]
        )
    for cubic in (1, 3):
        assert (
            "looks interpolated"
            in told(
                ndimage.shift(y, (0.3, 0.4, 0.5, 0), order=cubic, mode="nearest"),
                gradients,
                phantom.affine,
            )[0]
        )
    assert (
        "looks denoised already" in told(denoise(y, gradients).signal, gradients, phantom.affine)[0]
    )


def test_a_flipped_grid_with_its_affine_is_not_flipped(
    scan: np.ndarray, gradients: GradientTable
) -> None:
    affine = np.diag([-2.0, 2, 2, 1])
    assert told(scan[::-1], gradients, affine) == []
    [text] = told(scan[::-1], gradients)
    assert "seem flipped" in text


def test_too_few_fibres_say_nothing(gradients: GradientTable) -> None:
    y = with_noise(make_ring(gradients, (20, 20, 5)).signal, 0.05)
    assert told(y, GradientTable(gradients.bvals, gradients.directions * [-1, 1, 1])) == []


def test_no_noise(gradients: GradientTable) -> None:
    [text] = told(np.ones((8, 8, 8, len(gradients))), gradients)
    assert "no noise at all" in text


def test_quantiles_of_the_law() -> None:
    y = torch.randn(2000, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = torch.linalg.eigvalsh(y.T @ y / 2000).numpy()
    for share in (0.1, 0.25, 0.75):
        assert marchenko_pastur_quantile(0.2, share) == pytest.approx(
            np.quantile(values, share), rel=0.01
        )


@pytest.mark.parametrize("coils", [1, 4])
@pytest.mark.parametrize("snr", [0.0, 1.0, 20.0])
def test_noise_itself_counts_as_one(snr: float, coils: int) -> None:
    """At any signal: what is taken away is then y - nu, whose power is not sigma^2 where the signal
    is weak.
    """
    nu = np.full((50, 50, 40, 3), 0.1 * snr)
    removed = (with_noise(nu, 0.1, coils=coils) - nu).reshape(-1, 3)
    ratios = removed_over_noise(
        removed, lambda k: magnitude_error(nu.reshape(-1, 3)[:, k], 0.1, coils)
    )
    np.testing.assert_allclose(ratios, 1, atol=0.01)
    assert too_much_removed(ratios) is None


def test_more_than_noise() -> None:
    assert "(1.20 times)" in str(too_much_removed(np.full(70, 1.2)))
    ratios = np.ones(70)
    ratios[[3, 30]] = 1.3, 2.0
    assert "from volumes 3, 30 (counted" in str(too_much_removed(ratios))
