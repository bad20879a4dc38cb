"""Slices and volumes whose signal dropped out, as they do where a head moves while the scan is
sensitive to motion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.dmri.gradients import GradientTable
from unfog.dmri.harmonics import count, design

LOST = 0.75  # of a slice's mean, over that of its neighbours, below which it dropped out
FEWEST = 50  # voxels of a slice inside
ORDERS = (2, 4)  # of harmonics that hold the means of a shell's volumes
NAMED = 6  # slices that a sentence names


def dropped_slices(
    data: NDArray[Any], gradients: GradientTable, inside: NDArray[np.bool_]
) -> list[tuple[int, int, int]]:
    """Slices darker than both neighbours in the same volume, by what is usual of their shell.

        q[z, k] = mean of slice z of volume k / median of it over the shell's volumes;
        dropped out where q[z, k] < 0.75 min(q[z - 1, k], q[z + 1, k]).

    Args:
        data: (X, Y, Z, volumes), as acquired.
        gradients: The scan's table.
        inside: (X, Y, Z), the mask.

    Returns:
        (axis of the array, slice, volume) of each, counted from 0.
    """
    dropped = []
    for axis in range(3):
        others = tuple(k for k in range(3) if k != axis)
        voxels = inside.sum(others)
        total = np.einsum("xyzn,xyz->" + "xyz"[axis] + "n", data, inside.astype(data.dtype))
        means = total / np.maximum(voxels, 1)[:, None]
        for volumes in gradients.shells().values():
            usual = np.median(means[:, volumes], 1, keepdims=True)
            share = means[:, volumes] / np.where(usual > 0, usual, 1)
            beside = np.minimum(share[:-2], share[2:])
            enough = (np.minimum(voxels[:-2], voxels[2:]) >= FEWEST) & (voxels[1:-1] >= FEWEST)
            dark = (share[1:-1] < LOST * beside) & enough[:, None] & (usual[1:-1] > 0)
            dropped += [(axis, int(z) + 1, int(volumes[k])) for z, k in np.argwhere(dark)]
    return dropped


def dropped_volumes(
    data: NDArray[Any], gradients: GradientTable, inside: NDArray[np.bool_]
) -> list[int]:
    """Volumes darker over the head than the others of their shell say of their direction.

    The means of a shell's volumes are fitted by harmonics; with r_k the residual and h_k the
    leverage, the others predict m_k - r_k / (1 - h_k). Dropped out where m_k is below 0.75 of it.

    Args:
        data: (X, Y, Z, volumes), as acquired.
        gradients: The scan's table.
        inside: (X, Y, Z), the mask.

    Returns:
        Their numbers, counted from 0; of shells under 12 directions, none.
    """
    dropped: list[int] = []
    for volumes in gradients.shells().values() if inside.any() else ():
        orders = [k for k in ORDERS if 2 * count(k) <= len(volumes)]
        if not orders:
            continue
        matrix = design(torch.from_numpy(gradients.directions[volumes]), orders[-1]).numpy()
        hat = matrix @ np.linalg.pinv(matrix)
        means = np.array([float(data[..., k][inside].mean()) for k in volumes])
        predicted = means - (means - hat @ means) / np.maximum(1 - np.diag(hat), 1e-6)
        dropped += [int(k) for k in volumes[means < LOST * predicted]]
    return dropped


def dropout_warning(
    data: NDArray[Any], gradients: GradientTable, inside: NDArray[np.bool_]
) -> str | None:
    """A sentence that names the volumes that dropped out, or else the slices; the arguments are
    those of ``dropped_slices``.
    """
    if volumes := dropped_volumes(data, gradients, inside):
        listed = ", ".join(map(str, volumes[:NAMED])) + ", ..." * (len(volumes) > NAMED)
        return (
            f"Volumes dropped out: {listed} (counted from 0), which are under three quarters as "
            "bright as others of their b tell of their direction; leave them out (--drop-volumes)."
        )
    dropped = dropped_slices(data, gradients, inside)
    if not dropped:
        return None
    named = ", ".join(
        f"{'xyz'[axis]} {k} of volume {volume}" for axis, k, volume in dropped[:NAMED]
    )
    more = f" and {len(dropped) - NAMED} more" if len(dropped) > NAMED else ""
    return (
        f"Slices dropped out: {named}{more} (counted from 0); they are left as they are, for "
        "eddy to replace, or leave the volumes out (--drop-volumes)."
    )
