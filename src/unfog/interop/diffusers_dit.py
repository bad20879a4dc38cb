r"""DiTs to and from diffusers' ``DiTTransformer2DModel``: one architecture (Peebles & Xie 2023)
under two sets of names.

Besides names: queries, keys and values are three matrices there and one here; the label's sinusoids
come cosines first, and the channels of an output patch last; every block there has its own copy of
the embeddings of label and class; the class is embedded outside the network here, its null being
the table's last row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditions import ClassCondition
from unfog.errors import InputError
from unfog.interop.diffusers_common import (
    Config,
    check_all_taken,
    check_fixed,
    check_known,
    given,
    model_folder,
    read_folder,
    shaped,
    take,
    write_folder,
)
from unfog.networks.dit import DiT
from unfog.networks.layers.positions import Sinusoidal

# What diffusers assumes where a configuration is silent.
DEFAULTS: dict[str, Any] = {
    "num_attention_heads": 16,
    "attention_head_dim": 72,
    "in_channels": 4,
    "out_channels": None,
    "num_layers": 28,
    "sample_size": 32,
    "patch_size": 2,
    "num_embeds_ada_norm": 1000,
    "norm_eps": 1e-5,
}
# Settings that the DiT has in one form only.
_FIXED: dict[str, tuple[Any, ...]] = {
    "dropout": (0.0,),
    "attention_bias": (True,),
    "activation_fn": ("gelu-approximate",),
    "norm_type": ("ada_norm_zero",),
    "norm_elementwise_affine": (False,),
}
# Settings of diffusers' that a DiT of this kind does not use.
_UNUSED = [
    *("attention_type", "cross_attention_dim", "double_self_attention", "norm_num_groups"),
    *("num_vector_embeds", "only_cross_attention", "upcast_attention", "use_linear_projection"),
]
# Our names to theirs, applied in order.
_NAMES = [
    (r"^embedding\.hidden\.", "emb.timestep_embedder.linear_1."),
    (r"^embedding\.out\.", "emb.timestep_embedder.linear_2."),
    (r"^enter\.", "pos_embed.proj."),
    (r"^project\.", "proj_out_1."),
    (r"^leave\.", "proj_out_2."),
    (r"^blocks\.", "transformer_blocks."),
    (r"\.project\.", ".norm1.linear."),
    (r"\.attention\.out\.", ".attn1.to_out.0."),
    (r"\.attention\.", ".attn1."),
    (r"\.mlp\.0\.", ".ff.net.0.proj."),
    (r"\.mlp\.2\.", ".ff.net.2."),
]
_CLASSES = "emb.class_embedder.embedding_table.weight"
_COPY = re.compile(r"^transformer_blocks\.(\d+)\.norm1\.emb\.")  # of what is ours once, as "emb."


def dit_from_diffusers(
    weights: Mapping[str, Tensor] | nn.Module, config: Config | None = None
) -> tuple[DiT, ClassCondition]:
    """A DiT with the weights of a ``DiTTransformer2DModel``, and the condition that embeds its
    classes.

    Args:
        weights: The model itself, or its state dictionary.
        config: Its configuration, the contents of config.json; read off the model if that is given.

    Raises:
        InputError: The configuration asks for what the DiT has not, or a tensor is missing,
            superfluous or misshapen, or the blocks' embeddings differ.
    """
    state, config = given(weights, config)
    options = dit_options(config)
    dit = DiT(**options)
    width, patch = options["width"], options["patch"]
    source = _without_copies(state)
    ours = {}
    for key, like in dit.state_dict().items():
        names = _their_names(key)
        ours[key] = shaped(_from_theirs(key, take(source, names), patch), like.shape, names[0])
    dit.load_state_dict(ours)
    # The table of classes, whose last row is the null.
    classes = ClassCondition({**DEFAULTS, **config}["num_embeds_ada_norm"], width)
    table = shaped(take(source, [_CLASSES]), (classes.count + 1, width), _CLASSES)
    classes.load_state_dict({"embedding.weight": table[:-1], "absent": table[-1]})
    check_all_taken(source)
    return dit, classes


def dit_options(config: Config) -> dict[str, Any]:
    """The arguments of ``DiT`` that a configuration of ``DiTTransformer2DModel`` asks for;
    ``InputError`` where it asks for what the DiT has not.
    """
    check_fixed("DiT", _FIXED, config)
    check_known("DiT", {*DEFAULTS, *_FIXED, *_UNUSED}, config)
    c = {**DEFAULTS, **config}
    width, patch = c["num_attention_heads"] * c["attention_head_dim"], c["patch_size"]
    return {
        "in_channels": c["in_channels"],
        "out_channels": c["out_channels"] or c["in_channels"],
        "depth": c["num_layers"],
        "width": width,
        "heads": c["num_attention_heads"],
        "patch": patch,
        "positions": {"name": "sinusoidal", "extent": c["sample_size"] // patch},
        "vector_width": width,
        "embedding_shift": 1.0,
        "mlp_norm_eps": c["norm_eps"],
    }


def dit_to_diffusers(
    dit: DiT, classes: ClassCondition, sample_size: int | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The state dictionary and configuration of the ``DiTTransformer2DModel`` that computes what
    ``dit`` does with the vectors of ``classes``.

    Args:
        dit: The network; spatial channels count among its input channels.
        classes: The condition that embeds its classes.
        sample_size: Side of the images, at which both count patches alike; by default from the
            extent of the positions.

    Raises:
        InputError: ``DiTTransformer2DModel`` cannot be this network.
    """
    config = _diffusers_config(dit, classes, sample_size)
    state: dict[str, Tensor] = {}
    for key, value in dit.state_dict().items():
        names, value = _their_names(key), _to_theirs(key, value, dit)
        state.update(zip(names, value.chunk(len(names)), strict=True))
    state[_CLASSES] = torch.cat([classes.embedding.weight, classes.absent[None]]).detach()
    # A copy of the embeddings for every block.
    copied = {
        name.replace("emb.", f"transformer_blocks.{i}.norm1.emb.", 1)
        if name.startswith("emb.")
        else name: value.clone(memory_format=torch.contiguous_format)
        for name, value in state.items()
        for i in range(len(dit.blocks) if name.startswith("emb.") else 1)
    }
    return copied, config


def load_diffusers_dit(path: str | Path) -> tuple[DiT, ClassCondition]:
    """The DiT and classes of a diffusers folder: a model's own, or a pipeline's with the model in
    ``transformer``.
    """
    folder = model_folder(path, "transformer")
    state, config = read_folder(folder)
    try:
        return dit_from_diffusers(state, config)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def save_diffusers_dit(
    dit: DiT, classes: ClassCondition, path: str | Path, sample_size: int | None = None
) -> None:
    """Write a DiT as a diffusers model folder: config.json and its weights; arguments and errors
    as of `dit_to_diffusers`.
    """
    write_folder(path, *dit_to_diffusers(dit, classes, sample_size))


def _their_names(key: str) -> list[str]:
    """The names in diffusers of one of our tensors: one, or three for queries, keys and values."""
    for pattern, name in _NAMES:
        key = re.sub(pattern, name, key)
    return [key.replace(".qkv.", f".to_{part}.") for part in "qkv"] if ".qkv." in key else [key]


def _without_copies(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors, with the blocks' equal embeddings once, under "emb."."""
    source: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _COPY.sub("emb.", key)
        if name in source and not torch.equal(source[name], value):
            raise InputError(
                f"The diffusers weights {key!r} differ from the other blocks' embeddings, which "
                "a DiT has but once."
            )
        source[name] = value
    return source


def _from_theirs(key: str, value: Tensor, patch: int) -> Tensor:
    """Their tensor in our order."""
    if key == "embedding.hidden.weight":  # sines first
        return value.roll(value.shape[1] // 2, 1)
    if key.startswith("leave."):  # (patch, patch, channels) to (channels, patch, patch)
        return value.reshape(patch**2, -1, *value.shape[1:]).transpose(0, 1).reshape(value.shape)
    return value


def _to_theirs(key: str, value: Tensor, dit: DiT) -> Tensor:
    """Our tensor in their order, and the first layer as a convolution."""
    if key == "embedding.hidden.weight":
        return value.roll(value.shape[1] // 2, 1)
    if key.startswith("leave."):
        split = value.reshape(-1, dit.patch**2, *value.shape[1:])
        return split.transpose(0, 1).reshape(value.shape)
    return value.reshape(dit.width, -1, dit.patch, dit.patch) if key == "enter.weight" else value


def _diffusers_config(dit: DiT, classes: ClassCondition, sample_size: int | None) -> dict[str, Any]:
    """The configuration of the ``DiTTransformer2DModel`` that computes what ``dit`` computes."""
    places, block = dit.positions, dit.blocks[0]
    same = (
        dit.dims == 2
        and dit.token_width is None
        and isinstance(places, Sinusoidal)
        and dit.embedding.shift == 1
        and block.mlp[0].out_features == 4 * dit.width
        and dit.vector_width == classes.embedding.embedding_dim
    )
    if not same:
        raise InputError(
            "diffusers' DiTTransformer2DModel has two dimensions, sinusoidal positions, classes, "
            "an embedding_shift of 1, an mlp_ratio of 4 and no tokens; this DiT cannot be written "
            "so."
        )
    extent = places.extent if isinstance(places, Sinusoidal) else None
    size = sample_size or (extent or 0) * dit.patch
    if not size or (extent is not None and size // dit.patch != extent):
        raise InputError(
            "A DiT is written for one side of images; give a 'sample_size' that has as many "
            "patches as its positions have extent."
        )
    return {
        "_class_name": "DiTTransformer2DModel",
        "num_attention_heads": block.attention.heads,
        "attention_head_dim": dit.width // block.attention.heads,
        "in_channels": dit.enter.in_features // dit.patch**2,
        "out_channels": dit.leave.out_features // dit.patch**2,
        "num_layers": len(dit.blocks),
        "sample_size": size,
        "patch_size": dit.patch,
        "num_embeds_ada_norm": classes.count,
        "norm_eps": block.norm2.eps,
    }
