"""U-Nets of Stable Diffusion become runs: denoisers of latents, told by tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support.commands import invoke
from support.stored import drawn, inputs, stored, text

from unfog.interop.diffusers_conditional import conditional_from_diffusers
from unfog.interop.ldm_unet import unet_to_ldm
from unfog.interop.vector_map import text_and_sizes
from unfog.runs.run import Run

SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "num_train_timesteps": 1000,
    "skip_prk_steps": True,
}


def single_file(folder: Path, name: str) -> str:
    """The options of a single file with an autoencoder and a text encoder beside the U-Net."""
    held = stored(name)
    made = conditional_from_diffusers(drawn(held["shapes"]), held["config"])
    state = unet_to_ldm(made[0], made[1], "use_linear_projection" in held["config"])
    state["first_stage_model.encoder.down.0.block.0.conv1.weight"] = torch.ones(2, 2, 3, 3)
    state["cond_stage_model.a"] = torch.ones(1)
    safetensors.torch.save_file(state, folder / "model.safetensors")
    told = "network.groups=8" + (" --set network.head_dim=16" if name != "sd-1.x" else "")
    return f"{folder}/model.safetensors --size 8 --set {told}"


def pipeline(folder: Path, name: str) -> str:
    """A pipeline's folder with a U-Net and a scheduler."""
    held = stored(name)
    for part in ("unet", "scheduler"):
        (folder / "pipeline" / part).mkdir(parents=True)
    home = folder / "pipeline"
    (home / "model_index.json").write_text("{}")
    config = {**held["config"], "_class_name": "UNet2DConditionModel", "sample_size": 8}
    (home / "unet" / "config.json").write_text(json.dumps(config))
    weights = home / "unet" / "diffusion_pytorch_model.safetensors"
    safetensors.torch.save_file(drawn(held["shapes"]), weights)
    (home / "scheduler" / "scheduler_config.json").write_text(json.dumps(SCHEDULER))
    return str(home)


@pytest.mark.parametrize(
    ("written", "name", "form"),
    [
        (single_file, "sd-1.x", "ldm-unet"),
        (single_file, "sd-xl", "ldm-unet"),
        (pipeline, "sd-2.x", "diffusers"),
    ],
)
@torch.no_grad()
def test_it_becomes_a_run(tmp_path: Path, written: Any, name: str, form: str) -> None:
    line = f"import-weights {written(tmp_path, name)} --out {tmp_path}/run --json"
    status, said, told = invoke(line)
    assert status == 0, told
    facts = json.loads(said)
    assert facts["format"] == form
    assert facts["process"] == "ddpm-scaled-linear"
    assert ("assumed" in facts) == (form == "ldm-unet")
    assert [left.split(":")[0] for left in facts["not imported"]] == ["text encoder", "autoencoder"]
    assert facts["conditions"]["tokens"]["size"] == 12
    # The same function as theirs, its text in the conditions.
    held, run = stored(name), Run.open(tmp_path / "run")
    unet, vector, _ = conditional_from_diffusers(drawn(held["shapes"]), held["config"])
    assert facts["parameters"] == sum(p.numel() for p in unet.parameters())
    x, _ = inputs(4, [8, 8])
    tokens, pooled, sizes = text(12, None if vector is None else 10)
    given = {"tokens": tokens}
    if pooled is not None:
        given["vector"] = text_and_sizes(pooled, sizes)
    t = torch.tensor([0.004, 0.9], dtype=torch.float64)
    label = run.denoiser.label(run.denoiser.process, t).float()
    context = run.denoiser.conditioner(x, given)
    theirs = unet.eval()(x, label, context)
    assert (run.denoiser.noise(x, t, **given) - theirs).abs().max() < 1e-3 * theirs.std()
    moved = run.denoiser.noise(x, t, **{**given, "tokens": tokens.flip(0)})
    assert (moved - theirs).abs().max() > 1e-3
    if vector is not None:
        assert torch.equal(context.vector, vector.embed(given["vector"]).vector)
    # It draws.
    shape = run.sample(2, steps=2, condition=given).shape
    assert shape == (2, 4, 8, 8)


def test_inspect_says_what_it_becomes(tmp_path: Path) -> None:
    line = single_file(tmp_path, "sd-1.x").split()[0]
    said = json.loads(invoke(f"inspect {line} --json")[1])
    assert said["import as"] == "ldm-unet"
    status, out, told = invoke(f"import-weights {line} --out {tmp_path}/run --set network.groups=8")
    assert (status, out, told.count("\n")) == (2, "", 1)
    assert "--size" in told
    assert not (tmp_path / "run").exists()
