r"""The noise label as a vector (Ho et al. 2020, after Vaswani et al. 2017)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unfog.errors import InputError


def sinusoids(label: Tensor, width: int, shift: float = 1.0) -> Tensor:
    """The sinusoidal embedding of a noise label n,

        e(n) = [sin(n w_k), cos(n w_k)],   w_k = 10000^(-k / (K - shift)),   k = 0 .. K - 1.

    Args:
        label: (batch,).
        width: 2 K, even.
        shift: 1 in DDPM's code, 0 in later ones.

    Returns:
        (batch, width), float32, the sines first.
    """
    half = width // 2
    exponent = torch.arange(half, dtype=torch.float32, device=label.device) * (
        -math.log(10000.0) / (half - shift)
    )
    angle = label.float()[:, None] * exponent.exp()
    return torch.cat([angle.sin(), angle.cos()], 1)


class LabelEmbedding(nn.Module):
    """A noise label (batch,) to a vector (batch, ``out_width``): sinusoids and a perceptron of one
    hidden layer, also of ``out_width``, with ``width`` and ``shift`` as for ``sinusoids``.
    """

    def __init__(self, width: int, out_width: int, shift: float = 1.0) -> None:
        super().__init__()
        if width % 2 or width // 2 <= shift:
            raise InputError(
                f"A label embedding needs an even width above {2 * shift:g}, got {width}."
            )
        self.width, self.shift = width, shift
        self.hidden, self.out = nn.Linear(width, out_width), nn.Linear(out_width, out_width)

    def forward(self, label: Tensor) -> Tensor:
        e = sinusoids(label, self.width, self.shift).to(self.hidden.weight.dtype)
        out: Tensor = self.out(nn.functional.silu(self.hidden(e)))
        return out
