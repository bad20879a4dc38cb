"""Clips in the latent space of an autoencoder of pictures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import unfog
from unfog import builtin  # noqa: F401  (registers the codec)
from unfog.errors import InputError
from unfog.video.animate import animate
from unfog.video.frame_codec import FrameAutoencoderCodec


def test_a_picture_is_animated_in_the_latents_of_its_frames(tmp_path: Path) -> None:
    clips = torch.rand(4, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    frames = clips.transpose(1, 2).flatten(0, 1)
    quick = {
        "objective.features.name": "none",
        "autoencoder.channels": 8,
        "training.batch": 4,
        "training.precision": "fp32",
    }
    kl = unfog.train_autoencoder("autoencoder-kl", frames, tmp_path / "kl", steps=2, settings=quick)
    codec = FrameAutoencoderCodec(str(tmp_path / "kl"))
    # Each frame has the latents that it has as a picture.
    z = codec.encode(clips)
    assert z.shape[1:] == codec.latent_shape(clips.shape[1:]) == (4, 3, 4, 4)
    assert torch.allclose(z[:, :, 1], kl.encode(clips[:, :, 1]), atol=1e-6)
    assert torch.allclose(codec.decode(z)[:, :, 2], kl.decode(z[:, :, 2]), atol=1e-6)
    settings = {
        "codec.name": "frame-autoencoder",
        "codec.run": str(tmp_path / "kl"),
        "network.channels": 8,
        "network.head_dim": 8,
        "training.batch": 2,
    }
    run = unfog.train("dynamicrafter", clips, tmp_path / "run", steps=1, settings=settings)
    assert run.latent_shape == (4, 3, 4, 4)
    assert run.config["conditions"]["frames"]["channels"] == 4
    assert animate(run, clips[0, :, 0], steps=2).shape == (1, 1, 3, 16, 16)
    with pytest.raises(InputError, match="is for clips"):
        codec.latent_shape((1, 16, 16))
