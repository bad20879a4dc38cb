"""A palette as guidance of a run."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from unfog.errors import InputError
from unfog.guidance.palette import palette_loss
from unfog.runs.run import Run, data_range, require_pixels
from unfog.runs.sample import GuidingLoss

BELOW = 0.7  # noise level under which estimates show which colour a pixel will be nearest to
STRENGTH = 0.3  # the share of its way to the nearest colour that each estimate goes


def towards(run: Run, colours: NDArray[np.uint8], strength: float = STRENGTH) -> GuidingLoss:
    """Guidance of a run towards the colours of a palette.

    Args:
        run: The model, of colour pictures.
        colours: (count, 3), 0 to 255, which stand for the run's range.
        strength: The share of its way to the nearest colour that each estimate goes.

    Returns:
        The loss and its strength.

    Raises:
        InputError: The run draws no colour pictures, or in a latent space.
    """
    if run.shape[0] != 3:
        raise InputError(
            f"A palette is for pictures in colour, and {run.name} draws {run.shape[0]} channel"
            f"{'s' if run.shape[0] > 1 else ''}; leave --palette out, or take another run."
        )
    require_pixels(run, "guidance by a palette", "take a run of pixels")
    low, high = data_range(run)
    natural = low + (high - low) * torch.from_numpy(colours.astype(np.float32)) / 255
    on_scale = run.codec.encode(natural[:, :, None, None])[..., 0, 0]
    return GuidingLoss(palette_loss(on_scale), strength, BELOW)
