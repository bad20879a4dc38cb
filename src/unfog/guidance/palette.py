r"""Palettes: pictures drawn towards a few colours."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.guidance.preferences import Loss

SOFTNESS = 0.15  # tau, on the model's scale of [-1, 1]


def palette_loss(colours: Tensor, softness: float = SOFTNESS) -> Loss:
    r"""How far a picture is from a palette, the mean over its values of

        Q(x) = -tau^2 log mean_k exp(-|x - c_k|^2 / (2 tau^2)),     dQ/dx = x - sum_k w_k c_k,

    at every pixel x, with w_k the share of the colour c_k under equal Gaussians of deviation tau:
    the negative log-likelihood of such a mixture, times tau^2. Under ``LossGuided`` of strength s
    an estimate goes the share s of its way to the colour that its pixel is nearest to.

    Args:
        colours: (count, channels) on the model's scale.
        softness: tau, above 0.

    Returns:
        The loss, (batch, channels, *space) -> (batch,).

    Raises:
        InputError: There is no colour, or the softness is not above 0.
    """
    if colours.ndim != 2 or len(colours) < 1 or not softness > 0:
        raise InputError(
            f"A palette is one colour or more, (count, channels), got {tuple(colours.shape)}, and "
            f"its softness is above 0, got {softness}."
        )

    def loss(x: Tensor) -> Tensor:
        if x.shape[1] != colours.shape[1]:
            raise InputError(
                f"The palette's colours have {colours.shape[1]} channels and the picture "
                f"{x.shape[1]}; take a run of such pictures."
            )
        # Squared distances of every pixel to every colour, (batch, count, pixels).
        c = colours.to(x)
        squares = (x.flatten(2)[:, None] - c[None, :, :, None]).square().sum(2)
        energy = -(softness**2) * torch.logsumexp(-squares / (2 * softness**2), 1)
        return energy.sum(1) / x[0].numel()

    return loss
