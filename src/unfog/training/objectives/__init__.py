"""Training objectives: the losses that a step minimises. Importing this package registers all."""

from unfog.training.objectives import (
    adversarial,
    consistency,
    contrastive,
    denoising,
    evidence,
    given_noise,
    reconstruction,
    relativistic,
)
from unfog.training.objectives.objective import Objective, objectives

__all__ = [
    "Objective",
    "adversarial",
    "consistency",
    "contrastive",
    "denoising",
    "evidence",
    "given_noise",
    "objectives",
    "reconstruction",
    "relativistic",
]
