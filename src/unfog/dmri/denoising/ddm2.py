r"""DDM^2: a diffusion model learned from the one noisy scan that it denoises (Xiang et al. 2023,
arXiv:2302.03018), in three stages.

    1  Phi(others) minimises |Phi - y|^2:  the noise of y is independent of other volumes', so Phi
       is the signal's mean too
       (Noise2Noise, Lehtinen et al. 2018; Batson & Royer 2019);
    2  s^2 = Var(y - Phi):  alpha(t*) y is the state x_t* of the process, at the time where sigma /
       alpha = s;
    3  D minimises |D(x_t) - y|^2 at x_t = alpha Phi + sigma n, with n drawn from among the
       residuals (y - Phi) / s, which hold
       nothing of y's own noise in place; the reverse process goes from x_t* down to 0.

y is a slice of one weighted volume, ``others`` that slice of the volumes nearest in direction.
Unlike the paper, all volumes of a slice share their state, noise is added and not mixed (EDM), and
the way down is deterministic: a draw would have twice the squared error.
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
    """``signal`` and the ``first`` stage's answer (X, Y, Z, volumes), as the data at b = 0 and
    outside the mask; ``levels`` (Z,), the deviation of the residuals that each slice was matched
    by, in the scan's units, 0 where nothing is inside.
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
    """A scan (X, Y, Z, volumes) denoised by what it alone has taught, in the voxels ``inside`` (X,
    Y, Z).
    """
    settings = settings or Settings()
    weighted, nearest = neighbours(gradients)
    planes = np.flatnonzero(inside.sum((0, 1)) > 1)
    if not len(planes) or data.shape != (*inside.shape, len(gradients)):
        raise InputError(
            f"The scan is {data.shape}, its table has {len(gradients)} volumes and the mask is "
            f"{inside.shape}; match them."
        )
    scale = 2 * float(data[inside][:, weighted].std()) or 1.0
    y = torch.from_numpy(
        np.ascontiguousarray(
            data[:, :, planes][..., weighted].transpose(2, 3, 0, 1) / scale, np.float32
        )
    )
    where = torch.from_numpy(inside[:, :, planes].transpose(2, 0, 1).copy())
    told = _steps(report, 2 * settings.steps + 2 * len(planes))
    first, levels = first_stage(Slices(y, nearest, where), settings, told)
    signal = third_stage(Slices(y, nearest, where, first), levels, settings, told)
    answers = []
    for found in (signal, first):
        answer = np.array(data, dtype=np.float32)
        part = scale * found.numpy().transpose(2, 3, 0, 1)
        for k, volume in enumerate(weighted):
            answer[..., planes, volume] = np.where(
                inside[:, :, planes], part[..., k], answer[..., planes, volume]
            )
        answers.append(answer)
    by_plane = np.zeros(data.shape[2])
    by_plane[planes] = scale * levels.numpy()
    return DDM2Result(answers[0], answers[1], by_plane)


def neighbours(gradients: GradientTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The weighted volumes, and by their place among them the ``OTHERS`` nearest axes of each in
    its shell, nearest first.
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
        alike = np.abs(gradients.directions[volumes] @ gradients.directions[volumes].T)
        np.fill_diagonal(alike, -1)
        for row, volume in enumerate(volumes):
            order = np.argsort(-alike[row], kind="stable")[:OTHERS]
            nearest[place[int(volume)]] = [place[int(other)] for other in volumes[order]]
    return weighted, nearest


def _steps(report: Report | None, total: int) -> Callable[[], None]:
    """What to call at every step."""
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        if report is not None:
            report(done, total)

    return tell
