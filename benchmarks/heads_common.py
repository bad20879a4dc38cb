"""What the parts of heads.py share: cases, scores and splines."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from heads_data import Head
from scipy.ndimage import zoom
from skimage.metrics import structural_similarity
from torch import Tensor

from unfog.core.random import generator
from unfog.physics.noise import add_gaussian
from unfog.runs.run import Run

SIDE, NOISES = 48, (0.04, 0.08, 0.12)


def told(run: Run, head: Head) -> Run:
    return run.told(voxel=torch.tensor(head.voxel).log()[None])


def case(head: Head, sigma: float) -> tuple[Tensor, Tensor]:
    """Truth and noisy cube, (1, 1, side, side, side) both."""
    truth = torch.from_numpy(head.cube(SIDE).copy())[None, None]
    return truth, add_gaussian(truth, sigma, [generator(0, head.name, str(sigma))])


def scores(x: Tensor, truth: Tensor, window: int = 7) -> dict[str, float]:
    """Inside the head: PSNR in dB, and the mean of the map of SSIM."""
    estimate, inside = x.clamp(0, 1), truth > 0.1
    error = float((estimate - truth)[inside].square().mean())
    _, local = structural_similarity(
        truth[0, 0].numpy(), estimate[0, 0].numpy(), win_size=window, data_range=1.0, full=True
    )
    return {
        "PSNR": round(-10 * float(np.log10(error)), 2),
        "SSIM": round(float(local[inside[0, 0].numpy()].mean()), 4),
    }


def splined(y: Tensor, order: int) -> Tensor:
    fine = zoom(y[0, 0].numpy(), (1, 1, 4), order=order, mode="nearest", grid_mode=True)
    return torch.from_numpy(fine)[None, None]


def say(name: str, what: Any) -> None:
    sys.stderr.write(f"{name}: {what}\n")
