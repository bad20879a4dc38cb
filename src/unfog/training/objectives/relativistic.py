"""The training of a GAN against a relativistic critic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import softplus

from unfog.core.random import seed_of
from unfog.core.shapes import sum_per_sample
from unfog.networks.generator import Critic, Generator
from unfog.training.objectives.objective import objectives
from unfog.training.order import streams


@objectives.register("relativistic")
class Relativistic:
    """The relativistic loss with two gradient penalties (Jolicoeur-Martineau 2019; Huang et al.
    2024, "R3GAN"). With f(t) = log(1 + e^t), samples x and G(z) in pairs and a critic D,

        critic:     f(D(G(z)) - D(x)) + gamma / 2 (|grad D(x)|^2 + |grad D(G(z))|^2),
        generator:  f(D(x) - D(G(z))).

    Each picture is judged beside another, so no sample can be left on the wrong side and all of
    the data pull; the penalties, on the data (R1) and on samples (R2), make the game converge
    near its equilibrium. The critic takes the first turn of a step.

    Args:
        shape: Of x, (channels, *space).
        gamma: The weight of the penalties.
        channels: Of the critic's finest map.
        multipliers: One a level, the finest first.
        blocks: Residual blocks a level.
        classes: How many the critic judges each for itself; 0 for none.
        label: The condition that says the class; None without classes.
    """

    def __init__(
        self,
        shape: Sequence[int],
        gamma: float = 1.0,
        channels: int = 32,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 1,
        classes: int = 0,
        label: str | None = None,
    ) -> None:
        self.gamma, self.label = gamma, label
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("critic"))
            self.head = Critic(shape, channels, multipliers, blocks, classes)

    def __call__(
        self,
        generator: Generator,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Iterator[Tensor]:
        """The losses of each sample (batch,), one turn after the other: the critic's, then the
        generator's.

        Args:
            generator: The model.
            batch: The data ``"x"`` (batch, channels, *space) on the model's scale.
            samples: The numbers of the batch's samples.
            seed: The seed of the run.
            step: The training step, from 1.

        Returns:
            An iterator of two losses (batch,); the second is to be asked for after the critic has
            been updated by the first.
        """
        x, label = batch["x"], None if self.label is None else batch[self.label]
        made = generator.draw(streams("noise", seed, step, samples), label)
        # The critic's turn; no gradient reaches the generator.
        real, steep = with_slope(self.head, x, label)
        fake, steep_too = with_slope(self.head, made, label)
        yield softplus(fake - real) + 0.5 * self.gamma * (steep + steep_too)
        # The generator's, by the critic as it is after its update, without its gradient.
        frozen = {name: p.detach() for name, p in self.head.named_parameters()}
        with torch.no_grad():
            real = self.head(x, label).float()
        fake = functional_call(self.head, frozen, (made, label)).float()
        yield softplus(real - fake)


def with_slope(critic: Critic, x: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The critic's verdict on each sample and |grad D(x)|^2, (batch,) both, differentiable in its
    weights and not in x.
    """
    x = x.detach().requires_grad_()
    verdict = critic(x, label).float()
    (slope,) = torch.autograd.grad(verdict.sum(), x, create_graph=True)
    return verdict, sum_per_sample(slope.float().square())
