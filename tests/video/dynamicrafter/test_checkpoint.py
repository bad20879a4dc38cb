"""Published checkpoints: every name and shape at full size, and a randomised narrow one there and
back.
"""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from support.dynamicrafter_names import QUERIES, UNET, queries, unet
from torch import Tensor

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.guidance.classifier_free import ClassifierFreeEach
from unfog.video.dynamicrafter.checkpoint import (
    from_checkpoint,
    load_dynamicrafter,
    to_checkpoint,
)
from unfog.video.dynamicrafter.rescaled import RescaledV

NARROW = {"channels": 32, "head": 4, "context": 12}


def outline(gate: bool) -> dict[str, Tensor]:
    """A checkpoint at full size, without memory."""
    named = {UNET + name: shape for name, shape in unet(gate=gate)}
    named |= {QUERIES + name: shape for name, shape in queries()}
    return {name: torch.empty(shape, device="meta") for name, shape in named.items()}


@cache
def narrow(gate: bool = False) -> dict[str, Tensor]:
    """A narrow checkpoint with every tensor drawn anew."""
    generator = torch.Generator().manual_seed(0)
    named = {UNET + name: shape for name, shape in unet(**NARROW, gate=gate)}
    small = queries(width=16, heads=1, size=6, out=12, count=32)
    named |= {QUERIES + name: shape for name, shape in small}
    return {
        name: torch.randn(shape, generator=generator) * math.prod(shape[1:]) ** -0.5
        for name, shape in named.items()
    }


@pytest.mark.parametrize(("gate", "tensors"), [(False, 1516), (True, 1532)])
def test_every_name_and_shape_of_the_published_models(gate: bool, tensors: int) -> None:
    published = outline(gate)
    assert sum(name.startswith(UNET) for name in published) == tensors
    parts = from_checkpoint(published)
    count = sum(p.numel() for part in (parts.network, parts.rate) for p in part.parameters())
    assert count == 1_438_854_980 + 16 * gate
    assert sum(p.numel() for p in parts.image.queries.parameters()) == 48_787_456
    back = to_checkpoint(parts)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in published.items()}


@pytest.mark.parametrize("gate", [False, True])
def test_there_and_back_bit_for_bit(gate: bool) -> None:
    published = dict(narrow(gate))
    published |= {
        "first_stage_model.post_quant_conv.bias": torch.ones(4),
        "embedder.a": torch.ones(1),
    }
    parts = from_checkpoint(published)
    back = to_checkpoint(parts)
    assert back.keys() == published.keys()
    assert all(torch.equal(back[name], published[name]) for name in published)
    assert list(parts.others["embedder."]) == ["a"]


@torch.no_grad()
def test_it_computes_and_its_gate_weighs_the_picture() -> None:
    x, known = torch.randn(2, 1, 4, 16, 8, 8).unbind()
    image, text = torch.randn(1, 16 * 2, 12), torch.randn(1, 5, 12)
    outs = []
    for alpha in (-20.0, 0.0):
        state = {
            k: torch.tensor(alpha) if k.endswith("alpha") else v for k, v in narrow(True).items()
        }
        network = from_checkpoint(state).network.eval()
        vector = torch.zeros(1, 128)
        label = torch.tensor([500.0])
        contexts = [Context(vector, known, text, None, i) for i in (image, image.flip(2))]
        outs.append([network(x, label, context) for context in contexts])
    # A gate of tanh(-20) + 1 = 0 shuts the picture's attention out, one of 1 lets it in.
    assert torch.equal(*outs[0])
    assert not torch.allclose(*outs[1], atol=1e-3)
    assert outs[1][0].std() > 0.1


def test_other_forms_of_a_file() -> None:
    """The names of the 256 model, DeepSpeed's, and a Lightning file with its own tensors."""
    plain = to_checkpoint(from_checkpoint(narrow()))
    renamed = {k.replace("fps_embedding", "framestride_embed"): v for k, v in narrow().items()}
    deep = {"module": {"_forward_module." + k: v for k, v in narrow().items()}}
    lightning = {"state_dict": {**narrow(), "betas": torch.ones(1000)}, "epoch": 3}
    for form in (renamed, deep, lightning):
        again = to_checkpoint(from_checkpoint(form))
        assert all(torch.equal(again[name], plain[name]) for name in plain)


def test_the_rescaled_signal_is_read() -> None:
    assert from_checkpoint(narrow()).base_scale is None
    scales = torch.cat([torch.linspace(1, 0.3, 400), torch.full((1000,), 0.3)])
    assert from_checkpoint({**narrow(), "scale_arr": scales}).base_scale == pytest.approx(0.3)


def broken(change: str) -> dict[str, Any]:
    state = dict(narrow())
    if change == "missing":
        del state[UNET + "middle_block.2.norm.weight"]
    if change == "extra":
        state[UNET + "middle_block.7.weight"] = torch.ones(2)
    if change == "misshapen":
        state[UNET + "middle_block.2.norm.weight"] = torch.ones(7)
    return {"a": torch.ones(1)} if change == "other" else state


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("missing", "no 'middle_block.2.norm.weight'"),
        ("extra", "have 'middle_block.7.weight'"),
        ("misshapen", "have 7 numbers"),
        ("other", "no DynamiCrafter checkpoint"),
    ],
)
def test_bad_checkpoints_are_refused(change: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file(broken(change), file)
    with pytest.raises(InputError, match=said) as error:
        load_dynamicrafter(file)
    assert str(file) in str(error.value)


class Payload:
    """An object that a file must not bring in."""


def test_files_are_read_and_objects_in_them_refused(tmp_path: Path) -> None:
    good, bad, cut = (tmp_path / name for name in ("good.ckpt", "bad.ckpt", "cut.safetensors"))
    torch.save({"state_dict": narrow(), "global_step": 7}, good)
    assert load_dynamicrafter(good).network.embedding_width == 128
    torch.save({"state_dict": narrow(), "callbacks": Payload()}, bad)
    cut.write_bytes(b"1234567890")
    for file in (bad, cut, tmp_path / "none.ckpt"):
        with pytest.raises(InputError):
            load_dynamicrafter(file)


@torch.no_grad()
def test_a_published_model_is_a_denoiser_with_the_authors_guidance() -> None:
    """e_u + a (e_image - e_u) + b (e_all - e_image) of the network's v, every e with the frames."""
    scales = torch.full((1400,), 0.7)
    parts = from_checkpoint({**narrow(), "scale_arr": scales})
    no_text, no_image = torch.randn(4, 12), torch.randn(9, 6)
    denoiser = parts.denoiser(no_text, no_image).eval()
    x, known = torch.randn(2, 1, 4, 16, 8, 8).unbind()
    image, text, t = torch.randn(1, 9, 6), torch.randn(1, 4, 12), torch.tensor([0.6]).double()
    told = {"frames": known, "fps": torch.tensor([8.0]), "image": image, "text": text}
    guided = ClassifierFreeEach(denoiser, {"image": 2.0, "text": 7.5}, always=["frames", "fps"])

    def v(picture: Tensor, words: Tensor) -> Tensor:
        tokens = parts.image.queries(picture)
        vector = parts.rate.embed(torch.tensor([8.0])).vector
        context = Context(vector, known, words, None, tokens)
        return parts.network(x, torch.tensor([599.0]), context)

    e_u, e_image = v(no_image[None], no_text[None]), v(image, no_text[None])
    out = e_u + 2.0 * (e_image - e_u) + 7.5 * (v(image, text) - e_image)
    expected = denoiser.prediction.to_x0(out, x, *denoiser.scales(t))
    assert torch.allclose(guided(x, t, **told).mean, expected, atol=1e-4)
    assert float((expected - denoiser(x, t, **told).mean).norm() / expected.norm()) > 0.05


def test_the_model_of_256_pixels_predicts_noise() -> None:
    denoiser = from_checkpoint(narrow(True)).denoiser(torch.zeros(1, 12))
    assert type(denoiser.prediction).__name__ == "Noise"
    # A pruned file of another model may not say how its signal was rescaled.
    with pytest.raises(InputError, match="give base_scale"):
        from_checkpoint(narrow()).denoiser(torch.zeros(1, 12))
    other = from_checkpoint(narrow()).denoiser(torch.zeros(1, 12), base_scale=0.3)
    assert other.prediction == RescaledV(0.3)
    assert float(denoiser.process.alpha(torch.ones((), dtype=torch.float64))) > 0
