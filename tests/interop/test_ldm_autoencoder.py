"""Autoencoders under latent diffusion's own names."""

from __future__ import annotations

import pytest
import torch
from support.randomise import randomised
from torch import Tensor

from unfog.errors import InputError
from unfog.interop.ldm_autoencoder import autoencoder_from_ldm
from unfog.networks.autoencoder import AutoencoderKL


def published(autoencoder: AutoencoderKL) -> dict[str, Tensor]:
    """The tensors of an autoencoder of two levels of one block each under the published names,
    one by one.
    """
    state, out = autoencoder.state_dict(), dict[str, Tensor]()
    places = {
        "encoder.enter": "encoder.conv_in",
        "encoder.leave": "encoder.conv_out",
        "encoder.norm": "encoder.norm_out",
        "decoder.enter": "decoder.conv_in",
        "decoder.leave": "decoder.conv_out",
        "decoder.norm": "decoder.norm_out",
        "quant": "quant_conv",
        "post_quant": "post_quant_conv",
        # One block and a step down, then a block.
        "encoder.down.0": "encoder.down.0.block.0",
        "encoder.down.1": "encoder.down.0.downsample",
        "encoder.down.2": "encoder.down.1.block.0",
        # Two blocks and a step up, then two: their levels are counted from the top.
        "decoder.up.0": "decoder.up.1.block.0",
        "decoder.up.1": "decoder.up.1.block.1",
        "decoder.up.2": "decoder.up.1.upsample",
        "decoder.up.3": "decoder.up.0.block.0",
        "decoder.up.4": "decoder.up.0.block.1",
        **{
            f"{side}.middle.{ours}": f"{side}.mid.{theirs}"
            for side in ("encoder", "decoder")
            for ours, theirs in (
                ("block1", "block_1"),
                ("block2", "block_2"),
                ("attention.norm", "attn_1.norm"),
                ("attention.out", "attn_1.proj_out"),
            )
        },
    }
    for key, value in state.items():
        if ".qkv." in key:
            side, end = key.split(".")[0], key.rsplit(".", 1)[1]
            for part, matrix in zip("qkv", value.chunk(3), strict=True):
                name = f"{side}.mid.attn_1.{part}.{end}"
                out[name] = matrix[..., None] if end == "weight" else matrix
            continue
        ours = max((place for place in places if key.startswith(f"{place}.")), key=len)
        name = (places[ours] + key.removeprefix(ours)).replace(".skip.", ".nin_shortcut.")
        point = ".attn_1.proj_out.weight" in name
        out[name] = value[..., None] if point else value
    return out


@pytest.fixture
def autoencoder() -> AutoencoderKL:
    return randomised(
        AutoencoderKL(3, channels=32, multipliers=[1, 2], blocks=1, latent_channels=2, groups=32)
    )


@torch.no_grad()
def test_it_is_the_same_function(autoencoder: AutoencoderKL) -> None:
    read, x = autoencoder_from_ldm(published(autoencoder)).eval(), torch.randn(2, 3, 8, 8)
    z = autoencoder.encode(x)
    assert z.std() > 0.1
    assert torch.equal(read.encode(x), z)
    assert torch.equal(read.decode(z), autoencoder.decode(z))


def test_other_tensors_are_refused(autoencoder: AutoencoderKL) -> None:
    state = published(autoencoder)
    with pytest.raises(InputError, match="no weights of an autoencoder"):
        autoencoder_from_ldm({"a": torch.ones(1)})
    with pytest.raises(InputError, match=r"have no 'encoder\.conv_norm_out\.bias'"):
        autoencoder_from_ldm({k: v for k, v in state.items() if k != "encoder.norm_out.bias"})
    with pytest.raises(InputError, match="have 'extra'"):
        autoencoder_from_ldm({**state, "extra": torch.ones(1)})
