"""Folders of pipelines: what they say of themselves, and what of them cannot be read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from support.commands import invoke


def test_inspect_says_what_a_pipeline_is_of(pipelines: Any) -> None:
    theirs, folder = pipelines["sd-xl"]
    status, told, _ = invoke(f"inspect {folder} --json")
    assert status == 0
    held = json.loads(told)
    assert held["kind"] == "StableDiffusionXLPipeline"
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        count = sum(p.numel() for p in getattr(theirs, part).state_dict().values())
        assert held["parts"][part] == {
            "class": type(getattr(theirs, part)).__name__,
            "parameters": count,
        }
    assert held["parts"]["scheduler"] == {"class": "DDIMScheduler"}


def _without(part: str, name: str) -> Any:
    return lambda folder: (folder / part / name).unlink()


def _told(file: str, **settings: Any) -> Any:
    def change(folder: Path) -> None:
        held = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**held, **settings}))

    return change


def _pickled(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


def _lacking(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    held = safetensors.torch.load_file(path)
    held.pop("conv_in.weight")
    safetensors.torch.save_file(held, path)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_without("vae", "config.json"), "vae/config.json is missing"),
        (_without("text_encoder", "model.safetensors"), "text_encoder/model.safetensors is miss"),
        (_without("tokenizer", "tokenizer_config.json"), "tokenizer_config.json is missing"),
        (_pickled, "is a pickle, which may run code"),
        (_lacking, "lack conv_in.weight"),
        (_told("model_index.json", _class_name="FluxPipeline"), "is of the class FluxPipeline"),
        (_told("unet/config.json", _class_name="UNet2DModel"), "holds a UNet2DModel"),
        (_told("unet/config.json", wings=2), "wings cannot be read"),
        (_told("scheduler/scheduler_config.json", _class_name="TCDScheduler"), "TCDScheduler"),
        (_told("scheduler/scheduler_config.json", timestep_spacing="odd"), "cannot be 'odd'"),
    ],
)
def test_what_cannot_be_read_is_said_in_one_sentence(
    damage: Any, says: str, pipelines: Any, tmp_path: Path
) -> None:
    folder = shutil.copytree(pipelines["sd-1.x"][1], tmp_path / "theirs")
    damage(folder)
    status, _, told = invoke(f"sample --from {folder} --text a --steps 1 --out {tmp_path}/out")
    assert (status, says in told) == (2, True), told
    assert len(told.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_the_command_says_what_it_needs(tmp_path: Path, pipelines: Any) -> None:
    folder = pipelines["sd-1.x"][1]
    for line, says in (
        (f"sample --from {folder}", "give --text"),
        (f"sample --from {folder} --text a --class 3", "does not know --class"),
        (f"sample {folder} --from {folder} --text a", "not both"),
        (f"sample --from {tmp_path} --text a", "is no folder of a pipeline"),
        (f"restore --from {tmp_path} a.png --task denoise", "is no folder of a pipeline"),
    ):
        status, _, told = invoke(f"{line} --out {tmp_path}/out")
        assert (status, says in told) == (2, True), told
