"""Diffusion in a latent space, from an autoencoder's run to samples and restorations."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from unfog.builtin import open_run
from unfog.data.dataset import ArrayDataset
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.files.yaml import dump, read
from unfog.physics.operators import Mask
from unfog.runs import latents
from unfog.runs.encoder_figures import LATENTS
from unfog.runs.latent_codecs import AutoencoderCodec
from unfog.runs.latents import Latents
from unfog.runs.low_light import low_light
from unfog.runs.reconstruct import Reconstructions
from unfog.runs.run import data_range
from unfog.runs.train import train, train_autoencoder
from unfog.runs.verify import verify
from unfog.workflows.edit import edit_file
from unfog.workflows.inspect import inspect_path
from unfog.workflows.restore import restore_file
from unfog.workflows.sample import sample_run
from unfog.workflows.tasks import Draws
from unfog.workflows.train import train_files

SMALL = {
    "autoencoder.channels": 8,
    "autoencoder.groups": 4,
    "objective.features.name": "none",
    "objective.width": 8,
    "training.batch": 16,
    "training.lr": 3e-3,
    "training.precision": "fp32",
}
MODEL = {"network.channels": 16, "network.groups": 8, "network.blocks": 1, "training.batch": 8}


def _pictures(count=96):
    """Smooth discs of values 0 to 100."""
    g = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    cx, cy, r = (g.uniform(a, b, (count, 1, 1)) for a, b in ((5, 11), (5, 11), (2, 5)))
    return 100 / (1 + np.exp(((x - cx) ** 2 + (y - cy) ** 2 - r**2) / 4)).astype(np.float32)


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    out = tmp_path_factory.mktemp("ae") / "kl"
    train_autoencoder(
        "autoencoder-kl", _pictures(), out, steps=150, settings=SMALL, value_range=(0, 100)
    )
    return out


@pytest.fixture(scope="module")
def run(autoencoder, tmp_path_factory):
    out = tmp_path_factory.mktemp("ldm") / "run"
    settings = {**MODEL, "codec.run": str(autoencoder)}
    return train("latent-diffusion", _pictures(), out, steps=60, settings=settings)


def test_latents_have_mean_0_and_deviation_1_and_decode_to_the_data(autoencoder):
    codec, x = AutoencoderCodec(str(autoencoder)), torch.from_numpy(_pictures())[:, None]
    z = codec.encode(x)
    assert z.shape == (96, *codec.latent_shape((1, 16, 16))) == (96, 4, 4, 4)
    flat = z.transpose(0, 1).flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(flat.std(1), torch.ones(4), atol=1e-3, rtol=0)
    error = (codec.decode(z) - x).square().mean().sqrt()
    assert float(error) < 0.3 * float(x.std())
    assert json.loads((autoencoder / LATENTS).read_text())["samples"] == 96


def test_a_model_in_a_latent_space_draws_data(run, tmp_path):
    assert run.shape == (1, 16, 16)
    assert run.latent_shape == (4, 4, 4)
    assert data_range(run) == pytest.approx((0, 100), abs=1e-4)
    x = run.sample(3, steps=4)
    assert x.shape == (3, 1, 16, 16)
    assert 1 < float(x.std()) < 100
    # A sample of another size, and one of a file.
    assert run.sample(1, steps=2, shape=(1, 24, 32)).shape == (1, 1, 24, 32)
    sample_run(run.path, 2, tmp_path / "out", steps=2)
    assert np.load(tmp_path / "out" / "samples.npy").shape == (2, 1, 16, 16)


def test_data_are_encoded_once(autoencoder, monkeypatch):
    codec, data = AutoencoderCodec(str(autoencoder)), Memory(_pictures(40), None, 2, (0, 100))
    first = Latents(data, codec)
    wanted = codec.encode(data.batch([3, 7])["x"])
    torch.testing.assert_close(first.batch([3, 7])["x"], wanted, atol=1e-5, rtol=1e-5)

    def never(*_):
        raise AssertionError

    monkeypatch.setattr(latents, "_encoded", never)
    again = Latents(data, codec)
    assert torch.equal(again.batch([3, 7])["x"], first.batch([3, 7])["x"])
    # Other data are others, and a cache that is damaged is none.
    with pytest.raises(AssertionError):
        Latents(Memory(_pictures(41), None, 2, (0, 100)), codec)


def test_an_autoencoder_that_changed_or_went_away_is_refused(autoencoder, run, tmp_path):
    moved = shutil.copytree(autoencoder, tmp_path / "kl")
    copy = shutil.copytree(run.path, tmp_path / "run")
    config = read(copy / "config.yaml")
    config["codec"]["run"] = str(moved)
    (copy / "config.yaml").write_text(dump(config))
    assert verify(copy, accept=True)["adopted"][0].startswith("codec.run: ")
    assert torch.equal(open_run(copy).sample(1, steps=2), run.sample(1, steps=2))
    figures = json.loads((moved / LATENTS).read_text())
    (moved / LATENTS).write_text(json.dumps({**figures, "std": [2.0] * 4}))
    with pytest.raises(InputError, match="has changed since"):
        open_run(copy)
    (moved / LATENTS).unlink()
    with pytest.raises(InputError, match="its training did not end"):
        open_run(copy)
    shutil.rmtree(moved)
    with pytest.raises(InputError, match="is missing; move it back"):
        open_run(copy)


def test_what_cannot_be_a_latent_space_is_refused(autoencoder, run, tmp_path):
    def attempt(data, **settings):
        train("latent-diffusion", data, tmp_path / "no", steps=1, settings={**MODEL, **settings})

    with pytest.raises(InputError, match=r"--set codec\.run=RUN"):
        attempt(_pictures())
    with pytest.raises(InputError, match="no autoencoder; train one"):
        attempt(_pictures(), **{"codec.run": str(run.path)})
    with pytest.raises(InputError, match="is of 1 channels, and the data have 3"):
        attempt(np.zeros((4, 3, 16, 16), np.float32), **{"codec.run": str(autoencoder)})
    with pytest.raises(InputError, match="axes that divide by 4"):
        attempt(np.zeros((4, 1, 18, 16), np.float32), **{"codec.run": str(autoencoder)})
    with pytest.raises(InputError, match="is an autoencoder and draws nothing by itself"):
        open_run(autoencoder)
    assert not (tmp_path / "no").exists()


def test_every_system_trains_in_the_latent_space(autoencoder, tmp_path):
    settings = {**MODEL, "codec.name": "autoencoder", "codec.run": str(autoencoder)}
    run = train("edm", _pictures(), tmp_path / "edm", steps=2, settings=settings)
    assert run.latent_shape == (4, 4, 4)
    assert run.sample(1, steps=2).shape == (1, 1, 16, 16)


def test_a_mask_says_where_in_a_latent_space(autoencoder, tmp_path):
    x = _pictures(256)[:, None]
    masks = (x > 50).astype(np.float32)
    sections = {"name": "range", "low": 0, "high": 100}, {"disc": {"name": "mask", "classes": 2}}
    data = ArrayDataset("arrays", x, *sections, {"disc": masks})
    settings = {**MODEL, "codec.name": "autoencoder", "codec.run": str(autoencoder)}
    settings |= {"training.lr": 3e-3}
    settings |= {"training.batch": 16, "training.ema": 0.95, "training.warmup": 10}
    model = train("edm", data, tmp_path / "run", steps=250, settings=settings)
    np.save(tmp_path / "masks.npy", masks[:16, 0].astype(np.uint8))
    summary = sample_run(
        model.path,
        None,
        tmp_path / "out",
        mask=tmp_path / "masks.npy",
        guidance="mask=1.5",
        steps=8,
    )
    assert summary["samples"] == 16
    drawn = np.load(tmp_path / "out" / "samples.npy") > 50
    asked = masks[:16] > 0.5

    def overlap(shown, wanted):
        both, either = ((f(shown, wanted)).sum((1, 2, 3)) for f in (np.logical_and, np.logical_or))
        return float((both / np.maximum(either, 1)).mean())

    # The discs lie where they were asked for, and not where another mask has them.
    assert overlap(drawn, asked) > 0.45
    assert overlap(drawn, np.roll(asked, 1, 0)) < 0.6 * overlap(drawn, asked)


def test_a_restoration_through_the_decoder_keeps_what_was_measured(run):
    x = torch.from_numpy(_pictures()[:2])[:, None]
    seen = torch.ones(1, 1, 16, 16)
    seen[..., 6:10] = 0
    y = Mask(seen)(x)
    restored = run.restore(y, Mask(seen), sigma=2.0, samples=2, steps=12)
    drawn = run.sample(2, steps=12)
    kept = ((restored.mean - x) * seen).square().mean().sqrt()
    assert float(kept) < 0.5 * float(((drawn - x) * seen).square().mean().sqrt())
    with pytest.raises(InputError, match="more of a measurement than its Jacobian"):
        run.restore(y, Mask(seen), sigma=2.0, samples=2, steps=2, method="ddrm")


def test_a_file_is_restored_in_a_latent_space(run, tmp_path):
    np.save(tmp_path / "y.npy", _pictures()[0])
    draws = Draws(noise="5", samples=2, steps=3)
    summary = restore_file(run.path, [tmp_path / "y.npy"], "denoise", tmp_path / "out", None, draws)
    assert summary["misfit"] is None
    assert np.load(tmp_path / "out" / "mean.npy").shape == (16, 16)


def test_what_is_done_pixel_by_pixel_is_refused(run, tmp_path):
    np.save(tmp_path / "y.npy", _pictures()[0])
    hole = np.zeros((16, 16), np.float32)
    hole[4:9, 4:9] = 1
    np.save(tmp_path / "hole.npy", hole)
    with pytest.raises(InputError, match="latent space, and keeping a part of the input"):
        edit_file(
            run.path, tmp_path / "y.npy", "sdedit", tmp_path / "a", mask=tmp_path / "hole.npy"
        )
    with pytest.raises(InputError, match="latent space, and an exposure is done"):
        low_light(run, [torch.rand(1, 1, 16, 16)])
    edit_file(run.path, tmp_path / "y.npy", "sdedit", tmp_path / "b", samples=1, steps=2)
    assert np.load(tmp_path / "b" / "edit-00.npy").shape == (16, 16)


def test_an_autoencoder_is_inspected(autoencoder):
    facts = inspect_path(autoencoder)
    assert (facts["kind"], facts["factor"], facts["latents"]) == ("autoencoder", 4, [4, 4, 4])
    assert facts["step"] == 150
    assert len(facts["deviation"]) == 4


def test_a_quantised_latent_space(tmp_path):
    settings = {**SMALL, "autoencoder.codes": 32}
    train_autoencoder("autoencoder-vq", _pictures(), tmp_path / "vq", steps=150, settings=settings)
    codec, x = AutoencoderCodec(str(tmp_path / "vq")), torch.from_numpy(_pictures())[:, None]
    z = codec.encode(x)
    places = z * codec.std.view(1, -1, 1, 1) + codec.mean.view(1, -1, 1, 1)
    assert len(codec.network.quantise(places)[1].unique()) > 8
    error = (codec.decode(z) - x).square().mean().sqrt()
    assert float(error) < 0.4 * float(x.std())


def test_an_autoencoder_resumes_bit_for_bit(tmp_path):
    for steps in ((12,), (6, 12)):
        out = tmp_path / str(len(steps))
        for number, last in enumerate(steps):
            settings = {**SMALL, "objective.start": 4, "training.decay": "constant"}
            settings |= {"training.warmup": 0, "training.steps": last}
            train_autoencoder(
                "autoencoder-kl", _pictures(), out, settings=settings, resume=number > 0
            )
    a, b = (AutoencoderCodec(str(tmp_path / name)).network.state_dict() for name in "12")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_training_files_writes_a_report_of_the_reconstructions(tmp_path):
    np.save(tmp_path / "discs.npy", _pictures(32))
    settings = [f"{key}={value}" for key, value in SMALL.items()]
    result = train_files(
        "autoencoder-kl",
        str(tmp_path / "discs.npy"),
        tmp_path / "run",
        [*settings, "training.steps=20"],
    )
    page = (tmp_path / "run" / "report.html").read_text()
    assert page.count("<img") == 16
    assert f"{result['psnr']:.2f} dB" in page
    codec = AutoencoderCodec(str(tmp_path / "run"))
    x = torch.from_numpy(_pictures(32))[:, None]
    error = (codec.decode(codec.encode(x)) - x).square().flatten(1).mean(1)
    span = float(x.max() - x.min())
    wanted = float((10 * torch.log10(span**2 / error)).mean())
    assert result["psnr"] == pytest.approx(wanted, abs=0.01)


def test_the_power_that_is_kept_is_told_by_frequency():
    x = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    f = torch.fft.fftfreq(32)
    radius = (f[:, None] ** 2 + f[None] ** 2).sqrt()
    low = torch.fft.ifft2(torch.fft.fft2(x) * (radius < 0.25)).real
    kept = Reconstructions(x, low, x, 2.0).figures()["power kept"]
    assert kept[:1] == [1.0]
    assert kept[2:] == [0.0, 0.0]


@pytest.mark.parametrize("shape", [(1, 24), (1, 8, 12, 8)])
def test_signals_and_volumes_have_latents_too(shape, tmp_path):
    x = np.random.default_rng(0).normal(size=(6, *shape)).astype(np.float32)
    settings = {**SMALL, "training.batch": 2, "autoencoder.checkpointing": True}
    dims = len(shape) - 1
    train_autoencoder(
        "autoencoder-kl",
        x,
        tmp_path / "kl",
        steps=4,
        dims=dims,
        settings={**settings, "objective.start": 2},
    )
    settings = {**MODEL, "codec.run": str(tmp_path / "kl"), "training.batch": 2}
    run = train("latent-diffusion", x, tmp_path / "run", steps=2, dims=dims, settings=settings)
    assert run.latent_shape == (4, *(side // 4 for side in shape[1:]))
    assert run.sample(1, steps=2).shape == (1, *shape)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_latents_are_the_same_on_a_gpu(autoencoder):
    codec, x = AutoencoderCodec(str(autoencoder)), torch.from_numpy(_pictures(4))[:, None]
    z = codec.encode(x)
    torch.testing.assert_close(codec.encode(x.cuda()).cpu(), z, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(codec.decode(z.cuda()).cpu(), codec.decode(z), atol=0.1, rtol=1e-3)
