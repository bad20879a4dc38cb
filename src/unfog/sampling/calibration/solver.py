r"""The linear multistep solver in its most general form: any times, any lower-triangular
coefficients, any level of noise.

With D_j the denoised estimate of call j, at t_j, and x_start the state at t_0, the next state is

    x_{i+1} = s_i x_start + (alpha_{i+1} - alpha_0 s_i) sum_{j <= i} B_ij D_j,     sum_j B_ij = 1.

Where D is constant and s_i = sigma_{i+1} / sigma_0 this is the exact solution of the
probability-flow ODE for every B, so every consistent linear solver of one call a step is one B:
DDIM, Adams, DPM-Solver++, DEIS and UniPC, their free correctors included (a corrected state is
again such a sum). Another share s_i leaves the data where it is and tells the network another time
than the state's own noise has. The estimate of pure noise is the data's mean: a solver that knows
it takes it for D_0, which then costs no call. ``coefficients`` reads B off a solver by running it
on unit vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import Process
from unfog.core.random import Randomness
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.sampling.loop import Condition, History, Sampler, sample


@dataclass(frozen=True)
class LinearSolver:
    """``times`` (steps + 1,) from noise to clean data, ``weights`` B (steps, steps), ``shares`` s
    (steps,), float64.

    With the data's ``mean`` (channels, *space) the first step makes no call. History is (x_start,
    D_0, D_1, ...).
    """

    times: Tensor
    weights: Tensor
    shares: Tensor
    mean: Tensor | None = None

    @classmethod
    def of(cls, sampler: Sampler, process: Process, times: Tensor) -> LinearSolver:
        """A deterministic solver of one call a step on these times."""
        return cls(
            times,
            coefficients(sampler, process, times),
            process.sigma(times[1:]) / process.sigma(times[0]),
        )

    @property
    def calls(self) -> int:
        """Network calls of all steps."""
        return len(self.weights) - (self.mean is not None)

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
        call = max(len(history) - 1, 0)
        if call >= len(self.weights) or not torch.equal(
            torch.stack([t, s]).to(self.times), self.times[call : call + 2]
        ):
            raise InputError(
                f"This solver has its own grid of {len(self.weights)} steps; take its times."
            )
        start, *seen = history or (x_t,)
        seen = [*seen, self.estimate(denoiser, x_t, call, condition)]
        return self.state(denoiser.process, start, seen), (start, *seen)

    def estimate(self, denoiser: Denoiser, x_t: Tensor, call: int, condition: Condition) -> Tensor:
        """D of one call, (batch, channels, *space): the denoiser's, or at the first the data's mean
        where it is known.
        """
        if call or self.mean is None:
            found: Tensor = denoiser(x_t, self.times[call], **condition).mean
            return found
        if self.mean.shape != x_t.shape[1:]:
            raise InputError(
                f"This solver was calibrated for samples of shape {tuple(self.mean.shape)}, not "
                f"{tuple(x_t.shape[1:])}."
            )
        return self.mean.to(x_t).expand_as(x_t)

    def state(self, process: Process, start: Tensor, seen: list[Tensor]) -> Tensor:
        """The state after ``len(seen)`` estimates, by the row of B that belongs to the last of
        them.
        """
        step = len(seen) - 1
        share = self.shares[step]
        rest = process.alpha(self.times[step + 1]) - process.alpha(self.times[0]) * share
        mean = sum(
            (expand(weight, x0) * x0 for weight, x0 in zip(self.weights[step], seen, strict=False)),
            torch.zeros_like(start),
        )
        return expand(share, start) * start + expand(rest, start) * mean


class _Recorder(Denoiser):
    """Answers call j with the j-th unit vector, and keeps what it was asked at."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process, self.asked = process, list[Tensor]()

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        self.asked.append(x_t)
        if len(self.asked) == x_t.shape[-1]:
            raise InputError("A solver of one call a step is needed; this one makes more.")
        answer = torch.zeros_like(x_t)
        answer[..., len(self.asked)] = 1
        return Posterior(answer)


def coefficients(sampler: Sampler, process: Process, times: Tensor) -> Tensor:
    """B (calls, calls) of a deterministic solver that makes one call a step."""
    calls, recorder = len(times) - 1, _Recorder(process)
    start = torch.zeros(1, 1, calls + 1, dtype=torch.float64)
    start[..., 0] = 1 / process.sigma(times[0])
    end = sample(recorder, start, times, sampler, randomness=torch.Generator())
    rows = torch.cat([*recorder.asked[1:], end])[:, 0]
    share = process.sigma(times[1:]) / process.sigma(times[0])
    rest = process.alpha(times[1:]) - process.alpha(times[0]) * share
    return rows[:, 1:] / rest[:, None]
