r"""Whether a prior and a posterior method together draw from the posterior (``unfog evaluate
--posterior``): truths from the prior, measured, and draws given each measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator, generators
from unfog.evaluation.posterior_calibration import Calibration, Drawn, calibration
from unfog.evaluation.stein import posterior_score
from unfog.physics.linear import Operator
from unfog.physics.noise import add_gaussian
from unfog.posterior.methods import AUTO, posterior_denoiser
from unfog.progress import Report
from unfog.runs.batches import Job, in_batches
from unfog.runs.data_consistency import measured_where
from unfog.runs.memory import Budget
from unfog.runs.model_scale import on_model_scale
from unfog.runs.run import Run, require_pixels, require_posterior_mean
from unfog.runs.sample import Plan, run_plan
from unfog.runs.windows import in_windows

SMOOTH = 0.1  # of the measurement's noise: the noise at which scores are compared
BATCH = 64


@dataclass(frozen=True)
class Setting:
    """A measurement y = A x + noise of a run's data, and how its posterior is drawn from.

    Args:
        operator: A.
        sigma: The noise's deviation, in the units of A x.
        plan: Sampler and times.
        method: A name of ``posterior.methods``, or "auto".
        draws: Of each truth.
        seed: Of noise and draws.
    """

    operator: Operator
    sigma: float
    plan: Plan
    method: str = AUTO
    draws: int = 19
    seed: int = 0


def check_posterior(
    run: Run, truth: Tensor, setting: Setting, report: Report | None = None
) -> tuple[Calibration, Drawn]:
    """Measure truths, draw from the posterior of each, and judge the draws.

    Args:
        run: The prior.
        truth: Samples of it, or data, in natural units, (n, channels, *space).
        setting: The measurement and the posterior sampler.
        report: Told (steps done, steps in all).

    Returns:
        The figures, and truths and draws on the model's scale.

    Raises:
        InputError: The run knows no posterior mean or works in a latent space, there are too few
            truths, or the method cannot take the operator.
    """
    require_posterior_mean(run)
    require_pixels(run, "a check of its posterior", "check a run of pixels")
    y = measure(truth, setting)
    scaled = on_model_scale(run, y, setting.operator, setting.sigma)
    assert isinstance(scaled.operator, Operator)  # the codec is affine
    prior: Denoiser = run.denoiser

    def draw(jobs: list[Job], budget: Budget, step: Report) -> Tensor:
        rows = [i for i, _ in jobs]
        part, whole = scaled.of(rows), budget.prior(in_windows(run, prior, truth.shape[2:]))
        given = posterior_denoiser(whole, part.operator, part.y, part.sigma, setting.method)
        randomness = [generator(setting.seed, "posterior", i, k) for i, k in jobs]
        return run_plan(given, setting.plan, randomness, scaled.shape, report=step)

    jobs = [(i, k) for i in range(len(truth)) for k in range(setting.draws)]
    draws = in_batches(jobs, draw, tuple(truth.shape[2:]), BATCH, report)
    drawn = Drawn(
        run.codec.encode(truth),
        draws.view(len(truth), setting.draws, *scaled.shape),
        scaled.operator,
        scaled.y,
    )
    level = SMOOTH * scaled.sigma
    score = posterior_score(prior, scaled.operator, scaled.y, scaled.sigma, level)
    return calibration(drawn, score, level, setting.seed), drawn


def measure(truth: Tensor, setting: Setting) -> Tensor:
    """y = A x + noise of truths (n, channels, *space), 0 where a mask leaves values out."""
    clean = setting.operator(truth)
    noisy = add_gaussian(clean, setting.sigma, generators(setting.seed, range(len(clean)), "y"))
    left: Sequence[int] = truth.shape
    return torch.where(measured_where(setting.operator, left), noisy, torch.zeros_like(noisy))
