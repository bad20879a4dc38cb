r"""A U-Net that starts where low rank ends: for images of many channels whose noise is white and known, as diffusion MRI's harmonics are.

    z = L(x_t / s),    F = (s z - c_skip x_t) / c_out + U(z, d, e),    so that under EDM's prediction   D = s z + c_out U,

with s the noise, L the best shrinkage of singular values in every 3 x 3 x 3 voxels (``unfog.dmri.lowrank``) and e the error to be expected
of it. What a convolution learns of the whole world, low rank finds in the scan at hand; U learns what is left. U sees the detail d of x_t
and of z about the local mean of x_t, in units of the noise (``unfog.networks.detail``).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.dmri.lowrank import local_svd, optimal_shrinkage
from unfog.networks.detail import local_mean, noise_of
from unfog.networks.registry import networks
from unfog.networks.unet import UNet

_NOTHING = Context()


@networks.register("low-rank-unet")
class LowRankUNet(nn.Module):
    """x (batch, channels, X, Y, Z), label (batch,), context -> as large, under an EDM process, the prediction ``edm`` with ``sigma_data``
    and the label ``log-sigma``. The rest are keys of ``unet``. It starts as low rank alone."""

    data: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, *, sigma_data: Sequence[float], channels: int = 24,
        multipliers: Sequence[int] = (1, 2, 2), blocks: int = 1, groups: int = 8, vector_width: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.register_buffer("data", torch.as_tensor(sigma_data, dtype=torch.float32), persistent=False)
        self.unet = UNet(
            3 * in_channels + 1, out_channels, dims=3, channels=channels, multipliers=multipliers, blocks=blocks, attention_levels=[],
            middle_attention=False, groups=groups, vector_width=vector_width,
        )  # fmt: skip

    def forward(self, x: Tensor, label: Tensor, context: Context = _NOTHING) -> Tensor:
        noise = noise_of(label, self.data)[:, :, None, None, None]  # s of x on the network's scale, where its power is 1
        with torch.autocast(x.device.type, enabled=False):
            n = x.float() / noise
            z, error = _low_rank(n)
            around = local_mean(n)
            seen = torch.cat([noise * z, torch.asinh(n - around), torch.asinh(z - around), error], 1)
        out: Tensor = self.unet(seen, label, context)
        # (s z - c_skip x_t) / c_out, by s^2 = noise^2 power and data^2 = (1 - noise^2) power
        shrunk = (z - (1 - noise**2) * n) / (1 - noise**2).sqrt()
        return shrunk + out


def _low_rank(n: Tensor) -> tuple[Tensor, Tensor]:
    """Low rank of n (batch, channels, X, Y, Z) with noise of deviation 1, and the deviation of its error (batch, 1, X, Y, Z)."""
    found = [local_svd(one.movedim(0, -1), torch.ones_like(one[0], dtype=torch.bool), optimal_shrinkage) for one in n]
    return torch.stack([z.movedim(-1, 0) for z, _ in found]), torch.stack([error.sqrt()[None] for _, error in found])
