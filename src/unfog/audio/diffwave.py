r"""DiffWave (Kong et al. 2021, arXiv:2009.09761): a WaveNet without autoregression, on samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, silu

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks.network import NOTHING, Network
from unfog.networks.registry import networks

SINES = 64  # of the label, and as many cosines
EMBEDDING = 512


class KnotEmbedding(nn.Module):
    """The index n of a schedule's knot, (batch,), as a vector (batch, 512):

        e(n) = [sin(10^(4 k / 63) n), cos(10^(4 k / 63) n)],   k = 0 .. 63,

    and a perceptron. Its fastest waves have no meaning between knots, so e is linear there.
    """

    table: Tensor

    def __init__(self, steps: int) -> None:
        super().__init__()
        # In float32, as the authors compute it: the fastest angles are not exact.
        angle = torch.arange(steps)[:, None] * 10.0 ** (torch.arange(SINES)[None] * 4.0 / 63.0)
        table = torch.cat([angle.sin(), angle.cos()], 1)
        self.register_buffer("table", table, persistent=False)
        self.hidden, self.out = nn.Linear(2 * SINES, EMBEDDING), nn.Linear(EMBEDDING, EMBEDDING)

    def forward(self, label: Tensor) -> Tensor:
        n = label.clamp(0, len(self.table) - 1)
        low = n.floor().long()
        high = (low + 1).clamp(max=len(self.table) - 1)
        e = torch.lerp(self.table[low], self.table[high], (n - low).to(self.table)[:, None])
        return silu(self.out(silu(self.hidden(e.to(self.hidden.weight.dtype)))))


class GatedBlock(nn.Module):
    """One residual layer: h (batch, C, samples), the label's embedding e, the conditions' vector v
    and maps s to the next h and what goes to the output,

        y = conv_d(h + A e) + B v + W s,   z = sigmoid(y_1) tanh(y_2),   [r, skip] = U z,
        h' = (h + r) / sqrt 2.

    Args:
        channels: C.
        dilation: d of the convolution of 3 taps.
        vector_width: Of v; None without it.
        spatial_channels: Of s; 0 without it.
    """

    def __init__(
        self, channels: int, dilation: int, vector_width: int | None, spatial_channels: int
    ) -> None:
        super().__init__()
        self.label = nn.Linear(EMBEDDING, channels)
        self.conv = nn.Conv1d(channels, 2 * channels, 3, padding=dilation, dilation=dilation)
        self.vector = None if vector_width is None else nn.Linear(vector_width, 2 * channels)
        self.maps = nn.Conv1d(spatial_channels, 2 * channels, 1) if spatial_channels else None
        self.out = nn.Conv1d(channels, 2 * channels, 1)

    def forward(self, h: Tensor, e: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        y = self.conv(h + self.label(e)[..., None])
        if self.vector is not None and context.vector is not None:
            y = y + self.vector(context.vector.to(y))[..., None]
        if self.maps is not None and context.spatial is not None:
            y = y + self.maps(context.spatial)
        gate, value = y.chunk(2, 1)
        residual, skip = self.out(gate.sigmoid() * value.tanh()).chunk(2, 1)
        return (h + residual) / math.sqrt(2), skip


@networks.register("diffwave")
class DiffWave(Network):
    """The network of DiffWave: x (batch, in_channels, samples) of any length, label (batch,), the
    index of a knot, and context to (batch, out_channels, samples).

    Gated layers of dilated convolutions, whose dilations double from 1 on and begin again after
    each cycle; the sum of what they put out, over the root of their number, passes two 1 x 1
    convolutions. It starts as the zero function. Published: 30 layers of 64 channels, a cycle of 10
    and a spectrogram of 80 bands, 2.62 M parameters.

    Args:
        in_channels: Channels of x: 1, or 2 of stereo.
        out_channels: Channels of the output.
        dims: Axes of space, 1.
        channels: Width of the layers.
        layers: Their number.
        cycle: Layers until dilations begin again.
        steps: Knots of the schedule.
        vector_width: Width of ``context.vector``, which each layer adds; None without it.
        spatial_channels: Channels of ``context.spatial``, such as the bands of a spectrogram on the
            samples' grid; 0 without it.
        token_width: None: no text is seen by cross-attention here.
    """

    kind, takes_dims = "DiffWave", (1,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 1,
        channels: int = 64,
        layers: int = 30,
        cycle: int = 10,
        steps: int = 50,
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
    ) -> None:
        if min(channels, layers, cycle, steps) < 1:
            raise InputError("DiffWave's channels, layers, cycle and steps are at least 1.")
        if token_width is not None:
            raise InputError(
                "DiffWave sees no text; train audio-latent, which draws spectrograms by captions."
            )
        super().__init__(
            dims,
            embedding_width=EMBEDDING,
            vector_width=vector_width,
            spatial_channels=spatial_channels,
            token_width=token_width,
        )
        self.cycle = cycle
        self.feature_channels = [channels] * -(-layers // cycle)
        self.enter = nn.Conv1d(in_channels, channels, 1)
        self.embedding = KnotEmbedding(steps)
        self.layers = nn.ModuleList(
            GatedBlock(channels, 2 ** (k % cycle), vector_width, spatial_channels)
            for k in range(layers)
        )
        self.skip = nn.Conv1d(channels, channels, 1)
        self.leave = nn.Conv1d(channels, out_channels, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        skips = self._skips(x, label, context)
        total = torch.stack(skips).sum(0) / math.sqrt(len(self.layers))
        out: Tensor = self.leave(relu(self.skip(total)))
        return out

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network: what the layers of each cycle put out, summed."""
        return self._skips(x, label, context)

    def _skips(self, x: Tensor, label: Tensor, context: Context) -> list[Tensor]:
        """The sums of what the layers of each cycle put out, (batch, channels, samples)."""
        self.check(x, context)
        # In float32, or bfloat16 would round away noise that is a small part of x.
        with torch.autocast(x.device.type, enabled=False):
            h = relu(self.enter(x.to(self.enter.weight.dtype)))
        e = self.embedding(label)
        sums: list[Tensor] = []
        for k, layer in enumerate(self.layers):
            h, skip = layer(h, e, context)
            if k % self.cycle:
                sums[-1] = sums[-1] + skip
            else:
                sums.append(skip)
        return sums
