"""The commands of sound: train, sample, vocode, restore; bad input is one sentence and exit 2."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from unfog.audio.sounds import Sound, read_sound, write_sound
from unfog.cli.main import app
from unfog.runs.run import Run

sf = pytest.importorskip("soundfile")
pytest.importorskip("soxr")
pytest.importorskip("pyloudnorm")
RATE = 8000
TINY = ["--set", "training.batch=2", "--steps", "2", "--seed", "0"]


def invoke(*words):
    """The result of a command."""
    return CliRunner().invoke(app, [str(word) for word in words])


def good(*words):
    """The same, of a command that succeeds."""
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result


def voice(frames=5000, rate=RATE, seed=0):
    """A mono sound with a silence in it, (1, frames)."""
    t = np.arange(frames) / rate
    x = 0.4 * np.sin(2 * np.pi * 440 * t) + 0.05 * np.random.default_rng(seed).normal(size=frames)
    x[3000:3100] = 0
    return x[None].astype(np.float32)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of sounds in two classes, and a file of one."""
    folder = tmp_path_factory.mktemp("sound")
    for k, name in enumerate(("ding", "dong")):
        (folder / "in" / name).mkdir(parents=True)
        write_sound(folder / "in" / name / f"{name}.wav", Sound(voice(seed=k), RATE))
    write_sound(folder / "voice.wav", Sound(voice(), RATE))
    return folder


def trained(place, system, out, *options):
    """A tiny run; what it learned does not matter."""
    data = ["--data", place / "in", "--set", "data.frames=2048"]
    good("train", system, *data, "--out", place / out, *TINY, *options)
    return place / out


SMALL = ["--set", "network.channels=4", "--set", "network.layers=4", "--set", "network.cycle=2"]


def played(out, count, seconds, rate=RATE):
    """The samples of a folder, with its page."""
    x = np.load(out / "samples.npy")
    assert x.shape == (count, 1, round(seconds * rate))
    sound = read_sound(out / f"sample-{count - 1:04d}.wav")
    assert (sound.rate, sound.samples.shape) == (rate, x.shape[1:])
    page = (out / "report.html").read_text()
    assert page.count("<audio") == min(count, 8)
    assert "data:audio/wav;base64," in page
    assert "media-src data:" in page
    assert "http" not in page.replace("http-equiv", "")
    return json.loads((out / "summary.json").read_text())


def test_classes_are_asked_for_by_name(place, tmp_path):
    run = trained(place, "diffwave-class", "class", *SMALL, "--set", "data.classes=true")
    options = ["-n", 2, "--seconds", 0.5, "--steps", 3]
    good("sample", run, "--class", "dong", "--out", tmp_path / "a", *options)
    assert played(tmp_path / "a", 2, 0.5)["class"] == "dong"
    good("sample", run, "--class", "1", "--out", tmp_path / "b", *options)
    assert (np.load(tmp_path / "a/samples.npy") == np.load(tmp_path / "b/samples.npy")).all()
    wrong = invoke("sample", run, "--class", "dang", "--out", tmp_path / "c")
    assert wrong.exit_code == 2
    assert "did you mean" in wrong.output
    assert not (tmp_path / "c").exists()


def test_a_vocoder_goes_on_from_a_prior(place, tmp_path):
    small = ["--set", "network.channels=16", "--set", "network.groups=4"]
    small += ["--set", "network.head_dim=16"]
    prior = trained(place, "sound-prior", "before", *small)
    vocoder = trained(place, "sound-vocoder", "after", *small, "--start", prior)
    a, b = (Run.open(run).denoiser.network.enter.weight for run in (prior, vocoder))
    assert a.shape[1] < b.shape[1]
    out = tmp_path / "v"
    good("sample", vocoder, "--mel", place / "voice.wav", "--out", out)
    assert played(out, 1, 5000 / RATE)["steps"] == 4


def test_a_vocoder_follows_a_sound_and_draws_of_latents(place, tmp_path):
    vocoder = trained(place, "diffwave-small", "vocoder", *SMALL)
    out = tmp_path / "v"
    good("sample", vocoder, "--mel", place / "voice.wav", "--out", out)
    assert played(out, 1, 5000 / RATE)["steps"] == 6
    alone = invoke("sample", vocoder, "--out", tmp_path / "none")
    assert alone.exit_code == 2
    assert "--mel" in alone.output
    # An autoencoder of spectrograms, and a model in its latents.
    coder = trained(place, "mel-autoencoder", "coder", "--set", "autoencoder.channels=8")
    latent = [
        "--set",
        f"codec.run={coder}",
        "--set",
        "network.channels=24",
        "--set",
        "network.head_dim=24",
    ]
    latent += ["--set", "data.classes=true"]
    run = trained(place, "audio-latent", "latent", *latent)
    for name, how in (("g", []), ("w", ["--vocoder", vocoder])):
        options = ["-n", 1, "--steps", 2, "--class", "ding", "--seconds", 0.256]
        good("sample", run, "--out", tmp_path / name, *options, *how)
        played(tmp_path / name, 1, 0.256)
    refused = invoke(
        "sample", vocoder, "--mel", place / "voice.wav", "--vocoder", vocoder, "--out", out
    )
    assert refused.exit_code == 2


def test_latents_of_complex_spectrograms_need_no_vocoder(place, tmp_path):
    coder = trained(place, "complex-autoencoder", "complex", "--set", "autoencoder.channels=8")
    latent = [f"codec.run={coder}", "network.channels=24", "network.head_dim=24"]
    run = trained(place, "audio-latent", "sounds", *(f"--set={setting}" for setting in latent))
    out = tmp_path / "x"
    good("sample", run, "--out", out, "-n", 1, "--steps", 2, "--seconds", 0.256)
    played(out, 1, 0.256)
    options = ["--vocoder", run, "--out", tmp_path / "y"]
    assert "needs no vocoder" in invoke("sample", run, *options).output


@pytest.fixture(scope="module")
def prior(place):
    """A prior of samples."""
    few = ["--set", "network.channels=8", "--set", "network.groups=4"]
    return trained(place, "sound-prior", "prior", *few, "--set", "network.head_dim=8")


@pytest.mark.parametrize("task", ["denoise", "inpaint", "declip", "superres", "dereverb"])
def test_sounds_are_restored(place, prior, tmp_path, task):
    x, rate = voice(), RATE
    if task == "declip":
        x = x.clip(-0.3, 0.3)
    if task == "superres":
        x, rate = x[:, ::2], RATE // 2
    path, out = tmp_path / "in.flac", tmp_path / "out"
    write_sound(path, Sound(np.concatenate([x, x]), rate, "PCM_24"))
    options = ["--samples", 2, "--steps", 2, "--out", out]
    good("restore", prior, path, "--task", task, *options)
    mean = read_sound(out / "mean.wav")
    # Stereo, its length and its depth are kept.
    assert (mean.rate, mean.subtype, mean.samples.shape) == (RATE, "PCM_24", (2, 5000))
    assert read_sound(out / "std.wav").subtype == "FLOAT"
    assert read_sound(out / "sample-01.wav").samples.shape == (2, 5000)
    page = (out / "report.html").read_text()
    assert page.count("<audio") == 4
    assert "Uncertainty" in page
    summary = json.loads((out / "summary.json").read_text())
    assert summary["task"] == task
    if task == "dereverb":
        assert summary["reverberation time (s)"] > 0
        assert np.isfinite(summary["direct to reverberant (dB)"])


def test_bad_input_is_one_sentence(place, prior, tmp_path):
    def write(name, x, subtype="PCM_16", rate=RATE):
        sf.write(tmp_path / name, x, rate, subtype)
        return tmp_path / name

    cut = write("cut.flac", voice()[0])
    cut.write_bytes(cut.read_bytes()[:-2000])
    nan = voice()[0].copy()
    nan[7] = np.nan
    cases = {
        write("silence.wav", np.zeros(5000)): "is silent",
        write("empty.wav", np.zeros((0, 1))): "0 frames",
        cut: "cut short",
        write("eight.wav", np.zeros((500, 8))): "8 channels",
        write("slow.wav", np.ones(500) / 2, rate=2000): "2000 frames a second",
        write("nan.wav", nan, "FLOAT"): "not finite",
        tmp_path / "nothing.wav": "no file",
    }
    for path, words in cases.items():
        for command in (
            ["restore", prior, path, "--task", "denoise", "--out", tmp_path / "out"],
            ["train", "sound-prior", "--data", path, "--out", tmp_path / "run", *TINY],
        ):
            result = invoke(*command)
            assert result.exit_code == 2, (path, result.output)
            assert words in result.output or command[0] == "train"
            assert "Traceback" not in result.output
            assert not (tmp_path / "out").exists()
    clean = write("clean.wav", voice(2000)[0])
    for task, words in (("inpaint", "no gap"), ("declip", "is not clipped")):
        result = invoke("restore", prior, clean, "--task", task, "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert words in result.output
    picture = invoke("restore", prior, clean, "--task", "mri", "--out", tmp_path / "out")
    assert picture.exit_code == 2
