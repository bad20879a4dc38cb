"""The clip of a run's estimates, which its sampling section states."""

from __future__ import annotations

from typing import Any

from unfog.core.denoiser import Denoiser
from unfog.errors import InputError
from unfog.guidance.thresholding import DynamicThreshold, StaticThreshold


def clipped(denoiser: Denoiser, bound: Any) -> Denoiser:
    """The denoiser with its estimate in [-bound, bound], or by dynamic thresholding where ``bound``
    is "dynamic"; itself where ``bound`` is None.
    """
    if bound is None:
        return denoiser
    if bound == "dynamic":
        return DynamicThreshold(denoiser)
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not bound > 0:
        raise InputError(f"sampling.clip is a number above 0, dynamic or null, not {bound!r}.")
    return StaticThreshold(denoiser, float(bound))
