r"""The names of DynamiCrafter's tensors in the published checkpoints, for those here.

Besides names: queries, keys and values are a matrix each there; the convolutions in time have an
axis more, and so have two matrices of the first transformer in time.
"""

from __future__ import annotations

import re

from torch import Tensor

from unfog.video.dynamicrafter.network import DynamiCrafter
from unfog.video.dynamicrafter.query_transformer import QueryTransformer

# Our names to theirs within a part of the network, applied in order.
_TRANSFORMER = [
    (r"^enter\.", "proj_in."),
    (r"^leave\.", "proj_out."),
    (r"^(norm\d)\.", r"transformer_blocks.0.\1."),
    (r"^mlp\.enter\.", "transformer_blocks.0.ff.net.0.proj."),
    (r"^mlp\.leave\.", "transformer_blocks.0.ff.net.2."),
    (r"^attention\.", "transformer_blocks.0.attn1."),
    (r"^(?:cross|again)\.", "transformer_blocks.0.attn2."),
    (r"\.gate$", ".alpha"),
    (r"\.out\.", ".to_out.0."),
    (r"\.q\.", ".to_q."),
]
_BLOCK = [
    (r"^norm1\.", "in_layers.0."),
    (r"^conv1\.", "in_layers.2."),
    (r"^project\.", "emb_layers.1."),
    (r"^norm2\.", "out_layers.0."),
    (r"^conv2\.", "out_layers.3."),
    (r"^skip\.", "skip_connection."),
]
_TEMPORAL = [
    (r"^layers\.0\.3\.", "temopral_conv.conv1.2."),
    (r"^layers\.1\.", "temopral_conv.conv2."),
    (r"^layers\.2\.", "temopral_conv.conv3."),
    (r"^layers\.3\.", "temopral_conv.conv4."),
    (r"^layers\.0\.", "temopral_conv.conv1."),
]
_STAGE = {
    "block": ("0", _BLOCK),
    "temporal": ("0", _TEMPORAL),
    "space": ("1", _TRANSFORMER),
    "time": ("2", _TRANSFORMER),
}
_OUTSIDE = [
    (r"^embedding\.hidden\.", "time_embed.0."),
    (r"^embedding\.out\.", "time_embed.2."),
    (r"^enter\.", "input_blocks.0.0."),
    (r"^norm\.", "out.0."),
    (r"^leave\.", "out.2."),
]
_RATE = [(r"^embedding\.hidden\.", "fps_embedding.0."), (r"^embedding\.out\.", "fps_embedding.2.")]
_QUERIES = [
    (r"^queries$", "latents"),
    (r"^enter\.", "proj_in."),
    (r"^leave\.", "proj_out."),
    (r"^norm\.", "norm_out."),
    (r"^blocks\.(\d+)\.attention\.(q|kv|out)\.", r"layers.\1.0.to_\2."),
    (r"^blocks\.(\d+)\.attention\.", r"layers.\1.0."),
    (r"^blocks\.(\d+)\.mlp\.", r"layers.\1.1."),
]
# Matrices that hold several of theirs, end to end, and what theirs are called.
_JOINED = [
    (".qkv.", (".to_q.", ".to_k.", ".to_v.")),
    (".decoupled_kv.", (".to_k_ip.", ".to_v_ip.")),
    (".kv.", (".to_k.", ".to_v.")),
]


def network_names(network: DynamiCrafter) -> dict[str, list[str]]:
    """For each tensor of a network the names of those that it holds, end to end."""
    return {key: _split(_network_name(key, network)) for key in network.state_dict()}


def rate_names(keys: list[str]) -> dict[str, list[str]]:
    """As ``network_names``, of the embedding of the frame rate."""
    return {key: [_renamed(key, _RATE)] for key in keys}


def query_names(queries: QueryTransformer) -> dict[str, list[str]]:
    """As ``network_names``, of a query transformer."""
    return {key: [_renamed(key, _QUERIES)] for key in queries.state_dict()}


def their_shape(key: str, name: str, value: Tensor) -> list[int]:
    """The shape that a tensor here, called ``key``, has under ``name`` in a checkpoint."""
    shape = list(value.shape)
    if key.startswith(("first.enter.weight", "first.leave.weight")) or ".temporal.layers." in key:
        return [*shape, 1] if value.ndim in (2, 4) else shape
    return [1, *shape] if name == "latents" else shape


def _network_name(key: str, network: DynamiCrafter) -> str:
    """The name of a tensor of the network, its joined matrices not yet split."""
    blocks = len(network.down[0].stages)
    found = re.match(r"(down|up|middle)\.(\d+)\.(?:stages\.(\d+)\.)?(.*)", key)
    if found is None:
        if key.startswith("first."):
            return "init_attn.0." + _renamed(key.removeprefix("first."), _TRANSFORMER)
        return _renamed(key, _OUTSIDE)
    way, level, step, rest = found.group(1), int(found.group(2)), found.group(3), found.group(4)
    # The steps to the next level come behind the blocks.
    if step is None and way == "down":
        return rest.replace("down.conv.", f"input_blocks.{(level + 1) * (blocks + 1)}.0.op.")
    if step is None and way == "up":
        last = 3 if network.up[level].stages[0].space is not None else 1
        place = level * (blocks + 1) + blocks
        return rest.replace("up.conv.", f"output_blocks.{place}.{last}.conv.")
    part, inner = rest.split(".", 1)
    place_in_stage, names = _STAGE[part]
    name = _renamed(inner, names)
    if way == "middle":
        return f"middle_block.{3 if level else place_in_stage}.{name}"
    start = 1 + level * (blocks + 1) if way == "down" else level * (blocks + 1)
    side = "input" if way == "down" else "output"
    return f"{side}_blocks.{start + int(step)}.{place_in_stage}.{name}"


def _renamed(key: str, rules: list[tuple[str, str]]) -> str:
    for pattern, name in rules:
        key = re.sub(pattern, name, key)
    return key


def _split(name: str) -> list[str]:
    """The names of the matrices that stand end to end in one of ours."""
    for ours, theirs in _JOINED:
        if ours in name:
            return [name.replace(ours, one) for one in theirs]
    return [name]
