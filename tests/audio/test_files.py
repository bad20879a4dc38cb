"""Sounds in and out of files: exact where the format is, whole or by blocks; bad ones refused."""

import sys

import numpy as np
import pytest

from unfog.audio.data.cuts import spoken
from unfog.audio.sounds import Sound, read_sound, resampled, write_sound
from unfog.audio.sounds.files import Writer, describe, read_blocks
from unfog.audio.sounds.libraries import library
from unfog.audio.sounds.loudness import integrated_loudness
from unfog.audio.sounds.resample import resampled_blocks
from unfog.audio.sounds.truncation import require_whole
from unfog.errors import InputError

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("pyloudnorm")
RATE = 16_000


def noise(channels=1, frames=5000, seed=0):
    """White noise within full scale, (channels, frames)."""
    x = np.random.default_rng(seed).uniform(-1, 1, (channels, frames))
    return x.astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff"])
@pytest.mark.parametrize("bits", [16, 24])
def test_whole_numbers_are_kept_exactly(tmp_path, suffix, bits):
    levels = np.random.default_rng(0).integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (2, 3000))
    levels[:, :2] = [[-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]] * 2
    path = tmp_path / f"x{suffix}"
    x = (levels / 2.0 ** (bits - 1)).astype(np.float32)
    write_sound(path, Sound(x, 44_100, f"PCM_{bits}"))
    # The levels lie in the file itself, at the top of 32 bits.
    stored, rate = sf.read(path, dtype="int32")
    assert rate == 44_100
    assert (stored.T >> (32 - bits) == levels).all()
    again = read_sound(path)
    assert again.subtype == f"PCM_{bits}"
    assert (again.samples == x).all()


def test_floats_are_kept_exactly_and_loss_is_small(tmp_path):
    x = 3 * noise(2)
    write_sound(tmp_path / "x.wav", Sound(x, RATE, "FLOAT"))
    assert (read_sound(tmp_path / "x.wav").samples == x).all()
    tone = np.sin(np.arange(16_000) / 10)[None].astype(np.float32) / 2
    for suffix in (".ogg", ".mp3"):
        write_sound(tmp_path / f"y{suffix}", Sound(tone, RATE))
        again = read_sound(tmp_path / f"y{suffix}").samples
        assert again.shape[1] >= 16_000
        assert np.abs(again).max() == pytest.approx(0.5, abs=0.05)


def test_blocks_are_the_whole(tmp_path):
    x = noise(2, 5000)
    with Writer(tmp_path / "x.wav", RATE, 2, "FLOAT") as write:
        for part in np.array_split(x, 7, 1):
            write(part)
    blocks = list(read_blocks(tmp_path / "x.wav", 999))
    assert max(block.shape[1] for block in blocks) == 999
    assert (np.concatenate(blocks, 1) == x).all()


@pytest.mark.parametrize("after", [8000, 11_025, 22_050, 48_000])
def test_resampled_blocks_are_the_resampled_whole(after):
    x = noise(2, 9000)
    whole = resampled(Sound(x, RATE), after).samples
    parts = np.concatenate(list(resampled_blocks(np.split(x, [10, 500, 4000], 1), RATE, after)), 1)
    assert parts.shape == whole.shape
    assert np.abs(parts - whole).max() < 1e-6
    # A tone stays that tone.
    t = np.arange(9000) / RATE
    tone = resampled(Sound(np.sin(2 * np.pi * 500 * t)[None].astype(np.float32), RATE), after)
    at = np.arange(tone.samples.shape[1]) / after
    assert np.abs(tone.samples[0] - np.sin(2 * np.pi * 500 * at))[300:-300].max() < 2e-3


def test_loudness_is_that_of_the_standard():
    # BS.1770-4: a tone of 997 Hz at full scale in one channel has -3.01 LUFS, in both 0.
    tone = np.sin(2 * np.pi * 997 * np.arange(5 * 48_000) / 48_000).astype(np.float32)
    assert integrated_loudness(Sound(tone[None], 48_000)) == pytest.approx(-3.01, abs=0.01)
    both = Sound(np.stack([tone, tone]) / 10, 48_000)
    assert integrated_loudness(both) == pytest.approx(-20, abs=0.01)
    # Silence after it is left out by the gate.
    longer = np.concatenate([tone, np.zeros(10 * 48_000, np.float32)])
    assert integrated_loudness(Sound(longer[None], 48_000)) == pytest.approx(-3.01, abs=0.2)
    assert integrated_loudness(Sound(np.zeros((1, 48_000), np.float32), 48_000)) == -np.inf


@pytest.mark.parametrize("name", ["soundfile", "soxr", "pyloudnorm"])
def test_a_library_that_is_missing_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"{name}, which is not installed.*unfog\[audio\]"):
        library(name)


def cut(path, share):
    """The file without its end."""
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_file_that_was_cut_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"x{suffix}"
    write_sound(path, Sound(noise(1, 60_000), RATE))
    cut(path, share)
    with pytest.raises(InputError, match=r"cut short|damaged") as error:
        read_sound(path)
    assert path.name in str(error.value)


def test_an_ogg_without_the_mark_of_its_last_page_is_read(tmp_path):
    path = tmp_path / "x.ogg"
    write_sound(path, Sound(noise(1, 60_000), RATE))
    content = bytearray(path.read_bytes())
    page = content.rfind(b"OggS")
    content[page + 5] &= ~4
    path.write_bytes(content)
    require_whole(path)
    # But not when its last byte is missing, or all but the page's name.
    for end in (len(content) - 1, page + 4):
        path.write_bytes(content[:end])
        with pytest.raises(InputError, match="a part of its last page"):
            require_whole(path)


def test_bad_sounds_are_refused(tmp_path):
    for channels, rate, words in ((8, RATE, "8 channels"), (1, 2000, "2000 frames a second")):
        sf.write(tmp_path / "x.wav", np.zeros((100, channels)), rate)
        with pytest.raises(InputError, match=words):
            describe(tmp_path / "x.wav")
    sf.write(tmp_path / "nan.wav", np.full((9, 1), np.nan, np.float32), RATE, "FLOAT")
    with pytest.raises(InputError, match="9 samples of 9 that are not finite"):
        read_sound(tmp_path / "nan.wav")
    sf.write(tmp_path / "none.wav", np.zeros((0, 1)), RATE)
    with pytest.raises(InputError, match="0 frames"):
        read_sound(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(InputError, match="no sound that libsndfile reads"):
        read_sound(tmp_path / "text.wav")
    with pytest.raises(InputError, match="silent"):
        Sound(np.zeros((1, 9), np.float32), RATE).loud()


def test_speech_is_found_in_silence():
    x = np.zeros((1, RATE), np.float32)
    x[:, 6000:9000] = noise(1, 3000)
    part = spoken(x, RATE)
    assert part.shape[1] == pytest.approx(3000 + 2 * 800, abs=60)
    assert np.abs(part).max() == np.abs(x).max()
