"""Data sets of sound: cuts, classes by name, captions, tempo; archives that keep their folders."""

import tarfile

import numpy as np
import pytest
import torch

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.audio.data.tempo import TempoCondition, tempo_of
from unfog.audio.metrics import log_spectral_distance
from unfog.audio.oracle import harmonic_spectrum, periodogram
from unfog.audio.sounds import Sound, write_sound
from unfog.core.named_class import KIND, number_of
from unfog.core.random import generators
from unfog.data.builtin.archive import extract
from unfog.data.builtin.packages import is_fetched
from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.files.formats import format_of

pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("pyloudnorm")
RATE = 8000


def tones(folder, count=3, frames=3000, rate=RATE):
    """A folder of folders of tones."""
    for k in range(count):
        (folder / f"class{k}").mkdir(parents=True, exist_ok=True)
        x = 0.3 * np.sin(2 * np.pi * 300 * (k + 1) * np.arange(frames) / rate)
        write_sound(folder / f"class{k}" / f"tone {k}.wav", Sound(x[None].astype("f4"), rate))
    return folder


def test_a_folder_is_cut_into_clips(tmp_path):
    data = open_dataset(tones(tmp_path), frames=1024, classes=True, captions=True)
    assert data.name == "recordings"
    assert (data.shape, data.voxel, data.format) == ((1, 1024), (1 / RATE,), "sound")
    # Half-overlapping cuts, and the last one ends in silence.
    assert len(data) == 3 * 5
    x = data.batch([0, 1, 4])["x"]
    assert torch.equal(x[0, :, 512:], x[1, :, :512])
    assert (x[2, :, 3000 - 4 * 512 :] == 0).all()
    assert float(x.abs().max()) == pytest.approx(0.9, abs=1e-3)
    labels = data.batch(range(15))["label"]
    assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert data.captions[5] == "tone"
    section = data.conditions["label"]
    assert (section["name"], section["names"]) == (KIND, ["class0", "class1", "class2"])
    assert number_of(section, "class2") == number_of(section, "2") == 2
    with pytest.raises(InputError, match="did you mean 'class2'"):
        number_of(section, "clas2")


def test_training_moves_cuts_as_their_generators_say(tmp_path):
    data = open_dataset(tones(tmp_path, 1), frames=1024)
    one, again = (data.draw([1, 1], generators(0, [3, 4]))["x"] for _ in range(2))
    assert torch.equal(one, again)
    assert not torch.equal(one[0], one[1])
    whole = torch.from_numpy(data.recordings[0])
    places = [k for k in range(1977) if torch.equal(whole[:, k : k + 1024], one[0])]
    assert any(256 <= place <= 768 for place in places)


def test_bad_folders_are_refused(tmp_path):
    mixed = tones(tmp_path / "mixed", 2)
    tones(mixed / "more", 1, rate=16_000)
    with pytest.raises(InputError, match="differ in rate"):
        open_dataset({"name": "recordings", "path": str(mixed)})
    assert open_dataset({"name": "recordings", "path": str(mixed), "rate": 8000}).rate == 8000
    silent = tmp_path / "silent.wav"
    write_sound(silent, Sound(np.zeros((1, 5000), np.float32), RATE))
    with pytest.raises(InputError, match="silent"):
        open_dataset(silent)
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.txt").write_text("no sound")
    with pytest.raises(InputError, match="holds no sounds"):
        open_dataset({"name": "recordings", "path": str(tmp_path / "none")})


def test_a_sound_says_what_it_is(tmp_path):
    path = tones(tmp_path, 1) / "class0" / "tone 0.wav"
    form = format_of(path)
    facts = form.describe(path)
    assert (form.name, facts["rate"], facts["samples"]) == ("sound", RATE, "PCM_16")
    assert facts["seconds"] == pytest.approx(0.375)
    with pytest.raises(InputError, match="is a sound and the model is of 2"):
        form.read(path, 2)


@pytest.mark.parametrize("beats", [80, 120, 150])
def test_the_tempo_of_clicks_is_found(beats):
    x = np.zeros(8 * 16_000, np.float32)
    x[np.arange(0, len(x), round(60 / beats * 16_000))] = 1
    click = np.convolve(x, np.exp(-np.arange(800) / 100) * np.sin(np.arange(800)))[: len(x)]
    found = tempo_of(Sound(click[None].astype(np.float32), 16_000))
    assert found == pytest.approx(beats, rel=0.03)


def test_a_tempo_is_told_in_octaves():
    condition = TempoCondition(8)
    given = condition.embed(torch.tensor([[240.0], [60.0]])).vector
    expected = condition.project(torch.tensor([[1.0], [-1.0]]))
    assert torch.allclose(given, expected)


@pytest.mark.skipif(not is_fetched("klettres-data"), reason="needs unfog data fetch speech")
def test_speech_has_letters_of_other_speakers_for_testing():
    few = {"name": "speech", "speakers": ["en", "fr"], "rate": 8000, "frames": 8192}
    data = open_dataset(few)
    assert len(data) == 52
    assert data.classes == tuple("abcdefghijklmnopqrstuvwxyz")
    assert data.batch([0, 26])["label"].tolist() == [0, 0]
    assert data.captions[27] == "the letter b, spoken in fr"
    with pytest.raises(InputError, match="A speaker must be one of"):
        open_dataset({**few, "speakers": ["xx"]})


@pytest.mark.skipif(
    not is_fetched("supersonic-scsynth-samples"), reason="needs unfog data fetch sounds"
)
def test_sounds_are_named_and_loops_have_a_tempo():
    data = open_dataset({"name": "sounds", "part": "loops", "rate": 8000, "split": "all"})
    tempo = data.batch(range(len(data)))["tempo"]
    assert tempo.shape == (len(data), 1)
    assert 60 <= float(tempo.min()) <= float(tempo.max()) <= 240
    assert set(data.conditions) == {"tempo"}
    assert "loop amen" in data.captions


def test_members_keep_their_folders_below_a_root(tmp_path):
    for name in ("en", "fr"):
        (tmp_path / "in" / "a" / name).mkdir(parents=True)
        (tmp_path / "in" / "a" / name / "x.txt").write_text(name)
    (tmp_path / "in" / "licence").write_text("free")
    with tarfile.open(tmp_path / "p.tgz", "w:gz") as bundle:
        bundle.add(tmp_path / "in", "p")
    extract(tmp_path / "p.tgz", ("p/a/*/x.txt", "p/licence"), tmp_path / "out", "p/a/")
    assert (tmp_path / "out" / "fr" / "x.txt").read_text() == "fr"
    assert (tmp_path / "out" / "licence").read_text() == "free"


def test_tones_have_the_spectrum_that_is_said():
    data = open_dataset({"name": "tones", "count": 800, "frames": 1024})
    x = data.batch(range(5, 800, 8))["x"]
    assert set(data.batch(range(5, 800, 8))["label"].tolist()) == {5}
    assert data.captions[5] == "a tone of 440 Hz"
    known = harmonic_spectrum(1024, round(440 * 1024 / 8000), 4)
    # A mean of 100 periodograms errs by .44 dB itself.
    assert log_spectral_distance(periodogram(x), known) < 0.7
    assert (data.format, data.voxel) == ("sound", (1 / 8000,))
