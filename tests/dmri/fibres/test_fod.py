"""Orientation densities by deconvolution, held to Funk-Hecke; the choice of the shell; factors;
arrays.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.rings import Ring, with_noise

import unfog.dmri
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.dmri import harmonics
from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.denoising.classical import denoise as low_rank
from unfog.dmri.fibres.fod import (
    chosen_shell,
    deconvolved,
    drawn,
    fod,
    fod_scales,
    scale_at,
    trusted,
)
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.kernels import along, zonal
from unfog.errors import InputError
from unfog.runs.run import Run


class Part(Denoiser):
    """Keeps nearly all: the posterior of a wide Gaussian prior, whose deviation is nearly the
    noise's.
    """

    def __init__(self):
        super().__init__()
        self.process = EDM(4.0)

    def forward(self, x_t, t, **condition):
        return Posterior(0.98 * x_t)


def test_one_fibre_is_a_delta():
    """Deconvolved by its own kernel a fibre's density is the delta's harmonics, of integral 1."""
    n = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]], dtype=torch.float64), dim=1)
    kernel = zonal(
        torch.tensor([1.7], dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64), 1.0, 4
    )
    signal = along(kernel, n.T).T.numpy()[..., None]
    found = deconvolved(800 * signal, 800 * kernel[:, 0].numpy())
    np.testing.assert_allclose(found[..., 0], harmonics.design(n, 4).numpy(), atol=1e-6)
    assert found[0, 0, 0] * np.sqrt(4 * np.pi) == pytest.approx(1)


def test_an_order_without_response_is_left_out():
    found = deconvolved(np.ones((1, 15, 1)), np.array([2.0, 0.0, 1e-4]))
    assert found[0, 0, 0] == pytest.approx(0.5)
    assert not found[0, 1:].any()


def test_the_shell_with_most_directions():
    directions = np.concatenate([np.zeros((2, 3)), harmonics.fibonacci(200).numpy()])
    bvals = np.r_[0, 0, np.full(20, 1000), np.full(30, 2000), np.full(100, 5000), np.full(50, 300)]
    table = GradientTable(bvals, directions)
    assert set(table.bvals[chosen_shell(table)]) == {0, 2000}
    with pytest.raises(InputError, match="15 directions or more between b = 700 and 3000"):
        chosen_shell(table[np.r_[0:16, 60:90]])


@pytest.fixture(scope="module")
def noisy(ring: Ring) -> np.ndarray:
    return with_noise(ring.signal[10:30, 2:12, 3:7], 0.03)


@pytest.fixture(scope="module")
def first(noisy: np.ndarray, gradients: GradientTable) -> Denoised:
    return low_rank(noisy, gradients)


def sampled(noisy, first, gradients, **options):
    return drawn(Part(), first, gradients, chosen_shell(gradients), draws=12, kept=3, **options)


def test_draws_of_a_ring(noisy, first, gradients, ring):
    found = sampled(noisy, first, gradients)
    fibrous, truth = ring.fibrous[10:30, 2:12, 3:7], ring.direction[10:30, 2:12, 3:7]
    off = np.degrees(np.arccos(np.clip(np.abs((found.maps.direction * truth).sum(-1)), 0, 1)))
    assert np.median(off[fibrous]) < 5
    assert found.samples.shape == (20, 10, 4, 15, 3)
    assert (found.maps.cone50 <= found.maps.cone95).all()
    at = harmonics.fibonacci(300)
    density = np.einsum("vck,sc->vsk", found.samples[fibrous], harmonics.design(at, 4).numpy())
    peak = at.numpy()[density.mean(-1).argmax(1)]
    assert (
        np.median(np.degrees(np.arccos(np.clip(np.abs((peak * truth[fibrous]).sum(-1)), 0, 1))))
        < 12
    )
    assert found.samples[fibrous][:, 0].mean() * np.sqrt(4 * np.pi) == pytest.approx(1, rel=0.1)


def test_factors_widen_and_seeds_repeat(noisy, first, gradients):
    one, other = (
        sampled(noisy, first, gradients).maps,
        sampled(noisy, first, gradients, scales={"cone": 1.1, "fa": 2.0, "md": 3.0}).maps,
    )
    np.testing.assert_allclose(other.cone95, np.minimum(1.1 * one.cone95, 90), rtol=1e-6)
    np.testing.assert_allclose(other.fa_std, 2 * one.fa_std, rtol=1e-6)
    np.testing.assert_allclose(other.md_std, 3 * one.md_std, rtol=1e-6)
    np.testing.assert_array_equal(other.direction, one.direction)
    assert not np.array_equal(sampled(noisy, first, gradients, seed=1).maps.fa_mean, one.fa_mean)


def test_factors_by_the_fa_that_is_found(noisy, first, gradients):
    """Straight lines between pairs, and beyond them the nearest."""
    one = sampled(noisy, first, gradients).maps
    low, high = np.quantile(one.fa_mean[one.fa_std > 0], [0.1, 0.9])
    pairs = [(low, 3.0), ((low + high) / 2, 2.0), (high, 1.0)]
    other = sampled(noisy, first, gradients, scales={"fa": pairs}).maps
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = (other.fa_std / one.fa_std)[one.fa_std > 0]
    fa = one.fa_mean[one.fa_std > 0]
    np.testing.assert_allclose(factor, np.clip(3 - 2 * (fa - low) / (high - low), 1, 3), rtol=1e-5)
    assert len(np.unique(np.round(factor, 3))) > 10
    np.testing.assert_array_equal(other.cone95, one.cone95)


def test_the_shipped_factors_are_wider_where_fa_is_low():
    """In isotropic tissue twice; one factor alone holds 48 % of the truth in grey matter."""
    scales = fod_scales(Run.open("dmri"))
    at = scale_at(scales["fa"], np.array([0.05, 0.2, 0.6]))
    assert 1.7 < at[0] < 2.1
    assert at[0] > at[1] > at[2] > 1


def test_fluid_is_not_trusted(noisy, first, gradients):
    maps = sampled(noisy, first, gradients).maps
    trust = trusted(maps)
    assert (trust == (maps.md_mean < 2e-3)).all()
    watery = replace(maps, md_mean=np.where(np.arange(4) < 2, 2.5e-3, 0.9e-3) + 0 * maps.md_mean)
    assert not trusted(watery)[..., :2].any()
    assert trusted(watery)[..., 2:].all()


def test_arrays_with_a_table_of_dipy(noisy, gradients):
    from dipy.core.gradients import gradient_table

    theirs = gradient_table(gradients.bvals, bvecs=gradients.directions)
    found = unfog.dmri.fod(noisy, theirs, draws=4, kept=1, prior=Part())
    np.testing.assert_array_equal(
        found.maps.direction, fod(Part(), noisy, gradients, draws=4, kept=1).maps.direction
    )
    done = unfog.dmri.denoise(noisy, theirs, prior=Part())
    full = unfog.dmri.complete(noisy, theirs, theirs, prior=Part())
    weighted = ~gradients.b0
    np.testing.assert_allclose(full.signal[..., weighted], done.signal[..., weighted], atol=1e-5)
    assert full.signal.shape == done.signal.shape


def test_no_draw_kept(noisy, first, gradients):
    with pytest.raises(InputError, match="keep 1 or more"):
        drawn(Part(), first, gradients, chosen_shell(gradients), draws=4, kept=0)
