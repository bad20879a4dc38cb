"""The demo's held-out slab, and the three tasks: how its slices are degraded and restored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unfog.core.random import generators
from unfog.data.builtin.mni import MniT1
from unfog.evaluation.baselines import Best, best_denoiser, best_inpainter, best_upsampler
from unfog.files.nifti import Volume, new_volume
from unfog.files.slices import to_volume
from unfog.physics.linear import Operator
from unfog.physics.noise import add_rician
from unfog.physics.operators import BlockAverage, Identity, Mask
from unfog.runs.restore import noise_models
from unfog.runs.run import Run
from unfog.workflows.problem import LEAST_NOISE


@dataclass(frozen=True)
class Slab:
    """Axial slices of the MNI152 template that no training has seen.

    Args:
        x: (n, 1, rows, columns) in [0, 1].
        brain: The mask of the brain in them, of the same shape.
        heights: Their MNI z, in mm.
        grid: A volume on the grid they lie on.
    """

    x: Tensor
    brain: Tensor
    heights: list[float]
    grid: Volume

    @classmethod
    def of(cls, split: str, count: int) -> Slab:
        """``count`` evenly spaced slices of a split of the template, such as "test"."""
        data = MniT1(split)
        step = len(data) // count
        ids = list(range(step // 2, len(data), step))[:count]
        x = data.batch(ids)["x"]
        brain = torch.from_numpy(data.brain_mask(ids))
        heights = [float(data.z_mm[i]) for i in ids]
        # The template's affine, with the slices' distance and the first one's height.
        affine = data.affine.copy()
        affine[2, 2:] = step, data.z_mm[ids[0]]
        return cls(x, brain, heights, new_volume(to_volume(x.numpy()), affine, code="mni"))


class Task(ABC):
    """A degradation y = A x + noise, with its classical baselines.

    Attributes:
        name: In files and messages.
        title: In the report.
        rivals: The classical baselines, in words.
        estimated: What the restored image is, in words.
        operator: A.
        sigma: The noise's standard deviation.
        noise: How it is distributed, "gaussian" or "rician".
        samples: Samples of each slice; the mean of K misses the posterior's mean by 1 / K of the
            posterior's variance.
    """

    name: str
    title: str
    rivals: str
    estimated = "the mean of the posterior samples"
    operator: Operator
    sigma: float = LEAST_NOISE
    noise: str = "gaussian"
    samples = 8

    @abstractmethod
    def measure(self, x: Tensor) -> Tensor:
        """The simulated measurement y of slices ``x`` (n, 1, rows, columns)."""

    @abstractmethod
    def baseline(self, y: Tensor, slab: Slab) -> Best:
        """The best classical restoration, tuned on the truth."""

    def grid(self, fine: Volume) -> Volume:
        """The grid of the measurement, for slices on the grid ``fine``."""
        return fine

    def prepare(self, run: Run, y: Tensor) -> Tensor:
        """The measurement with Gaussian noise, as restoration assumes."""
        return noise_models[self.noise](run, y, self.operator, self.sigma)

    def region(self, brain: Tensor) -> Tensor:
        """The mask of where restorations are scored, within the brain."""
        return brain


class Denoise(Task):
    """Rician noise, as in magnitude images."""

    name, title, rivals = "denoise", "Rician denoising", "non-local means, total variation"
    estimated = "the posterior mean, in one call of the network"
    operator, sigma, noise = Identity(), 0.08, "rician"

    def measure(self, x: Tensor) -> Tensor:
        return add_rician(x, self.sigma, generators(0, range(len(x)), "rician"))

    def baseline(self, y: Tensor, slab: Slab) -> Best:
        return best_denoiser(_plain(y), _plain(slab.x), _plain(slab.brain), self.sigma)


class Inpaint(Task):
    """Missing stripes across the whole picture, so that nothing can be copied from the other half
    of a symmetric head.
    """

    name, title, rivals = "inpaint", "Stripe inpainting", "biharmonic, total variation"
    period, width, samples = 10, 4, 24  # in a hole the posterior is wide

    def __init__(self, rows: int, columns: int) -> None:
        kept_rows = (torch.arange(rows) - self.width - 2) % self.period >= self.width
        self.keep = kept_rows[:, None].expand(rows, columns)[None, None]
        self.operator = Mask(self.keep)

    @property
    def share(self) -> float:
        """The share of the picture that is missing."""
        return 1 - float(self.keep.float().mean())

    def measure(self, x: Tensor) -> Tensor:
        return self.operator(x)

    def region(self, brain: Tensor) -> Tensor:
        return brain & ~self.keep

    def baseline(self, y: Tensor, slab: Slab) -> Best:
        return best_inpainter(_plain(y), _plain(~self.keep), _plain(slab.x), _plain(slab.brain))


class Superres(Task):
    """Voxels four times as large along both axes of the slice."""

    name, title, rivals = "superres", "4x super-resolution", "bicubic, spline, each back-projected"
    factor = 4
    operator = BlockAverage(factor)

    def measure(self, x: Tensor) -> Tensor:
        return self.operator(x)

    def grid(self, fine: Volume) -> Volume:
        # The centre of the first coarse voxel lies between those of the fine voxels in it.
        shift = (self.factor - 1) / 2
        step = np.array(
            [[self.factor, 0, 0, shift], [0, self.factor, 0, shift], [0, 0, 1, 0], [0, 0, 0, 1.0]]
        )
        return new_volume(fine.data[:: self.factor, :: self.factor], fine.affine @ step, code="mni")

    def baseline(self, y: Tensor, slab: Slab) -> Best:
        return best_upsampler(_plain(y), self.factor, _plain(slab.x), _plain(slab.brain))


def tasks(slab: Slab) -> list[Task]:
    """The demo's three tasks, in the order of the report."""
    rows, columns = slab.x.shape[2:]
    return [Denoise(), Inpaint(rows, columns), Superres()]


def _plain(x: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """(n, 1, rows, columns) to (n, rows, columns)."""
    return np.asarray(x[:, 0].numpy())
