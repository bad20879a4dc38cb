"""Restoration of sounds: operators, windows without seams, and the posterior of a known prior."""

import numpy as np
import pytest
import torch
from support.sounds import WINDOW, blocks, joined, sound, windows

from unfog.audio import damage
from unfog.audio.damage import Clip, Decimate, Place
from unfog.audio.metrics import seam_energy
from unfog.audio.oracle import ar_spectrum
from unfog.audio.windows import times_for


def test_a_low_pass_and_its_adjoint():
    g = torch.Generator().manual_seed(0)
    for first, last in ((True, True), (False, True), (False, False)):
        a = Decimate(4, first, last)
        x, y = torch.randn(2, 1, 256, generator=g), torch.randn(2, 1, 64, generator=g)
        assert a(x).shape == y.shape
        left, right = (a(x) * y).sum(), (x * a.adjoint(y)).sum()
        assert float(left) == pytest.approx(float(right), rel=1e-4)
    # A low tone passes, a high one does not.
    t = torch.arange(512.0)
    for f, kept in ((0.02, 1.0), (0.3, 0.0)):
        tone = torch.sin(2 * torch.pi * f * t)[None, None]
        out = Decimate(4)(tone)[0, 0, 20:-20]
        assert float(out.abs().max()) == pytest.approx(kept, abs=0.02)


def test_a_first_pass_hears_what_happened():
    x = sound()[0].numpy()
    noisy = x + 0.05 * np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    gap = noisy.copy()
    gap[1000:1200] = 0
    gap[2000:2010] = 0
    heard = damage.listen(iter(np.split(gap[None], [600, 1100], 1)), 16_000)
    assert heard.frames == 4096
    assert heard.silent.nonzero()[0].tolist() == list(range(1000, 1200))
    assert heard.clipped < damage.HELD
    clipped = damage.listen(iter([np.clip(x, -0.1, 0.1)[None]]), 16_000)
    assert clipped.clipped > 100
    assert clipped.peak == pytest.approx(0.1)
    # White noise in pauses is found beside tones.
    t = np.arange(16_000)
    tone = 0.3 * np.sin(t / 20) * (t % 8000 > 4000)
    white = 0.01 * np.random.default_rng(1).standard_normal(16_000)
    found = damage.listen(iter([(tone + white)[None].astype(np.float32)]), 16_000)
    assert found.noise == pytest.approx(0.01, rel=0.1)


def test_denoising_in_windows_is_wieners_filter_without_a_seam():
    x, sigma = sound(), 0.05
    y = x + sigma * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    mean, draws = joined(windows(damage.NOISE, sigma, steps=40).restored(blocks(y), 4096))
    assert mean.shape == x.shape
    # Wiener's filter of the whole sound.
    power = ar_spectrum(4096, [1.6, -0.81]) * 4096
    gain = power / (power + sigma**2)
    wiener = torch.fft.ifft(torch.fft.fft(y[0].double()) * gain).real
    error = float((mean[0] - wiener).square().mean() / (wiener - x[0]).square().mean())
    assert error < 0.02
    # The draws vary as the posterior does, in the overlaps as elsewhere.
    expected = float((gain * sigma**2).mean())
    variance = draws.var(0)[0]
    assert float(variance.mean()) == pytest.approx(expected, rel=0.1)
    seams = list(range(WINDOW // 2, 4096, WINDOW // 2))
    middle = [k + WINDOW // 4 for k in seams[:-1]]
    near, between = (
        float(torch.cat([variance[k - 24 : k + 24] for k in ks]).mean()) for ks in (seams, middle)
    )
    assert near == pytest.approx(between, rel=0.25)
    assert seam_energy(mean[0], seams) == pytest.approx(seam_energy(x[0], seams), rel=0.1)


def test_gaps_and_lost_bandwidth_are_filled_as_the_prior_says():
    x = sound()
    silent = np.zeros(4096, bool)
    silent[1000:1012] = silent[2040:2060] = True
    gap = x * torch.from_numpy(~silent)
    mean, _ = joined(windows(damage.gaps(silent), 1e-3).restored(blocks(gap), 4096))
    known = torch.from_numpy(~silent)
    assert torch.allclose(mean[0, known], x[0, known], atol=1e-6)
    # Kriging's mean in the first gap, by the covariance of the whole.
    covariance = torch.fft.ifft(ar_spectrum(4096, [1.6, -0.81]) * 4096).real
    near = torch.arange(900, 1112)
    c = covariance[(near[:, None] - near[None]).abs()]
    seen = known[near]
    noise = 1e-6 * torch.eye(int(seen.sum()), dtype=torch.float64)
    solved = torch.linalg.solve(c[seen][:, seen] + noise, x[0, near][seen].double())
    kriged = c[~seen][:, seen] @ solved
    inside = mean[0, near][~seen]
    spread = float((kriged - inside).square().mean().sqrt())
    assert spread < 0.04  # of .1, by 8 draws
    assert spread < 0.5 * float(kriged.square().mean().sqrt())
    low = Decimate(2)(x[None])[0]
    mean, _ = joined(windows(damage.bandwidth(2), 1e-3, factor=2).restored(blocks(low), 2048))
    assert mean.shape == x.shape
    plain = torch.nn.functional.interpolate(low[None], size=4096, mode="linear")[0]
    assert float((mean - x).square().mean()) < 0.5 * float((plain - x).square().mean())


def test_clipping_is_undone_beyond_its_level():
    x = sound()
    level = 0.1
    y = x.clamp(-level, level)
    mean, _ = joined(windows(damage.clipping(level), 1e-2).restored(blocks(y), 4096))
    over = x.abs() > 1.2 * level
    before, after = (float((z - x)[over].square().mean()) for z in (y, mean))
    assert after < 0.6 * before
    # What was not clipped stays.
    below = y.abs() < 0.95 * level
    assert torch.allclose(mean[below], y[below], atol=1e-6)
    assert float((mean.abs() - level)[x.abs() > level].min()) > -1e-6
    assert float(Clip(level)(x).abs().max()) == pytest.approx(level)


def test_windows_do_not_depend_on_blocks():
    y = sound(1300)
    one, two = (
        joined(windows(damage.NOISE, 0.05, samples=2).restored(blocks(y, size), 1300))
        for size in (100, 1300)
    )
    assert torch.equal(one[0], two[0])
    assert one[1].shape == (2, 1, 1300)
    assert torch.equal(one[1], two[1])
    assert Place(0, True, False).first


def test_draws_begin_from_what_is_known():
    y = torch.randn(1, 1, 64, generator=torch.Generator().manual_seed(0))
    silent = np.zeros(64, bool)
    silent[20:30] = True
    place = Place(0, True, True)
    filled, clipped = damage.gaps(silent), damage.clipping(0.5)
    begun = filled.begin(y, place)
    assert float(begun[..., 20:30].abs().max()) == 0
    assert torch.equal(begun[..., 30:], y[..., 30:])
    assert torch.equal(clipped.begin(y, place), y)
    # Nothing is known in a gap, and beyond a level only the excess is not.
    assert times_for(filled)["sigma_max"] > times_for(clipped)["sigma_max"]
