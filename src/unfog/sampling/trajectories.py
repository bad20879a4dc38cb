r"""Trajectories of the probability-flow ODE in many small steps: what a solver of few calls is held to, at its end and on its way.

On the way it is held to the denoised estimates D. Where trajectories part, a solver's error is seen at the end only once one of them has
ended in another mode, and then it is all there at once; D leans towards that mode long before, and by degrees. Between knots D is a cubic
in the angle phi = atan(sigma / alpha), in which trajectories are smooth from pure noise to clean data (Lu & Song 2024, "TrigFlow").
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.process import Process
from unfog.core.shapes import expand, mean_per_sample
from unfog.errors import InputError
from unfog.sampling.linear import advance
from unfog.sampling.loop import trajectory
from unfog.sampling.multistep import Corrected, exact

PARTED = 0.1  # of the ends' variance: an end as far off as this counts as in another mode
KNOTS = 64  # denoised estimates kept of a trajectory
VALIDATION = 1 / 4  # of the trajectories are kept back to choose by
TINY = 1e-18


@dataclass(frozen=True)
class Estimates:
    """Denoised estimates (knots, n, channels, *space) at falling ``angles`` (knots,)."""

    angles: Tensor
    values: Tensor

    def at(self, process: Process, t: Tensor) -> Tensor:
        """The estimate at one time, differentiable in it: Lagrange's cubic through the four knots about it."""
        phi = torch.atan2(process.sigma(t), process.alpha(t))
        above = int((self.angles > phi.detach()).sum())
        first = min(max(above - 2, 0), len(self.angles) - 4)
        knots, values = self.angles[first : first + 4], self.values[first : first + 4]
        total = torch.zeros_like(values[0])
        for i in range(4):
            others = torch.cat([knots[:i], knots[i + 1 :]])
            total = total + expand(((phi - others) / (knots[i] - others)).prod(), total) * values[i]
        return total


@dataclass(frozen=True)
class Trajectories:
    """Starts x_T and ends x_0 of the probability-flow ODE of one denoiser, (n, channels, *space), and its estimates on the way."""

    denoiser: Denoiser
    start: Tensor
    end: Tensor
    estimates: Estimates

    @classmethod
    def fine(cls, denoiser: Denoiser, noise: Tensor, times: Tensor) -> Trajectories:
        """By third-order Adams through many ``times``, falling to 0; ``noise`` is standard normal."""
        process, start = denoiser.process, noise * denoiser.process.sigma(times[0]).to(noise)
        every, last = max(1, len(times) // KNOTS), len(times) - 2
        kept, angles, values, x = {*range(0, last, every), last}, list[Tensor](), list[Tensor](), start
        for step, state in enumerate(trajectory(denoiser, start, times, Corrected(3, exact), randomness=torch.Generator())):
            x = state.x
            if step in kept:
                angles.append(torch.atan2(process.sigma(times[step]), process.alpha(times[step])))
                with torch.no_grad():
                    values.append(denoiser(x, times[step]).mean)
        return cls(denoiser, start, x, Estimates(torch.stack(angles), torch.stack(values)))

    def split(self) -> tuple[Trajectories, Trajectories]:
        """Training and validation: those to learn from, and those to choose by."""
        kept = max(1, round(VALIDATION * len(self.start)))
        if len(self.start) - kept < 1:
            raise InputError(f"A calibration needs at least 2 trajectories, got {len(self.start)}.")
        return self._part(slice(kept, None)), self._part(slice(kept))

    def _part(self, samples: slice) -> Trajectories:
        estimates = Estimates(self.estimates.angles, self.estimates.values[:, samples])
        return Trajectories(self.denoiser, self.start[samples], self.end[samples], estimates)

    def solve(self, times: Tensor, weights: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The linear solver's ends (n, channels, *space), and the denoised estimate of each call; differentiable."""
        x, seen = self.start, list[Tensor]()
        for call in range(len(weights)):
            seen.append(self.denoiser(x, times[call]).mean)
            x = advance(self.denoiser.process, times, weights[call], self.start, seen)
        return x, seen

    def errors(self, times: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared errors (n,) of the linear solver: of its ends, and of its estimates on the way, mean over the calls."""
        end, seen = self.solve(times, weights)
        last, process = mean_per_sample((end - self.end).square()), self.denoiser.process
        way = [mean_per_sample((d - self.estimates.at(process, t)).square()) for t, d in zip(times[1:-1], seen[1:], strict=True)]
        return last, torch.stack(way or [last]).mean(0)

    def standing(self, times: Tensor, weights: Tensor) -> Tensor:
        """Logs (2,) of the linear solver's squared errors: their mean, that of the way included, and the middle half of the ends'.

        An end in another mode says nothing of how near the right one was, so it counts as no more than ``PARTED``.
        """
        last, way = self.errors(times, weights)
        spread = (self.end - self.end.mean(0)).square().mean()
        quarter = len(last) // 4
        middle = (last + TINY).log().sort().values[quarter : len(last) - quarter]
        return torch.stack([(last.clamp(max=PARTED * spread).mean() + way.mean()).log(), middle.mean()])
