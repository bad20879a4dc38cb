"""Training objectives: the losses that a step minimises. Importing this package registers all."""

from unfog.training.objectives import adversarial, consistency, denoising
from unfog.training.objectives.denoising import Objective, objectives

__all__ = ["Objective", "adversarial", "consistency", "denoising", "objectives"]
