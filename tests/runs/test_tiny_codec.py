"""The tiny autoencoder that others trained: its published quality, and diffusion in its latents."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from unfog.errors import InputError
from unfog.networks.autoencoder.tiny import tiny_decoder, tiny_encoder
from unfog.runs.tiny_codec import TinyCodec
from unfog.runs.train import train

SHARED = Path(os.environ.get("UNFOG_SHARED_DATA", Path(__file__).parents[3] / "shared/data"))
real = pytest.mark.skipif(
    not (SHARED / "taef2").is_dir(), reason="the published weights are not at hand"
)
MODEL = {"network.channels": 16, "network.groups": 8, "network.blocks": 1, "training.batch": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """Weights of the architecture, made here."""
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    for name, network in (("encoder", tiny_encoder(4, False)), ("decoder", tiny_decoder(4, False))):
        safetensors.torch.save_file(network.half().state_dict(), folder / f"{name}.safetensors")
    return folder


@real
@pytest.mark.parametrize(("name", "published"), [("astronaut", 31.2), ("chelsea", 32.7)])
def test_real_weights_reconstruct_photographs_as_well_as_was_measured(name, published):
    from skimage import data

    picture = getattr(data, name)()
    height, width = (8 * (side // 8) for side in picture.shape[:2])
    x = torch.from_numpy(picture[:height, :width].copy()).movedim(-1, 0)[None].float()
    codec = TinyCodec(str(SHARED / "taef2"), 0, 255)
    with torch.no_grad():
        z = codec.encode(x)
        back = codec.decode(z).clamp(0, 255)
    assert z.shape == (1, 32, height // 8, width // 8)
    assert 0.75 < float(z.std()) < 0.95
    psnr = 10 * np.log10(255**2 / float((back - x).square().mean()))
    assert psnr == pytest.approx(published, abs=0.15)


def test_a_model_is_trained_in_its_latents(made, tmp_path):
    x = np.random.default_rng(0).random((3, 3, 32, 24), np.float32)
    settings = {**MODEL, "codec.name": "taesd", "codec.path": str(made)}
    run = train("edm", x, tmp_path / "run", steps=1, settings=settings, value_range=(0, 2))
    assert (run.config["codec"]["low"], run.config["codec"]["high"]) == (0, 2)
    assert run.latent_shape == (4, 4, 3)
    assert run.sample(1, steps=1).shape == (1, 3, 32, 24)


def test_grey_is_shown_as_grey(made):
    x = torch.rand(2, 1, 16, 16)
    grey, colour = (TinyCodec(str(made), channels=c) for c in (1, 3))
    assert torch.equal(grey.encode(x), colour.encode(x.expand(-1, 3, -1, -1)))
    z = grey.encode(x)
    torch.testing.assert_close(grey.decode(z), colour.decode(z).mean(1, keepdim=True))


def test_bad_weights_are_refused(made, tmp_path):
    codec = TinyCodec(str(made))
    with pytest.raises(InputError, match="have changed since"):
        TinyCodec(str(made), sha256="0" * 64)
    assert TinyCodec(str(made), sha256=codec.sha256).sha256 == codec.sha256
    with pytest.raises(InputError, match=r"encoder.safetensors is missing"):
        TinyCodec(str(tmp_path))
    for name in ("encoder", "decoder"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="damaged or no safetensors"):
        TinyCodec(str(tmp_path))
    for name in ("encoder", "decoder"):
        weights = {"0.weight": torch.zeros(3, 3)}
        safetensors.torch.save_file(weights, tmp_path / f"{name}.safetensors")
    with pytest.raises(InputError, match="are not those of a tiny autoencoder"):
        TinyCodec(str(tmp_path))
    with pytest.raises(InputError, match="sides divide by 8"):
        codec.latent_shape((3, 20, 24))
