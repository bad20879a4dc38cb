"""Pipelines of Stable Diffusion as runs: the pictures that diffusers draws of the same folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from support.commands import invoke
from support.pipelines import KINDS, LENGTH
from torch import Tensor

import unfog
from unfog.core.random import generators, normal
from unfog.interop.pipeline_text import PipelineText
from unfog.runs.guided import Guidance
from unfog.runs.pipeline import open_pipeline
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.text_states import reader_of

TEXT, OTHER, STEPS = "a red heart on the sea", "a blue cat", 4


def start(run: Run, plan: Plan, shape: tuple[int, ...] | None = None) -> Tensor:
    """x at the first time of sample 0 of seed 0."""
    latent = run.codec.latent_shape(shape or run.shape)
    return normal((1, *latent), generators(0, [0])) * run.denoiser.process.sigma(plan.grid[0])


def drawn(run: Run, plan: Plan, text: str, **options: Any) -> Tensor:
    """Sample 0 of seed 0 of a text, from 0 to 1."""
    condition = text_condition(run, [Prompt.plain(text)])
    x = draw(run, plan, [0], 0, condition=condition, **options)
    return (x / 255).clamp(0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_draws_what_diffusers_draws(kind: str, pipelines: Any) -> None:
    theirs, folder = pipelines[kind]
    run = open_pipeline(folder)
    plan = Plan.of(run, None, STEPS)
    assert plan.names["sampler"] == "ddim"
    told = {"num_inference_steps": STEPS, "guidance_scale": 7.5, "output_type": "pt"}
    picture = theirs(TEXT, latents=start(run, plan).float(), **told).images
    ours = drawn(run, plan, TEXT, guidance=7.5)
    assert ours.shape == (1, 3, 16, 16)
    assert float(picture.std()) > 0.05
    assert float((ours - picture).abs().max()) < 1e-5
    # Text and guidance count for a thousand times as much.
    assert float((drawn(run, plan, OTHER, guidance=7.5) - picture).abs().max()) > 5e-3
    assert float((drawn(run, plan, TEXT) - picture).abs().max()) > 5e-3


@pytest.mark.parametrize("kind", ["sd-1.x", "sd-xl"])
def test_a_negative_text_another_size_and_euler_are_diffusers_too(
    kind: str, pipelines: Any, tmp_path: Path
) -> None:
    from diffusers import EulerDiscreteScheduler

    theirs, saved = pipelines[kind]
    folder = shutil.copytree(saved, tmp_path / kind)
    former, config = theirs.scheduler, dict(theirs.scheduler.config)
    theirs.scheduler = EulerDiscreteScheduler.from_config(config, timestep_spacing="leading")
    theirs.scheduler.save_pretrained(folder / "scheduler")
    run = unfog.load(folder)
    plan = Plan.of(run, None, STEPS)
    assert plan.names["sampler"] == "euler"
    told = {"num_inference_steps": STEPS, "guidance_scale": 3.0, "output_type": "pt"}
    x = start(run, plan, (3, 24, 16)).float()
    theirs_of = theirs(TEXT, negative_prompt=OTHER, latents=x, height=24, width=16, **told)
    theirs.scheduler = former
    negative = text_condition(run, [Prompt.plain(OTHER)])
    guidance = Guidance(3.0, negative=negative)
    ours = drawn(run, plan, TEXT, guidance=guidance, shape=(3, 24, 16))
    assert float((ours - theirs_of.images).abs().max()) < 1e-4


def test_the_null_is_the_empty_text_or_zeros_as_the_pipeline_says(
    pipelines: Any, tmp_path: Path
) -> None:
    part = open_pipeline(pipelines["sd-xl"][1]).denoiser.conditioner.parts["text"]
    assert not part.absent.any()
    folder = shutil.copytree(pipelines["sd-xl"][1], tmp_path / "told")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(
        json.dumps({**index, "force_zeros_for_empty_prompt": False})
    )
    run = open_pipeline(folder)
    reader = reader_of(run.config, run.name)
    assert isinstance(reader, PipelineText)
    null = run.denoiser.conditioner.parts["text"].null(torch.zeros(2, 4, 8, 8))
    assert null.tokens.shape == (2, LENGTH, 48)
    assert torch.equal(null.tokens[1], reader.empty()[1:, :48])
    assert null.vector.abs().max() > 0


def test_a_text_encoder_as_published_is_read_whole(pipelines: Any, tmp_path: Path) -> None:
    folder = shutil.copytree(pipelines["sd-1.x"][1], tmp_path / "published")
    file = folder / "text_encoder" / "model.safetensors"
    bare = {k.removeprefix("text_model."): v for k, v in safetensors.torch.load_file(file).items()}
    held = {f"text_model.{key}": value for key, value in bare.items()}
    positions = torch.arange(LENGTH)[None]  # which older files hold
    held["text_model.embeddings.position_ids"] = positions
    safetensors.torch.save_file(held, file, {"format": "pt"})
    states = [
        text_condition(open_pipeline(path), [Prompt.plain(TEXT)])["text"]
        for path in (folder, pipelines["sd-1.x"][1])
    ]
    assert torch.equal(*states)
    # Other weights in the same place are read anew.
    doubled = {k: 2 * v if k.endswith("fc1.weight") else v for k, v in held.items()}
    safetensors.torch.save_file(doubled, file, {"format": "pt"})
    other = text_condition(open_pipeline(folder), [Prompt.plain(TEXT)])["text"]
    assert float((other - states[0]).abs().max()) > 0.1
    held.pop("text_model.encoder.layers.1.mlp.fc1.weight")
    lacking = shutil.copytree(folder, tmp_path / "lacking")
    safetensors.torch.save_file(held, lacking / "text_encoder" / file.name, {"format": "pt"})
    with pytest.raises(unfog.InputError, match=r"has no .*fc1\.weight"):
        open_pipeline(lacking)


def test_an_autoencoder_of_older_names_is_read(pipelines: Any, tmp_path: Path) -> None:
    saved = pipelines["sd-1.x"][1]
    folder = shutil.copytree(saved, tmp_path / "older")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    former = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    held = {}
    for key, value in safetensors.torch.load_file(file).items():
        for now, then in former.items():
            key = key.replace(f".attentions.0.{now}.", f".attentions.0.{then}.")
        held[key] = value
    assert "encoder.mid_block.attentions.0.proj_attn.bias" in held
    safetensors.torch.save_file(held, file)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    older, newer = (open_pipeline(path).codec.decode(x) for path in (folder, saved))
    assert torch.equal(older, newer)


def test_the_command_draws_and_restores(pipelines: Any, tmp_path: Path) -> None:
    folder = pipelines["sd-1.x"][1]
    (tmp_path / "texts").write_text("a heart\na cat\n")
    line = f"sample --from {folder} --text @{tmp_path}/texts --steps 2 --out {tmp_path}/out"
    status, _, told = invoke(line)
    assert status == 0, told
    names = sorted(path.name for path in (tmp_path / "out").glob("sample-*.png"))
    assert names == ["sample-0000-a-heart.png", "sample-0001-a-cat.png"]
    run = open_pipeline(folder)
    condition = text_condition(run, [Prompt.plain("a heart"), Prompt.plain("a cat")])
    x = run.sample(2, steps=2, condition=condition, guidance=7.5)
    assert np.allclose(np.load(tmp_path / "out" / "samples.npy"), x.numpy(), atol=1e-3)
    picture = tmp_path / "out" / names[0]
    line = (
        f"restore --from {folder} {picture} --task superres --factor 2 --noise 5 --samples 2 "
        f"--steps 2 --to text=heart --guidance 2 --out {tmp_path}/restored"
    )
    # A picture of 8 x 8 pixels becomes one of 16 x 16.
    from PIL import Image

    Image.open(picture).resize((8, 8)).save(picture)
    status, _, told = invoke(line)
    assert status == 0, told
    assert Image.open(tmp_path / "restored" / "mean.png").size == (16, 16)


def test_a_lora_is_merged_with_its_weight(pipelines: Any, tmp_path: Path) -> None:
    theirs, folder = pipelines["sd-1.x"]
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v"
    weight = theirs.unet.get_submodule(name).weight
    inner = "encoder.layers.1.self_attn.v_proj"
    own = theirs.text_encoder.get_submodule(inner).weight
    file = tmp_path / "ink.safetensors"
    pairs = {
        "lora_unet_" + name.replace(".", "_"): weight,
        "lora_te_text_model_" + inner.replace(".", "_"): own,
    }
    held, changes = {}, []
    for k, (flat, value) in enumerate(pairs.items()):
        down = torch.randn(2, value.shape[1], generator=torch.Generator().manual_seed(k))
        up = torch.randn(len(value), 2, generator=torch.Generator().manual_seed(5 + k))
        held |= {f"{flat}.lora_down.weight": down, f"{flat}.lora_up.weight": up}
        held[f"{flat}.alpha"] = torch.tensor(1.0)
        changes.append((value, 0.3 * 0.5 * up @ down))
    safetensors.torch.save_file(held, file)
    plain = open_pipeline(folder)
    plan = Plan.of(plain, None, 2)
    for value, change in changes:
        value.data += change
    told = {"num_inference_steps": 2, "guidance_scale": 7.5, "output_type": "pt"}
    picture = theirs(TEXT, latents=start(plain, plan).float(), **told).images
    for value, change in changes:
        value.data -= change
    ours = {
        share: drawn(open_pipeline(folder, [(file, share)]), plan, TEXT, guidance=7.5)
        for share in (0.0, 0.3)
    }
    assert float((ours[0.3] - picture).abs().max()) < 1e-5
    assert float((ours[0.0] - picture).abs().max()) > 1e-3
    assert torch.equal(ours[0.0], drawn(plain, plan, TEXT, guidance=7.5))
    _check_commands(folder, tmp_path, file)


def _check_commands(folder: Path, home: Path, file: Path) -> None:
    """``sample`` and ``restore`` take the file, with its weight."""
    line = f"sample --from {folder} --text heart --steps 2 --out {home}/out --lora {file}"
    status, _, told = invoke(f"{line}:0.3")
    assert status == 0, told
    summary = json.loads((home / "out" / "summary.json").read_text())
    assert summary["lora"] == [f"{file}:0.3"]
    with_it, without = (_restored(folder, home, f"--lora {file}:{share}") for share in (1, 0))
    assert with_it != without


def _restored(folder: Path, home: Path, options: str) -> bytes:
    """The picture that a restoration with options gives."""
    out = home / f"restored{len(list(home.iterdir()))}"
    picture = next((home / "out").glob("sample-*.png"))
    line = f"restore --from {folder} {picture} --task denoise --noise 20 --samples 2 --steps 2"
    status, _, told = invoke(f"{line} --out {out} {options}")
    assert status == 0, told
    return (out / "mean.png").read_bytes()


def test_a_lora_of_another_model_is_refused(pipelines: Any, tmp_path: Path) -> None:
    flat, folder = "lora_te2_text_model_encoder_layers_0_mlp_fc1", pipelines["sd-1.x"][1]
    held = {f"{flat}.lora_{end}.weight": torch.ones(2, 2) for end in ("down", "up")}
    safetensors.torch.save_file(held, tmp_path / "ink.safetensors")
    line = f"sample --from {folder} --text a --out {tmp_path}/out --lora {tmp_path}/ink.safetensors"
    status, _, told = invoke(line)
    assert (status, "second text encoder" in told) == (2, True), told
