"""Architectures are told by their tensors' names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
from support.commands import invoke

from unfog.interop.diffusers import unet_to_diffusers
from unfog.interop.recognise import TABLE, recognise
from unfog.networks import UNet
from unfog.networks.autoencoder.tiny import tiny_decoder

FIRST = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
PUBLISHED = {
    "Stable Diffusion 1.x (single file)": {FIRST: (320, 768)},
    "Stable Diffusion 2.x (single file)": {FIRST: (320, 1024)},
    "Stable Diffusion XL (single file)": {
        "conditioner.embedders.1.model.ln_final.weight": (1280,),
        FIRST.replace("1.1", "4.1"): (640, 2048),
    },
    "Stable Diffusion 3": {
        "model.diffusion_model.joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,)
    },
    "Flux": {"double_blocks.0.img_attn.norm.key_norm.scale": (128,)},
    "LoRA, kohya's layout": {
        "lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight": (8, 320, 1, 1)
    },
    "LoRA, peft's layout": {
        "unet.down_blocks.0.attentions.0.to_q.lora_A.weight": (8, 320),
        "unet.down_blocks.0.attentions.0.to_q.lora_B.weight": (320, 8),
    },
    "DynamiCrafter": {FIRST.replace("to_k.", "to_k_ip."): (320, 1024), FIRST: (320, 1024)},
    "ControlNet (single file)": {"control_model.input_hint_block.0.weight": (16, 3, 3, 3)},
    "UNet2DConditionModel of Stable Diffusion 1.x (diffusers)": {
        "conv_in.weight": (320, 4, 3, 3),
        "down_blocks.0.resnets.0.conv1.weight": (320, 320, 3, 3),
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight": (320, 768),
    },
    "autoencoder of latent diffusion": {
        "first_stage_model.encoder.down.0.block.0.conv1.weight": (128, 128, 3, 3)
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_names_tell(name: str) -> None:
    found = recognise(PUBLISHED[name])
    assert found is not None
    assert found.name == name


def test_the_unets_of_stable_diffusion_become_runs() -> None:
    for name, shapes in PUBLISHED.items():
        found = recognise(shapes)
        assert found is not None
        unet = name.startswith(("Stable Diffusion 1", "Stable Diffusion 2", "Stable Diffusion XL"))
        assert (found.format == "ldm-unet") == unet
        assert (found.format == "diffusers") == name.startswith("UNet2DConditionModel")
    alone = {FIRST.removeprefix("model.diffusion_model."): (320, 1280)}
    assert getattr(recognise(alone), "format", None) == "ldm-unet"


def test_what_tells_nothing_is_unknown() -> None:
    assert recognise({"weight": (3,), "bias": (3,)}) is None
    assert recognise({}) is None
    assert len({telling.name for telling in TABLE}) == len(TABLE)


def test_networks_at_hand_are_told() -> None:
    unet = UNet(1, 1, channels=8, multipliers=(1, 2), blocks=1, groups=4)
    ours = {k: tuple(v.shape) for k, v in unet.state_dict().items()}
    theirs = {k: tuple(v.shape) for k, v in unet_to_diffusers(unet)[0].items()}
    taef2 = {k: tuple(v.shape) for k, v in tiny_decoder(32, True).state_dict().items()}
    taesd = {k: tuple(v.shape) for k, v in tiny_decoder(4, False).state_dict().items()}
    for shapes, name in (
        (ours, "U-Net of unfog"),
        (theirs, "UNet2DModel (diffusers)"),
        (taef2, "TAEF2 (half of it)"),
        (taesd, "TAESD (half of it)"),
    ):
        found = recognise(shapes)
        assert found is not None
        assert found.name == name


def test_inspect_says_what_a_foreign_file_is(tmp_path: Path) -> None:
    unet = UNet(1, 1, channels=8, multipliers=(1, 2), blocks=1, groups=4)
    state, _ = unet_to_diffusers(unet)
    file = tmp_path / "unet.safetensors"
    safetensors.torch.save_file({k: v.half() for k, v in state.items()}, file, {"licence": "MIT"})
    status, out, _ = invoke(f"inspect {file} --json")
    said = json.loads(out)
    assert status == 0
    assert said["architecture"].startswith("UNet2DModel")
    assert said["parameters"] == sum(p.numel() for p in unet.parameters())
    assert said["types"] == {"F16": f"{len(state)} tensors"}
    assert said["metadata"] == {"licence": "MIT"}
    file.write_bytes(file.read_bytes()[:-2])
    status, out, told = invoke(f"inspect {file}")
    assert (status, out, told.count("\n")) == (2, "", 1)
    assert "no sound safetensors file" in told


def test_our_own_weights_say_what_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((8, 1, 8, 8), np.float32))
    small = "".join(
        f" --set {s}"
        for s in (
            "training.steps=1",
            "training.batch=2",
            "network.channels=8",
            "network.groups=4",
            "network.multipliers=[1]",
            "network.attention_levels=[]",
        )
    )
    files = []
    for name in "ab":
        status, _, told = invoke(
            f"train ddpm --data {tmp_path}/x.npy --out {tmp_path}/{name}{small}"
        )
        assert status == 0, told
        (file,) = (tmp_path / name).glob("checkpoints/*/ema.safetensors")
        files.append(file)
    # The folder is no part of what is written.
    assert files[0].read_bytes() == files[1].read_bytes()
    said = json.loads(invoke(f"inspect {files[0]} --json")[1])["metadata"]
    assert said["recipe"] == "ddpm"
    assert len(said["data"].split()[-1]) == 64
    assert said["command"].startswith("unfog train ddpm --data arrays")
    assert json.loads(said["config"])["network"]["channels"] == 8
    assert said["licence"]
    assert str(tmp_path) not in json.dumps(said)
