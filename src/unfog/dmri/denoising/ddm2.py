r"""DDM^2, denoising by a diffusion model that is trained on the noisy scan itself (Xiang et al.
2023, arXiv:2302.03018).

    1  Phi(others) minimises |Phi - y|^2. The noise of y is independent of the other volumes' noise,
       so Phi estimates the mean of the signal as well (Noise2Noise, Lehtinen et al. 2018; Batson &
       Royer 2019).
    2  s^2 = Var(y - Phi). alpha(t*) y is the state x_t* of the process, at the time t* where
       sigma / alpha = s.
    3  D minimises |D(x_t) - y|^2 at x_t = alpha Phi + sigma n. n is drawn from the shuffled
       residuals (y - Phi) / s, which hold nothing of y's own noise in place. The reverse process
       goes from x_t* down to 0.

y is a slice of one weighted volume, ``others`` is that slice of the volumes nearest in direction.
Three things differ from the paper: all volumes of a slice share their state, noise is added and not
mixed (EDM), and the reverse process is deterministic, since a draw would have twice the squared
error. The stages themselves are in ``unfog.dmri.denoising.ddm2_stages``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.denoising.ddm2_stages import (
    Settings,
    Shuffled,
    Slices,
    first_answer,
    first_stage,
    from_others,
    recipe,
    third_stage,
)
from unfog.dmri.gradients import GradientTable
from unfog.errors import InputError
from unfog.progress import Report

__all__ = [
    "OTHERS",
    "DDM2Result",
    "Settings",
    "Shuffled",
    "Slices",
    "ddm2",
    "first_answer",
    "from_others",
    "neighbours",
    "recipe",
]

OTHERS = 6  # volumes that predict one


@dataclass(frozen=True)
class DDM2Result:
    """A scan denoised by DDM^2.

    ``signal`` and the answer of the ``first`` stage are (X, Y, Z, volumes); at b = 0 and outside
    the mask they are the data. ``levels`` (Z,) is the deviation of each slice's residuals in the
    scan's units, by which its state was matched: 0 where nothing is inside the mask.
    """

    signal: NDArray[np.float32]
    first: NDArray[np.float32]
    levels: NDArray[np.float64]


def ddm2(
    data: NDArray[Any],
    gradients: GradientTable,
    inside: NDArray[np.bool_],
    settings: Settings | None = None,
    report: Report | None = None,
) -> DDM2Result:
    """Denoise a scan by a diffusion model trained on that scan alone.

    Args:
        data: (X, Y, Z, volumes), magnitudes.
        gradients: The scan's table, of as many volumes.
        inside: (X, Y, Z), the voxels to learn from and to denoise.
        settings: Training and sampling; the defaults of ``Settings`` unless given.
        report: Called as ``report(done, total)`` after each step of training and each slice.

    Returns:
        The denoised scan, the first stage's answer and the levels of the slices.

    Raises:
        InputError: The shapes do not match, no slice holds two voxels of the mask, or a shell has
            too few directions.
    """
    settings = settings or Settings()
    weighted, nearest = neighbours(gradients)
    planes = np.flatnonzero(inside.sum((0, 1)) > 1)
    if not len(planes) or data.shape != (*inside.shape, len(gradients)):
        raise InputError(
            f"The scan is {data.shape}, its table has {len(gradients)} volumes and the mask is "
            f"{inside.shape}; match them."
        )
    # The networks expect data of standard deviation .5; y is (Z, volumes, X, Y).
    scale = 2 * float(data[inside][:, weighted].std()) or 1.0
    y = torch.from_numpy(
        np.ascontiguousarray(
            data[:, :, planes][..., weighted].transpose(2, 3, 0, 1) / scale, np.float32
        )
    )
    where = torch.from_numpy(inside[:, :, planes].transpose(2, 0, 1).copy())
    # The three stages.
    callback = _steps(report, 2 * settings.steps + 2 * len(planes))
    first, levels = first_stage(Slices(y, nearest, where), settings, callback)
    signal = third_stage(Slices(y, nearest, where, first), levels, settings, callback)
    # Back to (X, Y, Z, volumes), with the data where nothing was learned.
    answers = []
    for values in (signal, first):
        answer = np.array(data, dtype=np.float32)
        part = scale * values.numpy().transpose(2, 3, 0, 1)
        for k, volume in enumerate(weighted):
            answer[..., planes, volume] = np.where(
                inside[:, :, planes], part[..., k], answer[..., planes, volume]
            )
        answers.append(answer)
    by_plane = np.zeros(data.shape[2])
    by_plane[planes] = scale * levels.numpy()
    return DDM2Result(answers[0], answers[1], by_plane)


def neighbours(gradients: GradientTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The volumes that predict each volume: those nearest in direction within its shell.

    Returns the weighted volumes (n,), as indices into the table, and the ``OTHERS`` nearest axes of
    each, nearest first, as indices into the weighted volumes (n, OTHERS). Called before training,
    and by the command line to refuse a table before a scan is read.
    """
    weighted = np.flatnonzero(~gradients.b0)
    place = {int(volume): k for k, volume in enumerate(weighted)}
    nearest = np.zeros((len(weighted), OTHERS), dtype=np.int64)
    for b, volumes in gradients.shells().items():
        if len(volumes) <= OTHERS:
            raise InputError(
                f"The shell b = {b:.0f} has {len(volumes)} directions, and DDM2 needs "
                f"{OTHERS + 1}; leave it out."
            )
        # The absolute cosine: an axis and its opposite are the same direction.
        alike = np.abs(gradients.directions[volumes] @ gradients.directions[volumes].T)
        np.fill_diagonal(alike, -1)
        for row, volume in enumerate(volumes):
            order = np.argsort(-alike[row], kind="stable")[:OTHERS]
            nearest[place[int(volume)]] = [place[int(other)] for other in volumes[order]]
    return weighted, nearest


def _steps(report: Report | None, total: int) -> Callable[[], None]:
    """A callback without arguments that reports one more of ``total`` steps at every call."""
    count = 0

    def callback() -> None:
        nonlocal count
        count += 1
        if report is not None:
            report(count, total)

    return callback
