"""Denoising by the prior, held to a Gaussian prior whose posterior is known, and the tiles it goes
through.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import EDM
from unfog.core.tiles import blended, cores, places, window
from unfog.dmri import harmonics
from unfog.dmri.denoising.posterior_mean import denoise
from unfog.dmri.fibres.orientation import cone, orientation
from unfog.dmri.gradients import GradientTable
from unfog.dmri.shells import shells
from unfog.errors import InputError

N, N0, SPACE = 60, 5, (4, 3, 2)
SPREAD = torch.tensor([0.05, 0.05, *[0.08] * 5, *[0.01] * 9])
MEAN = torch.tensor([1.0, 1.2, 0.1, *[0.0] * 13])


def table(n=N, b=1000.0):
    directions = np.concatenate(
        [np.zeros((N0, 3)), harmonics.fibonacci(2 * n)[:n].numpy()]
    )  # half a sphere, evenly
    return GradientTable(np.r_[np.zeros(N0), np.full(n, b)], directions)


def everywhere(per_channel):
    """A value for each channel on the grid, flattened as the oracle has it."""
    return per_channel[:, None].expand(-1, 24).reshape(1, -1).double()


class Oracle(MixtureDenoiser):
    """Each channel Gaussian, voxels independent; b = 0 on its own scale, as the prior sees it."""

    def __init__(self, gain, narrower=1.0):
        scale = torch.ones(16)
        scale[0] = gain
        super().__init__(
            EDM(4.0),
            torch.ones(1).double(),
            everywhere(scale * MEAN),
            everywhere((scale * SPREAD / narrower) ** 2),
        )


def scan(sigma, seed=0):
    """A scan drawn from the prior: truth and measurement (4, 3, 2, 65)."""
    shell, g = shells(table())[0], torch.Generator().manual_seed(seed)
    x = MEAN.view(-1, 1, 1, 1) + SPREAD.view(-1, 1, 1, 1) * torch.randn(16, *SPACE, generator=g)
    truth = torch.cat(
        [x[0][..., None].expand(*SPACE, N0), x[1:].movedim(0, -1) @ shell.matrix.T.float()], -1
    )
    return truth.numpy(), (truth + sigma * torch.randn(truth.shape, generator=g)).numpy(), shell


def test_encoded_noise_is_white_and_of_the_level():
    shell = shells(table())[0]
    x = shell.encode(0.1 * torch.randn(40000, N + N0, generator=torch.Generator().manual_seed(0)))
    deviation = x.std(1) / (0.1 * shell.level)
    assert shell.level == pytest.approx((4 * np.pi / N) ** 0.5, rel=0.03)
    assert shell.whiteness > 0.8
    assert float(deviation.min()) > 0.85
    assert float(deviation.max()) < 1.15
    assert float(deviation.square().mean()) == pytest.approx(1, abs=0.01)


def test_decode_inverts_encode():
    truth, _, shell = scan(0.0)
    s0, predicted = shell.decode(shell.encode(torch.from_numpy(truth)))
    assert np.allclose(s0[..., None], truth[..., :N0], atol=1e-5)
    assert np.allclose(predicted, truth[..., N0:], atol=1e-5)


def test_denoising_is_the_gaussian_posterior():
    """Shrinkage by spread^2 / (spread^2 + level^2) towards the mean, channel by channel; its error
    is the expected one.
    """
    sigma, errors, expected = 0.1, [], []
    for seed in range(6):
        truth, noisy, shell = scan(sigma, seed)
        scale = float(np.median(noisy[..., :N0].mean(-1)))
        level = sigma / scale * shell.level
        found = denoise(Oracle(shell.gain), noisy, table(), sigma)
        weight = (
            SPREAD**2 / (SPREAD**2 + torch.tensor([level / shell.gain, *[level] * 15]) ** 2)
        ).view(-1, 1, 1, 1)
        x = shell.encode(torch.from_numpy(noisy) / scale)
        x[0] /= shell.gain
        closed = MEAN.view(-1, 1, 1, 1) + weight * (x - MEAN.view(-1, 1, 1, 1))
        assert np.allclose(
            found.signal[..., N0:],
            scale * (closed[1:].movedim(0, -1) @ shell.matrix.T.float()).numpy(),
            atol=1e-4,
        )
        assert np.allclose(found.signal[..., 0], scale * closed[0].numpy(), atol=1e-4)
        errors.append(((found.signal - truth)[..., N0:] ** 2).mean())
        expected.append((found.expected_error**2).mean())
    assert np.mean(errors) == pytest.approx(np.mean(expected), rel=0.2)
    assert np.mean(errors) < 0.25 * sigma**2


def test_scaling_scales():
    _, noisy, shell = scan(0.1)
    one = denoise(Oracle(shell.gain), noisy, table(), 0.1)
    ten = denoise(Oracle(shell.gain), 10 * noisy, table(), 1.0)
    assert np.allclose(ten.signal, 10 * one.signal, rtol=1e-4, atol=1e-4)
    assert np.allclose(ten.expected_error, 10 * one.expected_error, rtol=1e-3)


def test_permuting_volumes_permutes():
    _, noisy, shell = scan(0.1)
    order = np.random.default_rng(0).permutation(N + N0)
    one, other = (
        denoise(Oracle(shell.gain), noisy[..., p], table()[p], 0.1)
        for p in (np.arange(N + N0), order)
    )
    assert np.allclose(other.signal, one.signal[..., order], atol=1e-5)


def test_two_shells_are_two_scans():
    """Each shell's answer is what it is alone, b = 0 the mean of both, and the squares of the
    expected errors average.
    """
    _, one, shell = scan(0.1, 0)
    _, two, _ = scan(0.1, 1)
    two[..., :N0] = one[..., :N0]
    weighted = table().directions[N0:]
    both = GradientTable(
        np.r_[np.zeros(N0), np.full(N, 1000.0), np.full(N, 2000.0)],
        np.concatenate([table().directions, weighted]),
    )
    oracle = Oracle(shell.gain)
    alone = [denoise(oracle, y, table(b=b), 0.1) for y, b in ((one, 1000.0), (two, 2000.0))]
    found = denoise(oracle, np.concatenate([one, two[..., N0:]], -1), both, 0.1)
    assert np.allclose(found.signal[..., N0 : N0 + N], alone[0].signal[..., N0:], atol=1e-5)
    assert np.allclose(found.signal[..., N0 + N :], alone[1].signal[..., N0:], atol=1e-5)
    assert np.allclose(
        found.signal[..., 0], (alone[0].signal[..., 0] + alone[1].signal[..., 0]) / 2, atol=1e-5
    )
    expected = ((alone[0].expected_error ** 2 + alone[1].expected_error ** 2) / 2) ** 0.5
    assert np.allclose(found.expected_error, expected, rtol=1e-4)


def test_orientation_draws_are_as_wide_as_the_posterior():
    """The fraction of truths inside the 95 % cone of a well known prior, over voxels of several
    scans; FA's mean is near the truth's.
    """
    inside, wide = [], []
    for seed in range(4):
        truth, noisy, shell = scan(0.05, seed)
        found = orientation(
            Oracle(shell.gain), noisy, table(), 0.05, draws=60, products=4, seed=seed
        )
        true = cone_of(truth)
        angle = np.degrees(np.arccos(np.clip(np.abs((found.direction * true).sum(-1)), 0, 1)))
        inside.append(angle <= found.cone95)
        wide.append(found.cone95.mean())
    assert (
        np.mean(inside) > 0.85
    )  # of 96 voxels with 60 draws each, where a perfect posterior scores 93 %
    assert np.mean(inside) < 1.0
    assert 1 < np.mean(wide) < 60


@pytest.mark.parametrize(("narrower", "low", "high"), [(1.0, 0.85, 1.15), (10.0, 1.5, 100.0)])
def test_misfit_is_one_under_the_true_prior_and_shows_a_wrong_one(narrower, low, high):
    """E |x_t - E[x_0 | x_t]|^2 = s^2 - E Var: a prior that takes signal for noise leaves more than
    it says.
    """
    found = []
    for seed in range(4):
        _, noisy, shell = scan(0.1, seed)
        found.append(
            orientation(
                Oracle(shell.gain, narrower), noisy, table(), 0.1, draws=30, products=2, seed=seed
            ).misfit
        )
    assert low < np.mean(found, 0)[1] < high


def cone_of(signal):
    from unfog.dmri.tensor import fit_tensors

    return fit_tensors(signal.reshape(-1, N + N0), table()).direction.reshape(*SPACE, 3)


def test_cone_of_known_axes():
    """Axes tilted by 10 degrees about z in every direction, half of them pointing down: the axis is
    z and every quantile 10.
    """
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    tilt = np.radians(10)
    d = np.stack(
        [np.sin(tilt) * np.cos(angle), np.sin(tilt) * np.sin(angle), np.cos(tilt) * np.ones(40)], 1
    )[:, None]
    d[::2] *= -1
    axis, quantile = cone(d)
    assert abs(axis[0, 2]) == pytest.approx(1)
    assert quantile(0.5)[0] == pytest.approx(10)


@pytest.mark.parametrize("space", [(48, 30, 24), (7, 24, 25), (33, 33, 1)])
def test_tiles_cover_and_blend(space):
    """A volume cut and blended is itself; cores part it; tiles share the overlap."""
    x = torch.randn(2, *space, generator=torch.Generator().manual_seed(0))
    found = places(space, 24, 8)
    assert torch.allclose(blended(((p, x[:, *p]) for p in found), space), x, atol=1e-6)
    times = torch.zeros(space)
    for tile, core, within in cores(space, 24, 8):
        times[core] += 1
        assert torch.equal(x[:, *tile][:, *within], x[:, *core])
    assert bool((times == 1).all())
    assert float(window((5, 4)).max()) == 1


def test_bad_input():
    _, noisy, shell = scan(0.1)
    oracle = Oracle(shell.gain)
    with pytest.raises(InputError, match="needs 15 that differ"):
        denoise(oracle, noisy[..., : N0 + 10], table()[: N0 + 10], 0.1)
    with pytest.raises(InputError, match="no volume at b = 0"):
        denoise(oracle, noisy[..., N0:], table()[N0:], 0.1)
    with pytest.raises(InputError, match="above 0"):
        denoise(oracle, noisy, table(), 0.0)
    with pytest.raises(InputError, match="65 volumes"):
        denoise(oracle, noisy[..., :3], table(), 0.1)
    with pytest.raises(InputError, match="at least 2 draws"):
        orientation(oracle, noisy, table(), 0.1, draws=1)
