"""Each volume keeps what it has of its own, for topup and eddy to see: motion, drift, opposite
phase encoding, of b = 0 alone and of half the scan. No volume is worse than low rank has it.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates, shift

from unfog.core.denoiser import InBfloat16
from unfog.core.random import generator
from unfog.dmri.denoising.blind import refine
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.gradients import GradientTable
from unfog.dmri.harmonics import fibonacci
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.runs.run import Run

SHAPE, N0, N, SIGMA = (18, 18, 10), 6, 30, 50.0
TABLE = GradientTable(
    np.r_[np.zeros(N0), np.full(N, 1000.0)],
    np.concatenate([np.zeros((N0, 3)), fibonacci(2 * N)[:N].numpy()]),
)
B0, WEIGHTED = slice(0, N0), slice(N0, None)


def head() -> tuple[np.ndarray, np.ndarray]:
    """A scan without noise (X, Y, Z, volumes), textured fibres that turn about a ventricle, and the
    voxels inside.
    """
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    angle = 0.4 * x + 0.3 * y + 0.2 * z
    axis = np.stack([np.cos(angle), np.sin(angle), 0.3 * z], -1)
    axis /= np.linalg.norm(axis, axis=-1, keepdims=True)
    tensor = 0.35 * np.eye(3) + 1.35 * axis[..., :, None] * axis[..., None, :]
    tensor[x**2 + y**2 < 0.12] = 2.6 * np.eye(3)
    texture = 1 + 0.05 * np.random.default_rng(1).standard_normal(SHAPE)
    s0 = np.where(x**2 + y**2 < 0.12, 1600, 1000 + 120 * x) * texture
    inside = x**2 + y**2 < 0.85
    decay = np.einsum("ni,xyzij,nj->xyzn", TABLE.directions, tensor, TABLE.directions)
    signal = s0[..., None] * np.exp(-TABLE.bvals / 1000 * decay)
    return np.where(inside[..., None], signal, 0), inside


def moved(clean, volumes):
    out = clean.copy()
    for k in volumes:
        out[..., k] = shift(clean[..., k], (1, 0, 0), order=1, mode="nearest")
    return out


def reversed_encoding(clean, volumes):
    """A field that displaces volumes along y by up to two voxels, one way or the other."""
    x, y, _ = np.meshgrid(*[np.linspace(-1, 1, n) for n in SHAPE], indexing="ij")
    field, at = (
        2 * np.exp(-((x - 0.2) ** 2 + (y - 0.3) ** 2) / 0.2),
        np.indices(SHAPE).astype(float),
    )
    out = np.empty_like(clean)
    for k in range(clean.shape[3]):
        place = at.copy()
        place[1] += (-1 if k in volumes else 1) * field
        out[..., k] = map_coordinates(clean[..., k], place, order=1, mode="nearest")
    return out


CASES = {
    "still": lambda clean: clean,
    "b0 moved": lambda clean: moved(clean, [1, 3]),
    "weighted moved": lambda clean: moved(clean, [N0 + 2, N0 + 14]),
    "b0 drifts": lambda clean: clean * np.linspace(1, 0.95, N0 + N)[np.r_[0:36:6, 6:36]],
    "b0 reversed": lambda clean: reversed_encoding(clean, [4, 5]),
    "half reversed": lambda clean: reversed_encoding(clean, [3, 4, 5, *range(N0, N0 + N, 2)]),
}


@pytest.mark.parametrize("name", CASES)
def test_no_volume_is_worse_than_low_rank_has_it(name):
    clean, inside = head()
    truth = torch.from_numpy(CASES[name](clean)).float().movedim(3, 0)
    y = add_magnitude_noise(truth, SIGMA, generator(0, "noise")).movedim(0, 3).numpy()
    low = denoise(y, TABLE, inside)
    prior = InBfloat16(Run.open("dmri-refiner").denoiser)
    whole = refine(prior, low, TABLE, inside)

    def errors(signal):
        difference = (signal - truth.movedim(0, 3).numpy())[inside]
        return np.sqrt(np.mean(np.square(difference), 0))

    ours, before = errors(whole.signal), errors(low.signal)
    assert (ours[B0] < 1.05 * before[B0]).all(), ours[B0] / before[B0]
    assert (ours[WEIGHTED] < 1.15 * before[WEIGHTED]).all(), ours[WEIGHTED] / before[WEIGHTED]
    assert ours[WEIGHTED].mean() < 1.01 * before[WEIGHTED].mean()
    # Without what volumes have of their own, moved and reversed ones would be several times worse.
    mean = whole.signal[..., B0].mean(3, keepdims=True)
    one_image = errors(np.concatenate([np.repeat(mean, N0, 3), whole.signal[..., WEIGHTED]], 3))
    if name in ("b0 moved", "b0 reversed", "half reversed"):
        assert one_image[B0].max() > 2 * ours[B0].max()
    else:
        assert ours[B0].mean() < 1.1 * one_image[B0].mean()
