"""The operators of ``--task mri`` and ``--task ct`` (``workflows.raw``): raw data of scanners,
simulated from images of a run's size.
"""

from __future__ import annotations

import torch

from unfog.errors import InputError
from unfog.physics.coils import birdcage
from unfog.physics.fourier import Coils, ComplexOf, Fourier
from unfog.physics.kspace_masks import random_lines
from unfog.physics.linear import Operator
from unfog.physics.operators import Mask
from unfog.physics.radon import ParallelBeam
from unfog.runs.run import Run


def simulated_mri(run: Run, acceleration: int, coils: int) -> Operator:
    """Undersampled multi-coil MRI: the k-space of a birdcage's coils, in which one line out of
    ``acceleration`` is measured.

    Args:
        run: Gives the size of an image, (1, rows, columns).
        acceleration: Lines of k-space for each line measured; a third of these lie in the middle.
        coils: The number of coils.

    Returns:
        A, from images (n, 1, rows, columns) to the coils' k-space, 0 where it is not measured.
    """
    rows, columns = _plane(run, "MRI")
    maps = birdcage(coils, (rows, columns)).to(torch.complex64)
    lines = random_lines(rows, columns, acceleration, rows // (3 * acceleration))
    return Mask(lines) @ Fourier() @ Coils(maps) @ ComplexOf()


def simulated_ct(run: Run, views: int) -> Operator:
    """Parallel-beam CT: the sinogram of a square image at ``views`` angles over half a turn."""
    rows, columns = _plane(run, "CT")
    if rows != columns:
        raise InputError(f"CT needs a run of square images, and {run.name} makes {run.shape[1:]}.")
    return ParallelBeam(torch.arange(views, dtype=torch.float64) * (180 / views), rows)


def _plane(run: Run, name: str) -> tuple[int, int]:
    """Rows and columns of the run's images; ``InputError`` unless they are planes of one
    channel.
    """
    if run.shape[0] != 1 or len(run.shape) != 3:
        raise InputError(
            f"{name} is simulated on images of one channel and two dimensions, and {run.name} "
            f"makes {run.shape}."
        )
    return run.shape[1], run.shape[2]
