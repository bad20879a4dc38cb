"""Complex spectrograms: inverted exactly, and what they say they are."""

import numpy as np
import pytest
import torch

from unfog.audio.complex_codec import ComplexCodec
from unfog.audio.metrics import si_sdr
from unfog.errors import InputError


@pytest.mark.parametrize("samples", [4096, 4000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sizes", [{}, {"window": 96, "hop": 32, "exponent": 0.3, "factor": 2.0}])
def test_a_round_trip_is_exact(samples, channels, sizes):
    codec = ComplexCodec(**sizes)
    x = 0.3 * torch.randn(3, channels, samples, generator=torch.Generator().manual_seed(0))
    x[:, :, 1000:2000] = 0
    z = codec.encode(x)
    assert z.shape == (3, *codec.latent_shape((channels, samples)))
    back = codec.decode(z)
    assert back.shape[-1] % codec.hop == 0
    assert float((back[..., :samples] - x).abs().max()) < 2e-6 * float(x.abs().max())
    assert float(back[..., samples:].abs().max() if back.shape[-1] > samples else 0) < 1e-6


def test_it_is_the_compressed_transform():
    codec = ComplexCodec()
    assert codec.latent_shape((1, 16_384)) == (2, 256, 128)
    x = 0.3 * torch.randn(1, 1, 2048, generator=torch.Generator().manual_seed(0)).double()
    z = codec.encode(x)[0].double()
    # One frame by numpy: its phase as it is, its magnitude under a root.
    frame = x[0, 0, 5 * 128 - 255 : 5 * 128 + 255].numpy()
    window = np.hanning(511)[:-1]
    s = np.fft.rfft(frame * window)
    c = z[0, :, 5].numpy() + 1j * z[1, :, 5].numpy()
    assert np.abs(c - 0.15 * np.sqrt(np.abs(s)) * np.exp(1j * np.angle(s))).max() < 1e-5
    # Stereo: the second channel's parts follow the first's.
    both = codec.encode(torch.cat([x, 2 * x], 1))
    assert torch.allclose(both[:, 2:], 2**0.5 * both[:, :2], atol=1e-5)


def test_phases_are_what_a_sound_needs():
    codec, x = ComplexCodec(), torch.randn(1, 1, 8192, generator=torch.Generator().manual_seed(0))
    z = codec.encode(x)
    near = codec.decode(z + 0.02 * torch.randn(z.shape, generator=torch.Generator().manual_seed(1)))
    turned = codec.decode(torch.cat([z[:, :1].abs(), 0 * z[:, 1:]], 1))
    assert float(si_sdr(near, x)) > 20
    assert float(si_sdr(turned, x)) < 3


def test_bad_sizes_are_refused():
    for bad in ({"window": 511}, {"window": 64, "hop": 40}, {"exponent": 0.0}, {"factor": -1.0}):
        with pytest.raises(InputError, match="complex spectrogram"):
            ComplexCodec(**bad)
    assert ComplexCodec(hop=64).sha256 != ComplexCodec().sha256
