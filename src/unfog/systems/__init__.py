"""Named systems: recipes that put a process, a network, an objective and a sampler together as a
paper does. Importing this package registers those of images; ``unfog.builtin`` registers all.
"""

from unfog.systems import (
    consistency,
    ddpm,
    edm,
    generators,
    head_prior,
    imagen,
    improved_ddpm,
    latent_diffusion,
    masks,
    ncsn,
    priors,
    rectified_flow,
    score_sde,
    text_to_image,
    unclip,
    volume_priors,
)
from unfog.systems.registry import get, names

__all__ = [
    "consistency",
    "ddpm",
    "edm",
    "generators",
    "get",
    "head_prior",
    "imagen",
    "improved_ddpm",
    "latent_diffusion",
    "masks",
    "names",
    "ncsn",
    "priors",
    "rectified_flow",
    "score_sde",
    "text_to_image",
    "unclip",
    "volume_priors",
]
