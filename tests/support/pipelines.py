"""Pipelines of Stable Diffusion with random weights, small, in folders as diffusers saves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.stored import drawn

KINDS = ("sd-1.x", "sd-2.x", "sd-xl")
LENGTH = 16  # tokens of a text
WORDS = ("a", "red", "heart", "blue", "cat", "on", "the", "sea")
_DOWN, _CROSS_DOWN = "DownBlock2D", "CrossAttnDownBlock2D"
_UP, _CROSS_UP = "UpBlock2D", "CrossAttnUpBlock2D"
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
}


def vocabulary() -> tuple[dict[str, int], list[str]]:
    """Letters, words made of them by merges from the left, and CLIP's two marks."""
    letters = sorted({letter for word in WORDS for letter in word})
    pieces, merges = [*letters, *(f"{letter}</w>" for letter in letters)], list[str]()
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            if " ".join(parts[:2]) not in merges:
                merges.append(" ".join(parts[:2]))
            parts = ["".join(parts[:2]), *parts[2:]]
            pieces += [] if parts[0] in pieces else parts[:1]
    marks = ["<|startoftext|>", "<|endoftext|>"]
    return {piece: k for k, piece in enumerate([*dict.fromkeys(pieces), *marks])}, merges


def write_tokeniser(folder: Path, pad: str) -> dict[str, int]:
    """The files of a CLIP tokeniser; its vocabulary."""
    folder.mkdir(parents=True)
    vocab, merges = vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    told = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return vocab


def _text_encoder(vocab: dict[str, int], width: int, projected: bool) -> Any:
    import transformers

    config = transformers.CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        projection_dim=24,
        bos_token_id=vocab["<|startoftext|>"],
        eos_token_id=vocab["<|endoftext|>"],
        pad_token_id=vocab["<|endoftext|>"],
        hidden_act="gelu" if projected else "quick_gelu",
    )
    kind = transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel
    return redrawn(kind(config))


def _unet(kind: str, width: int) -> Any:
    import diffusers

    told: dict[str, Any] = {
        "sample_size": 8,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "cross_attention_dim": width,
        "down_block_types": (_CROSS_DOWN, _DOWN),
        "up_block_types": (_UP, _CROSS_UP),
        "attention_head_dim": 8,
    }
    if kind != "sd-1.x":
        told |= {"attention_head_dim": (2, 4), "use_linear_projection": True}
    if kind == "sd-xl":
        told |= {
            "down_block_types": (_DOWN, _CROSS_DOWN),
            "up_block_types": (_CROSS_UP, _UP),
            "transformer_layers_per_block": (1, 2),
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 24 + 6 * 256,
        }
    return redrawn(diffusers.UNet2DConditionModel(**told))


def _autoencoder(scale: float) -> Any:
    import diffusers

    return redrawn(
        diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(32, 32),
            norm_num_groups=8,
            latent_channels=4,
            sample_size=16,
            scaling_factor=scale,
        )
    )


def redrawn(model: Any) -> Any:
    """A model with every tensor of real numbers drawn anew; what a U-Net reads of the text counts
    for more, so that pictures of two texts differ.
    """
    state = model.state_dict()
    anew = drawn({k: list(v.shape) for k, v in state.items() if v.is_floating_point()})
    for name, value in anew.items():
        value *= 8 if ".attn2.to_v." in name else 1
    model.load_state_dict({**state, **anew})
    return model.eval()


def build_pipeline(kind: str, folder: Path, **scheduler: Any) -> Any:
    """A pipeline of diffusers, saved into ``folder``."""
    import diffusers
    import transformers

    vocab = write_tokeniser(folder / "made" / "tokenizer", "<|endoftext|>")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "made" / "tokenizer")
    shared = {"tokenizer": tokenizer, "text_encoder": _text_encoder(vocab, 32, False)}
    told = {**SCHEDULER, **scheduler}
    if kind == "sd-xl":
        write_tokeniser(folder / "made" / "tokenizer_2", "a</w>")
        second = transformers.CLIPTokenizer.from_pretrained(folder / "made" / "tokenizer_2")
        made = diffusers.StableDiffusionXLPipeline(
            **shared,
            text_encoder_2=_text_encoder(vocab, 16, True),
            tokenizer_2=second,
            unet=_unet(kind, 48),
            vae=_autoencoder(0.13025),
            scheduler=diffusers.DDIMScheduler(**{"steps_offset": 1, **told}),
        )
    else:
        told["prediction_type"] = "epsilon" if kind == "sd-1.x" else "v_prediction"
        made = diffusers.StableDiffusionPipeline(
            **shared,
            unet=_unet(kind, 32),
            vae=_autoencoder(0.18215),
            scheduler=diffusers.DDIMScheduler(
                **{"steps_offset": 1, "set_alpha_to_one": False, **told}
            ),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    made.set_progress_bar_config(disable=True)
    made.save_pretrained(folder / kind)
    return made


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Path]]:
    """A pipeline of diffusers and the folder that it was saved in, of each kind."""
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    made = {}
    for kind in KINDS:
        home = tmp_path_factory.mktemp(kind)
        made[kind] = build_pipeline(kind, home), home / kind
    return made
