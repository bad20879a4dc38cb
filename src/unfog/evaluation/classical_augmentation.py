"""Classical augmentation of labelled pictures, by kornia: what synthetic pictures compete with."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.core.random import seed_of
from unfog.errors import MissingExtra

DEGREES, SHIFT, SCALE, GAMMA = 10.0, 0.08, (0.9, 1.1), (0.8, 1.25)


class ClassicalAugmentation:
    """Random rotations, shifts, scales and gamma curves, and mirrors where a mirrored picture is as
    likely; masks move with their pictures.

    Args:
        mirror: Whether pictures are mirrored.
        masks: Whether targets are masks on the pictures' grid.

    Raises:
        MissingExtra: kornia is not installed.
    """

    def __init__(self, mirror: bool, masks: bool) -> None:
        try:
            from kornia import augmentation
        except ImportError as error:
            raise MissingExtra("augment", "kornia") from error
        self.masks = masks
        self._moves = augmentation.AugmentationSequential(
            *([augmentation.RandomHorizontalFlip(p=0.5)] if mirror else []),
            augmentation.RandomAffine(
                DEGREES, translate=(SHIFT, SHIFT), scale=SCALE, p=1.0, padding_mode="border"
            ),
            augmentation.RandomGamma(GAMMA, p=1.0),
            data_keys=["input", "mask"] if masks else ["input"],
        )

    def __call__(self, x: Tensor, target: Tensor, *place: int | str) -> tuple[Tensor, Tensor]:
        """Pictures (n, channels, rows, columns) in [0, 1] and targets, augmented: a function of
        both and of ``place``, such as a seed and a step.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(*place, "classical"))
            if not self.masks:
                return self._moves(x.clamp(0, 1)), target
            moved, mask = self._moves(x.clamp(0, 1), target.float())
        return moved, mask.to(target.dtype)
