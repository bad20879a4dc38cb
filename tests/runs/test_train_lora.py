"""LoRAs trained on a pipeline: what changes, what is kept, and that it goes on bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from support.commands import invoke
from support.pipelines import build_pipeline

from unfog.errors import InputError
from unfog.interop.diffusers_conditional import conditional_to_diffusers
from unfog.interop.lora import TRAINED, flat_names, read_lora, with_loras
from unfog.runs.lora import train_lora
from unfog.runs.pipeline import open_pipeline
from unfog.training.checkpoint import load_ema

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
SETTINGS = ("training.lr=0.01", "training.steps=4", "training.checkpoint_every=2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline and pictures with captions."""
    home = tmp_path_factory.mktemp("lora")
    build_pipeline("sd-1.x", home)
    (home / "pictures").mkdir()
    for k, text in enumerate(("a red heart", "a blue cat", "the sea")):
        x = np.random.default_rng(k).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(x).save(home / "pictures" / f"{text}.png")
    return home


def train(home: Path, out: Path, *settings: str, **options: Any) -> dict[str, Any]:
    told = (*SETTINGS, *settings)
    return train_lora(home / "sd-1.x", str(home / "pictures"), out, told, rank=2, **options)


def test_under_a_hundredth_learns_and_the_file_is_what_was_learned(
    home: Path, tmp_path: Path
) -> None:
    result = train(home, tmp_path / "run")
    assert result["share of the U-Net"] < 0.01
    lora = read_lora(tmp_path / "run" / TRAINED)
    changes = lora.changes["unet"]
    # Queries, keys, values and output of two attentions in each of four transformers.
    assert len(changes) == 4 * 2 * 4
    assert result["parameters"] == sum(c.down.numel() + c.up.numel() for c in changes.values())
    assert all(change.up.any() for change in changes.values())
    kept = load_ema(tmp_path / "run")
    flat = "down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v"
    assert torch.equal(changes[flat].up, kept[f"network.up.{flat}"])
    # The weights of the run that the command draws with.
    plain, changed = (
        conditional_to_diffusers(
            open_pipeline(home / "sd-1.x", loras).denoiser.network, None, False
        )
        for loras in ((), [(tmp_path / "run", 0.5)])
    )
    names = flat_names(plain[0])
    wanted = with_loras("unet", plain[0], [(lora, 0.5)], names)
    assert all(torch.allclose(changed[0][key], value, atol=1e-6) for key, value in wanted.items())
    moved = {key for key, value in changed[0].items() if not torch.equal(value, plain[0][key])}
    assert moved == {names[name] for name in changes}


def test_it_resumes_bit_for_bit(home: Path, tmp_path: Path) -> None:
    train(home, tmp_path / "whole")
    train(home, tmp_path / "halves", "training.steps=2", "training.decay=constant")
    with pytest.raises(InputError, match="config"):
        train(home, tmp_path / "halves", "training.decay=cosine", resume=True)
    for out, settings in (("one", ()), ("two", ("training.steps=2",))):
        train(home, tmp_path / out, "training.decay=constant", *settings)
    train(home, tmp_path / "two", resume=True)
    files = [tmp_path / out / TRAINED for out in ("one", "two", "whole")]
    one, two, whole = (safetensors.torch.load_file(file) for file in files)
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], whole[key]) for key in one)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_lora_is_resumed_with_its_own_pipeline_and_rank(home: Path, tmp_path: Path) -> None:
    train(home, tmp_path / "run", "training.steps=1")
    own = home / "sd-1.x"
    with pytest.raises(InputError, match="has rank 2, not 3"):
        train_lora(own, None, tmp_path / "run", rank=3, resume=True)
    file = "unet/diffusion_pytorch_model.safetensors"
    held = safetensors.torch.load_file(own / file)
    safetensors.torch.save_file({k: 2 * v for k, v in held.items()}, own / file)
    try:
        with pytest.raises(InputError, match="not those that the LoRA"):
            train_lora(own, None, tmp_path / "run", resume=True)
    finally:
        safetensors.torch.save_file(held, own / file)


def test_the_command(home: Path, tmp_path: Path) -> None:
    own = f"train lora --from {home}/sd-1.x --out {tmp_path}/run"
    status, _, told = invoke(f"{own} --data {home}/pictures --rank 2 --steps 1")
    assert status == 0, told
    for line, says in (
        (f"train lora --data {home}/pictures", "give --from"),
        ("train ddpm --rank 2", "for unfog train lora"),
        (f"{own} --data {home}/pictures --set data.captions=false", "has no captions"),
        (f"{own} --minutes 2", "leave them out"),
        (f"sample {tmp_path}/run --out {tmp_path}/no", "draws nothing without its pipeline"),
    ):
        status, _, told = invoke(line)
        assert (status, says in told) == (2, True), told
