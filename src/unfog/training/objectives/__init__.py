"""Training objectives: the losses that a step minimises. Importing this package registers all."""

from unfog.training.objectives import (
    adversarial,
    consistency,
    contrastive,
    denoising,
    given_noise,
    reconstruction,
)
from unfog.training.objectives.objective import Objective, objectives

__all__ = [
    "Objective",
    "adversarial",
    "consistency",
    "contrastive",
    "denoising",
    "given_noise",
    "objectives",
    "reconstruction",
]
