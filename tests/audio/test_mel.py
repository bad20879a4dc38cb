"""Log-mel spectrograms: as another library has them, and back."""

import numpy as np
import pytest
import torch

from unfog.audio.griffin_lim import griffin_lim
from unfog.audio.mel import MelScale
from unfog.audio.mel_codec import MelCodec
from unfog.audio.metrics import seam_energy, si_sdr, stft_distance
from unfog.errors import InputError


def chirp(samples=16_384, rate=16_000):
    """A tone that rises from 200 to 2000 Hz, (1, samples)."""
    t = torch.arange(samples, dtype=torch.float64) / rate
    f = 200 * t + 900 * t**2
    return 0.5 * torch.sin(2 * torch.pi * f)[None]


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_parity_with_transformers(rate):
    theirs = pytest.importorskip("transformers.audio_utils")
    x = chirp() + 0.01 * torch.randn(1, 16_384, generator=torch.Generator().manual_seed(0))
    filters = theirs.mel_filter_bank(513, 80, 20, rate / 2, rate, norm=None, mel_scale="htk")
    scale = MelScale(rate)
    assert np.abs(scale.filters.numpy().T - filters).max() < 1e-12
    window = np.hanning(1025)[:-1]
    found = theirs.spectrogram(
        x[0].numpy(), window, 1024, 256, power=1.0, mel_filters=filters, mel_floor=0
    )
    expected = np.maximum(found / np.linalg.norm(window), 1e-5)[:, :64]
    expected = np.clip((20 * np.log10(expected) - 20 + 100) / 100, 0, 1)
    m = scale.log_mel(x.double())[0].numpy()
    assert m.shape == (80, 64)
    # transformers keeps its spectrum in complex64.
    assert np.abs(m - expected).max() < 1e-4


def test_a_tone_lies_in_its_band():
    scale = MelScale(16_000)
    tone = 0.1 * torch.sin(2 * torch.pi * 1000 * torch.arange(16_384).double() / 16_000)[None]
    band = int(scale.log_mel(tone)[0, :, 30].argmax())
    mel = [2595 * np.log10(1 + f / 700) for f in (20, 1000, 8000)]
    assert band == round((mel[1] - mel[0]) / (mel[2] - mel[0]) * 81) - 1
    # Ten times the amplitude is 20 dB more.
    more = scale.log_mel(tone)[0, band, 30] - scale.log_mel(0.1 * tone)[0, band, 30]
    assert float(more) == pytest.approx(0.2, abs=1e-6)


def test_griffin_lim_gives_the_spectrogram_back():
    scale, x = MelScale(16_000), chirp().float()
    m = scale.log_mel(x)
    few, many = (griffin_lim(scale, m, 16_384, iterations=n) for n in (1, 60))
    errors = [float((scale.log_mel(y) - m).abs().mean()) for y in (few, many)]
    assert many.shape == (1, 16_384)
    assert errors[1] < 0.03
    assert errors[1] < 0.7 * errors[0]


def test_griffin_lim_goes_on_from_a_sound():
    scale, x = MelScale(16_000), chirp().float()
    m = scale.log_mel(x)
    # From the sound itself nothing is left to find, where random phases need many turns.
    again = griffin_lim(scale, m, 16_384, iterations=1, start=x)
    random = griffin_lim(scale, m, 16_384, iterations=1)
    errors = [float(si_sdr(y[:, None], x[:, None])) for y in (again, random)]
    assert errors[0] > 10
    assert errors[0] > errors[1] + 10
    # Of a louder sound the magnitudes come out as the spectrogram has them.
    loud = griffin_lim(scale, m, 16_384, iterations=1, start=2 * x)
    assert float((scale.log_mel(loud) - m).mean().abs()) < 0.01  # of .06 louder


def test_the_codec_is_the_spectrogram():
    codec, x = MelCodec(16_000), chirp(4096).float()[:, None]
    assert codec.latent_shape((1, 4096)) == (1, 80, 16)
    z = codec.encode(x)
    assert z.shape == (1, 1, 80, 16)
    assert torch.equal((z[:, 0] + 1) / 2, codec.mel.log_mel(x[:, 0]))
    assert codec.decode(z).shape == x.shape
    assert MelCodec(8000).sha256 != codec.sha256
    with pytest.raises(InputError, match="hop"):
        MelScale(16_000, hop=2048)


def test_measures():
    x = torch.randn(3, 1, 8000, generator=torch.Generator().manual_seed(0))
    n = torch.randn(3, 1, 8000, generator=torch.Generator().manual_seed(1))
    # Scale makes no difference; independent noise of a tenth is 20 dB below.
    assert si_sdr(3 * (x + 0.1 * n), x) == pytest.approx(20.0, abs=0.3)
    assert (stft_distance(x, x) == 0).all()
    assert (stft_distance(x + 0.1 * n, x) < stft_distance(x + n, x)).all()
    smooth = torch.cumsum(torch.cumsum(x[0, 0], 0), 0)
    assert seam_energy(smooth, [2000, 4000]) == pytest.approx(1, abs=0.5)
    jump = smooth.clone()
    jump[4000:] += 50
    assert seam_energy(jump, [4000]) > 20
