"""What a U-Net's sizes must be."""

from __future__ import annotations

from collections.abc import Sequence

from unfog.errors import InputError


def check_sizes(attention_levels: Sequence[int], multipliers: Sequence[int], *sizes: int) -> None:
    """``InputError`` for levels that are not there, and for sizes below 1."""
    if not set(attention_levels) <= set(range(len(multipliers))):
        raise InputError(
            f"attention_levels index the {len(multipliers)} multipliers from 0; got "
            f"{list(attention_levels)}."
        )
    if min(len(multipliers), *multipliers, *sizes) < 1:
        raise InputError(
            "A U-Net's channels, multipliers, blocks and patch must all be at least 1."
        )


def check_picture(spatial_channels: int, in_channels: int) -> None:
    """``InputError`` where the context holds no picture of x's channels."""
    if spatial_channels < in_channels:
        raise InputError(
            f"A picture shortcut adds {in_channels} channels of the context, which has "
            f"{spatial_channels}; leave it out."
        )


def check_efficient(multipliers: Sequence[int], counts: Sequence[int], halvings: int) -> None:
    """``InputError`` for numbers of blocks or halvings that no level has."""
    if len(counts) != len(multipliers):
        raise InputError(
            f"A U-Net's blocks are one number, or one for each of {len(multipliers)} levels, not "
            f"{len(counts)}."
        )
    if halvings < 0 or (halvings and multipliers[0] != 1):
        raise InputError(
            "A U-Net's halvings are 0 or more, and its first multiplier is 1 where there are any."
        )
