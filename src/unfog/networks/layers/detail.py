r"""Detail in units of the noise: a network's extra input where noise is a small part of
the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d, avg_pool2d, avg_pool3d, pad

_POOLS = {1: avg_pool1d, 2: avg_pool2d, 3: avg_pool3d}


class Detail(nn.Module):
    """What stands out of its neighbourhood in x, in units of the noise, (batch,
    channels, *space):

        d = arsinh((x - mean of x over the 3^d neighbourhood) / s),     s the noise's deviation.

    What is a hundredth of x would be lost to rounding in bfloat16, and must be seen to be removed.
    The inverse hyperbolic sine is linear in noise and logarithmic at edges, which stand out from
    noise by orders of magnitude. x is the input of a network under an EDM process, the prediction
    ``edm`` and the label ``log-sigma``.

    Args:
        sigma_data: that of the prediction, one number or one for each channel; with the label it
            says what s is on the scale of x.
        dims: spatial axes, 1 to 3.
    """

    data: Tensor

    def __init__(self, sigma_data: float | Sequence[float], dims: int) -> None:
        super().__init__()
        self.pool = _POOLS[dims]
        self.register_buffer(
            "data", torch.as_tensor(sigma_data, dtype=torch.float32), persistent=False
        )

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        # The label is log(s) / 4, and EDM divides its input by sqrt(sigma_data^2 + s^2).
        s = torch.exp(4 * label.float())[:, None]
        noise = s * (self.data**2 + s**2).rsqrt()
        local_mean = self.pool(pad(x, (1, 1) * (x.ndim - 2), mode="replicate"), 3, 1)
        return torch.asinh((x - local_mean) / noise.view(*noise.shape, *(1,) * (x.ndim - 2)))
