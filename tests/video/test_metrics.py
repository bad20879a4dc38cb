"""Measures of clips: known shifts have known flow and speed, shuffled frames are told, and the
distance's floor is that of real clips.
"""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from unfog.errors import InputError
from unfog.video import metrics
from unfog.video.flow import extrapolated, flows, warped
from unfog.video.speed import centres, speeds

pytest.importorskip("skimage")


def drifting(frames=6, side=32, step=(1.0, 2.0), seed=0):
    """A smooth texture in [0, 1] that drifts by ``step`` a frame, (frames, 1, side, side)."""
    big = gaussian_filter(np.random.default_rng(seed).normal(size=(128, 128)), 2.5, mode="wrap")
    big = (big - big.min()) / np.ptp(big)
    wave = np.fft.fft2(big)
    k = np.fft.fftfreq(128)
    out = []
    for t in range(frames):
        phase = np.exp(-2j * np.pi * t * (step[0] * k[:, None] + step[1] * k[None]))
        out.append(np.fft.ifft2(wave * phase).real[40 : 40 + side, 40 : 40 + side])
    return np.stack(out)[:, None]


def batch(*clips):
    """Clips (frames, channels, rows, columns) as a batch."""
    return torch.from_numpy(np.stack(clips)).transpose(1, 2).float()


def sprites(fps, speed, frames=6, clips=4):
    """Two discs that go apart, each with a speed in pixels a second."""
    row, column = np.mgrid[:48, :48]
    x = np.zeros((clips, 1, frames, 48, 48), np.float32)
    for clip in range(clips):
        for t in range(frames):
            for start, sign in ((16.0, -1), (32.0, 1)):
                centre = start + sign * speed * t / fps
                distance = np.hypot(row - 24 - clip, column - centre)
                x[clip, 0, t] = np.maximum(x[clip, 0, t], np.clip(5 - distance, 0, 1))
    return torch.from_numpy(x)


def test_flow_goes_back_to_the_frame_before():
    flow = flows(drifting(step=(1.0, 2.0)))
    inside = flow[:, :, 8:-8, 8:-8].mean((0, 2, 3))
    assert inside == pytest.approx([-1, -2], abs=0.1)


def test_frames_moved_along_the_flow_are_the_next_ones():
    clip = drifting()
    moved = warped(clip[0], flows(clip)[0])
    inside = np.s_[:, 6:-6, 6:-6]
    assert np.abs(moved - clip[1])[inside].mean() < 0.1 * np.abs(clip[0] - clip[1])[inside].mean()


def test_extrapolation_goes_on_straight():
    clip = drifting(8)
    ahead = extrapolated(clip[:5], 3)
    inside = np.s_[:, :, 10:-10, 10:-10]
    still = np.abs(clip[5:] - clip[4])[inside].mean()
    assert np.abs(ahead - clip[5:])[inside].mean() < 0.35 * still


def test_temporal_error_is_small_where_things_move_and_large_where_frames_are_shuffled():
    x = batch(drifting(seed=1), drifting(seed=2))
    ordered, mixed = metrics.temporal_error(x), metrics.temporal_error(metrics.shuffled(x))
    assert bool((ordered < 0.5 * mixed).all())
    assert torch.allclose(metrics.temporal_error(255 * x, 255), ordered, atol=1e-5)


def test_frame_measures_are_those_of_pictures():
    x = batch(drifting(seed=1))
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    by_hand = 10 * torch.log10(1 / (noisy - x).double().square().mean((1, 3, 4)))
    assert torch.allclose(metrics.frame_psnr(noisy, x), by_hand)
    assert metrics.frame_ssim(x, x).shape == (1, 6)
    assert torch.allclose(metrics.frame_ssim(x, x), torch.ones(1, 6).double())


@pytest.mark.parametrize("speed", [8.0, 13.0])
def test_speeds_are_those_of_the_objects(speed):
    found = speeds(sprites(8, speed), torch.full((4,), 8.0))
    assert len(found) == 4 * 5 * 2
    assert found == pytest.approx(speed, rel=0.01)


def test_parts_of_an_object_are_one_and_specks_none():
    frame = np.zeros((32, 32))
    frame[4:12, 4:8], frame[4:12, 10:14] = 1.0, 1.0  # two legs
    frame[25, 25] = 1.0
    assert centres(frame) == pytest.approx(np.array([[7.5, 8.5]]))


def test_the_distance_of_speeds_is_their_mean_gap():
    a = np.linspace(0, 1, 4001)
    assert metrics.wasserstein(a, a + 2) == pytest.approx(2)
    assert metrics.wasserstein(a, 3 * a) == pytest.approx(1, abs=1e-3)
    with pytest.raises(InputError, match="at least one"):
        metrics.wasserstein(a, a[:0])


def test_the_distance_tells_direction_and_states_its_floor():
    def many(step, first):
        return batch(*(drifting(3, 24, step, seed) for seed in range(first, first + 8)))

    real, other, back = many((0, 1.5), 0), many((0, 1.5), 100), many((0, -1.5), 200)
    same, against = (
        metrics.clip_distance(other, real, other),
        metrics.clip_distance(back, real, other),
    )
    assert against.n == 8
    assert against.floor == pytest.approx(same.frechet)
    assert against.frechet > 3 * against.floor
    with pytest.raises(InputError, match="as many"):
        metrics.clip_distance(back[:3], real, other)
