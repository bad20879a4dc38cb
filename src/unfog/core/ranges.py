"""What values the parameters of registered parts may have: of which type by their annotation, in
which range by their name, since a name means the same in every part.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from unfog.errors import InputError


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both among them unless ``above`` takes ``low`` out."""

    low: float
    high: float
    above: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN is in none."""
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        if self.above:
            return f"above {self.low:g}, to {self.high:g}"
        return f"from {self.low:g} to {self.high:g}"


WIDTH, MAYBE_WIDTH = Range(1, 1 << 16), Range(0, 1 << 16)
DEPTH, EXTENT = Range(0, 1 << 10), Range(1, 1 << 24)
POSITIVE, PROBABILITY = Range(0, 1e9, above=True), Range(0, 1)
WHOLE, REAL = Range(-(2**31), 2**31), Range(-1e30, 1e30)  # of all other parameters

RANGES: dict[str, Range] = {
    # Sizes of networks.
    **dict.fromkeys(("channels", "in_channels", "out_channels", "width", "token_width"), WIDTH),
    **dict.fromkeys(("vector_width", "latent_channels", "embedding", "latent", "codes"), WIDTH),
    **dict.fromkeys(("heads", "head_dim", "entry_heads", "decoupled_width", "groups"), WIDTH),
    **dict.fromkeys(("vectors", "waves", "bands", "pooled_size", "tokens"), WIDTH),
    **dict.fromkeys(("spatial_channels", "classes", "octaves"), MAYBE_WIDTH),
    **dict.fromkeys(("depth", "layers", "blocks", "halvings", "levels"), DEPTH),
    "multipliers": Range(1, 1 << 10),
    "mlp_ratio": Range(1, 1 << 10),
    "dims": Range(0, 4),
    "dimensions": Range(1, 3),
    # Sizes of samples, data and tables.
    **dict.fromkeys(("size", "side", "length", "max_tokens", "patch", "extent"), EXTENT),
    **dict.fromkeys(("frames", "crop", "window", "hop", "rate", "detectors", "count"), EXTENT),
    **dict.fromkeys(("steps", "knots", "repeats", "segments"), Range(1, 1 << 20)),
    "factor": Range(0, 1 << 12, above=True),
    "order": Range(1, 16),
    "iterations": Range(1, 1 << 16),
    "corrections": Range(0, 1 << 10),
    # Deviations, chances and rates.
    **dict.fromkeys(("sigma_data", "sigma_min", "sigma_max", "std", "rho"), POSITIVE),
    **dict.fromkeys(("eps", "norm_eps", "mlp_norm_eps"), Range(0, 1, above=True)),
    **dict.fromkeys(("drop", "dropout", "everything", "ends"), PROBABILITY),
    **dict.fromkeys(("beta_min", "beta_max", "beta_start", "beta_end"), Range(0, 1e6)),
    "deviation": Range(0, 1e4),
    "seed": Range(-(2**63), 2**63 - 1),
}
SIMPLE = {"int", "float", "bool", "str", "None"}
_PLAIN = (bool, int, float, str, list, tuple, dict)


def check_parameter(what: str, key: str, annotation: object, value: object) -> None:
    """Hold a value of a config to the type and the range of its parameter.

    Args:
        what: The part, for errors, such as "network 'unet'".
        key: The parameter.
        annotation: Its type as it is written in the signature.
        value: Plain data, or what a file cannot hold, which is not looked at.

    Raises:
        InputError: It is of another type, not finite or out of range.
    """
    if value is not None and not isinstance(value, _PLAIN):
        return
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    kinds = {kind.strip() for kind in re.sub(r"\[[^\]]*\]", "[]", text).split("|")}
    inner = set(re.findall(r"(?:Sequence|list|tuple)\[(\w+)", text))
    if kinds - SIMPLE - {"Sequence[]", "list[]", "tuple[]"} or not kinds:
        return
    known = RANGES.get(key)
    many = bool(kinds - SIMPLE)
    if isinstance(value, list | tuple) and many:
        allowed, values = inner, list(value)
        if len(values) > 1 << 16:
            raise InputError(f"The {key!r} of {what} has {len(values)} values; give fewer.")
    else:
        allowed, values = kinds & SIMPLE, [value]
    for one in values:
        _check_one(what, key, known, allowed, one)


def _check_one(what: str, key: str, known: Range | None, kinds: set[str], value: object) -> None:
    """``InputError`` unless one value is of one of the kinds, and in its range."""
    wanted = " or ".join(_WORDS[kind] for kind in _WORDS if kind in kinds) or "a list"
    if not any(_is(kind, value) for kind in kinds):
        raise InputError(f"The {key!r} of {what} must be {wanted}, not {_short(value)}.")
    if isinstance(value, int | float) and not isinstance(value, bool):
        allowed = known or (WHOLE if isinstance(value, int) else REAL)
        if not allowed.holds(value):
            raise InputError(f"The {key!r} of {what} must be {allowed}, not {_short(value)}.")


_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
_TESTS: Mapping[str, Callable[[object], bool]] = {
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "float": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, bool),
    "str": lambda v: isinstance(v, str),
    "None": lambda v: v is None,
}


def _is(kind: str, value: object) -> bool:
    return kind in _TESTS and _TESTS[kind](value)


def _short(value: object) -> str:
    """A value in at most 60 characters; a whole number of thousands of digits is not written."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a number of {math.ceil(value.bit_length() * 0.30103)} digits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
