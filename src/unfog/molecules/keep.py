"""How molecules keep a fragment: a posterior that the network learned in training
(``molecules.held``), or one that needs no training, RePaint.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.random import Randomness
from unfog.core.shapes import expand
from unfog.molecules import held
from unfog.molecules.fragment import Fragment
from unfog.physics.linear import Operator
from unfog.posterior.repaint import RePaint
from unfog.runs.run import Run
from unfog.sampling.loop import Condition, History, Sampler
from unfog.sampling.resampled import Resampled

REPEATS = 10  # times that an interval is gone, as in RePaint


class KeptFragment(Denoiser):
    """E[x_0 | x_t, fragment] by a network that is told of it: x_t with the fragment in it goes in,
    and of what comes out the fragment is what it is.

    Args:
        denoiser: A network's, trained by ``fragment-denoising``, or guidance on one.
        operator: A, the fragment of a molecule.
        measurement: y, on the model's scale, for the batch.
    """

    def __init__(self, denoiser: Denoiser, operator: Operator, measurement: Tensor) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.operator, self.measurement = operator, measurement

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        alpha = expand(self.process.alpha(t), self.measurement)
        shown = self._with(alpha * self.measurement, x_t)
        mean: Tensor = self.denoiser(shown, t, **condition).mean
        return Posterior(self._with(self.measurement, mean))

    def _with(self, y: Tensor, x: Tensor) -> Tensor:
        return x + self.operator.pseudo_inverse(y.to(x) - self.operator(x))


@dataclass(frozen=True)
class Keeping:
    """A sampler whose denoiser is told of a fragment (``KeptFragment``).

    Args:
        sampler: The sampler.
        operator: A.
        measurement: y, on the model's scale, for the batch.
    """

    sampler: Sampler
    operator: Operator
    measurement: Tensor

    def step(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        history: History,
        randomness: Randomness,
        condition: Condition,
    ) -> tuple[Tensor, History]:
        """As of any sampler."""
        told = KeptFragment(denoiser, self.operator, self.measurement)
        return self.sampler.step(told, x_t, t, s, history, randomness, condition)


def keeping(run: Run, sampler: Sampler, operator: Fragment, known: Tensor) -> Sampler:
    """A sampler of molecules that keep a fragment: resampling by a network that was trained to be
    told of one, or else RePaint.

    Args:
        run: The model.
        sampler: Its sampler.
        operator: A, the fragment of a molecule.
        known: The fragment, on the model's scale, for the batch.

    Returns:
        The sampler.
    """
    if held.NAME in run.denoiser.conditioner.parts:
        return Keeping(Resampled(sampler, REPEATS), operator, known)
    return RePaint(sampler, operator, known, repeats=REPEATS)


def told_of(run: Run, operator: Fragment, count: int) -> dict[str, Tensor]:
    """What the run's network is told of the fragment that ``count`` molecules keep, by the
    condition's name; nothing where it takes none.
    """
    if held.NAME not in run.denoiser.conditioner.parts:
        return {}
    value = torch.zeros(count, 1, operator.largest)
    value[:, :, : operator.atoms] = 1
    return {held.NAME: value}
