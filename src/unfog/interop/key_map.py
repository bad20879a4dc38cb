"""Weights under other names: tensors checked by name and shape, both ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from unfog.errors import InputError

Names = Callable[[str], Sequence[str]]  # our name to theirs, one or several end to end
Turn = Callable[[str, Tensor], Tensor]  # our name and a tensor to it in the other layout
SHOWN = 3  # names in a message


def fill(
    network: nn.Module, weights: Mapping[str, Tensor], names: Names, turn: Turn, what: str
) -> None:
    """Load weights of other names into a network.

    Args:
        network: Takes the weights; it may be on the device "meta".
        weights: Theirs by name.
        names: Their names of one of our tensors.
        turn: Their tensor in our layout.
        what: What the weights are called in messages.

    Raises:
        InputError: Tensors are missing, superfluous or of another shape; the first three are named.
    """
    source, ours = dict(weights), dict[str, Tensor]()
    missing, misshapen = list[str](), list[str]()
    for key, like in network.state_dict().items():
        theirs = names(key)
        gone = [name for name in theirs if name not in source]
        missing += gone
        if gone:
            continue
        parts = [source.pop(name) for name in theirs]
        if len(parts) > 1:
            part = _bare((like.shape[0] // len(parts), *like.shape[1:]))
            odd = [
                f"{name} {tuple(value.shape)}"
                for name, value in zip(theirs, parts, strict=True)
                if _bare(value.shape) != part
            ]
            misshapen += odd
            if odd:
                continue
        value = turn(key, torch.cat(parts) if len(parts) > 1 else parts[0])
        if _bare(value.shape) != _bare(like.shape):
            misshapen.append(f"{theirs[0]} {tuple(parts[0].shape)}")
            continue
        ours[key] = value.reshape(like.shape).float()
    faults = [
        f"{fault} {_shown(found)}"
        for fault, found in (
            ("lack", missing),
            ("have besides", sorted(source)),
            ("have in another shape", misshapen),
        )
        if found
    ]
    if faults:
        raise InputError(f"The {what} {', and '.join(faults)}; give a network's own file.")
    network.load_state_dict(ours, assign=True)


def taken(network: nn.Module, names: Names, turn: Turn) -> dict[str, Tensor]:
    """The weights of a network under other names.

    Args:
        network: Gives the weights.
        names: Their names of one of our tensors, which is cut into as many.
        turn: Our tensor in their layout.

    Returns:
        Tensors by their names.
    """
    state: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        theirs = names(key)
        parts = turn(key, value).chunk(len(theirs))
        state.update(zip(theirs, (part.contiguous().clone() for part in parts), strict=True))
    return state


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without the ones at its end: a matrix is a convolution of one point."""
    sides = list(shape)
    while sides and sides[-1] == 1:
        sides.pop()
    return tuple(sides)


def _shown(found: Sequence[str]) -> str:
    """The first three names, and how many more there are."""
    more = len(found) - SHOWN
    return ", ".join(found[:SHOWN]) + (f" and {more} more" if more > 0 else "")
