"""The training of variational autoencoders as models of data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from unfog.errors import InputError
from unfog.networks.generator import Variational
from unfog.training.objectives.objective import objectives
from unfog.training.order import streams


@objectives.register("evidence")
class Evidence:
    """The negative evidence bound, a value of x, with a weight on the divergence (Higgins et al.
    2017, "beta-VAE"):

        (E_q[-log p(x | z)] + beta KL(q(z | x) | p(z))) / numbers of x.

    Beta rises linearly from 0 over the first ``rise`` steps (Bowman et al. 2016), without which
    latents that are not yet of use are given up for good.

    Args:
        shape: Of x, (channels, *space).
        beta: The weight; 1 is the bound.
        rise: Steps until the weight is full.
        label: The condition that says the class; None without classes.
    """

    def __init__(
        self, shape: Sequence[int], beta: float = 1.0, rise: int = 0, label: str | None = None
    ) -> None:
        if beta < 0 or rise < 0:
            raise InputError(f"beta and rise are 0 or more, got {beta} and {rise}.")
        self.numbers, self.beta, self.rise = math.prod(shape), beta, rise
        self.label = label

    def __call__(
        self,
        model: Variational,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The loss of each sample (batch,).

        Args:
            model: The VAE.
            batch: The data ``"x"`` (batch, channels, *space) on the model's scale.
            samples: The numbers of the batch's samples.
            seed: The seed of the run.
            step: The training step, from 1.

        Returns:
            In nats a value of x.
        """
        label = None if self.label is None else batch[self.label]
        found = model(batch["x"], streams("latent", seed, step, samples), label)
        weight = self.beta * (min(1.0, step / self.rise) if self.rise else 1.0)
        loss: Tensor = (found.nll + weight * found.kl) / self.numbers
        return loss
