"""Names within a U-Net's transformers, which latent diffusion's code and diffusers share; only the
places of the transformers differ.
"""

from __future__ import annotations

import re

from torch import Tensor

from unfog.interop.key_map import Names, Turn

PLACE = ".attentions.0."  # of a transformer in our names
_INNER = [
    (r"^norm\.", "norm."),
    (r"^enter\.", "proj_in."),
    (r"^out\.", "proj_out."),
    (r"^blocks\.(\d+)\.", r"transformer_blocks.\1."),
    (r"\.attention\.qkv\.", ".attn1.to_{}."),
    (r"\.attention\.out\.", ".attn1.to_out.0."),
    (r"\.cross\.kv\.", ".attn2.to_{}."),
    (r"\.cross\.q\.", ".attn2.to_q."),
    (r"\.cross\.out\.", ".attn2.to_out.0."),
    (r"\.mlp\.enter\.", ".ff.net.0.proj."),
    (r"\.mlp\.leave\.", ".ff.net.2."),
]


def with_transformers(names: Names, out: str) -> Names:
    """Names of a U-Net's tensors, those of its transformers too.

    Args:
        names: Our name of a tensor to theirs, for all but transformers.
        out: What an attention's last matrix is called by ``names``.

    Returns:
        Our name to theirs, one, or several for a joint matrix.
    """

    def theirs(key: str) -> list[str]:
        place, inside, inner = key.partition(PLACE)
        if not inside:
            return list(names(key))
        (whole,) = names(f"{place}{PLACE}out.weight")
        for pattern, name in _INNER:
            inner = re.sub(pattern, name, inner)
        parts = "kv" if ".attn2." in inner else "qkv"
        full = whole.removesuffix(f"{out}.weight") + inner
        return [full.format(part) for part in parts] if "{}" in full else [full]

    return theirs


def cosines_first(ours: bool, linear: bool = True) -> Turn:
    """Tensors between their layout and ours: the label's cosines come before its sines there, and
    the first and last matrix of a transformer may be a convolution of one point.

    Args:
        ours: Whether our layout is asked for, not theirs.
        linear: Whether the transformers' matrices are no convolutions there.
    """

    def turn(key: str, value: Tensor) -> Tensor:
        if key == "embedding.hidden.weight":
            return value.roll(value.shape[1] // 2 * (1 if ours else -1), 1)
        inner = key.partition(PLACE)[2]
        if not (ours or linear) and inner in ("enter.weight", "out.weight"):
            return value[..., None, None]
        return value

    return turn
