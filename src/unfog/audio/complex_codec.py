r"""Complex spectrograms as what a model works on: a codec that is inverted exactly, without a
vocoder.

    c = b |S|^a exp(i arg S),   S = STFT(x) under Hann's window,

a = .5 and b = .15 as in speech enhancement by diffusion (Richter et al. 2023, arXiv:2208.05830):
the root lifts what is quiet, which magnitudes of sounds mostly are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.codec import Codec, LatentCodec, Range, codecs
from unfog.errors import InputError


@codecs.register("complex-spectrogram")
class ComplexCodec(LatentCodec):
    """Sounds (batch, channels, samples) as complex spectrograms (batch, 2 channels, frequencies,
    frames), real parts and imaginary parts of a channel one after the other. ``decode`` gives whole
    hops: what the sound had, and silence.

    Args:
        window: Samples of a window, even; there are window / 2 + 1 frequencies, so that 510 gives
            256.
        hop: Samples from frame to frame, at most a third of a window, so that the last are covered.
        exponent: a, above 0.
        factor: b, above 0.

    Raises:
        InputError: The sizes do not fit, or a or b is not above 0.
    """

    def __init__(
        self, window: int = 510, hop: int = 128, exponent: float = 0.5, factor: float = 0.15
    ) -> None:
        if window % 2 or not 1 <= hop <= window // 3:
            raise InputError(
                f"A complex spectrogram has an even window and a hop of at most a third of it, "
                f"not {window} and {hop}."
            )
        if not (exponent > 0 and factor > 0):
            raise InputError("A complex spectrogram's exponent and factor are above 0.")
        self.window, self.hop, self.exponent, self.factor = window, hop, exponent, factor
        told = ("complex", window, hop, exponent, factor)
        self.sha256 = hashlib.sha256(repr(told).encode()).hexdigest()

    @property
    def scale(self) -> Codec:
        return Range(-1.0, 1.0)

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (2 * shape[0], self.window // 2 + 1, -(-shape[-1] // self.hop))

    def encode(self, x: Tensor) -> Tensor:
        # Whole hops, and silence about them: frame k is centred on sample hop k.
        frames = -(-x.shape[-1] // self.hop)
        flat = x.float().flatten(0, 1)
        flat = torch.nn.functional.pad(flat, (0, frames * self.hop - x.shape[-1]))
        s = torch.stft(
            flat,
            self.window,
            self.hop,
            window=self._hann(flat),
            center=True,
            pad_mode="constant",
            return_complex=True,
        )[..., :frames]
        # Compressed in magnitude alone.
        tiny = torch.finfo(flat.dtype).tiny
        c = self.factor * s * s.abs().clamp(min=tiny) ** (self.exponent - 1)
        return torch.view_as_real(c).movedim(-1, 1).reshape(len(x), -1, *c.shape[1:])

    def decode(self, x: Tensor) -> Tensor:
        pairs = x.float().reshape(-1, 2, *x.shape[2:]) / self.factor
        c = torch.view_as_complex(pairs.movedim(1, -1).contiguous())
        s = c * c.abs() ** (1 / self.exponent - 1)
        # The sound of least squares: the inverse, where s is the spectrogram of a sound.
        sounds = torch.istft(
            s,
            self.window,
            self.hop,
            window=self._hann(pairs),
            center=True,
            length=x.shape[-1] * self.hop,
        )
        return sounds.reshape(len(x), -1, sounds.shape[-1])

    def _hann(self, x: Tensor) -> Tensor:
        return torch.hann_window(self.window, dtype=x.dtype, device=x.device)
