"""Named systems: recipes over the parts below. Importing this package registers those of images;
``unfog.builtin`` registers all.
"""

from unfog.systems import (
    consistency,
    ddpm,
    edm,
    improved_ddpm,
    ncsn,
    priors,
    rectified_flow,
    score_sde,
)
from unfog.systems.registry import get, names

__all__ = [
    "consistency",
    "ddpm",
    "edm",
    "get",
    "improved_ddpm",
    "names",
    "ncsn",
    "priors",
    "rectified_flow",
    "score_sde",
]
