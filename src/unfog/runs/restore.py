r"""Restoration: samples of x_0 given a measurement y = A x_0 + noise, their mean and standard
deviation.

Data come in natural units; with the codec's x_natural = scale x + offset the measurement becomes,
on the model's scale,

    y' = (y - A offset) / scale,   sigma' = sigma / scale.

Denoising is exact (``posterior.direct``), and its mean is one call of the network, free of the
scatter of a few samples; other linear measurements go through MMPS (``posterior.mmps``), unless
another method is asked for by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator
from unfog.data.memory import as_numbers
from unfog.errors import InputError
from unfog.evaluation.conformal import LEVEL
from unfog.physics.function import FunctionOperator, as_operator, require_takes
from unfog.physics.linear import Operator
from unfog.physics.measurement import Measurement
from unfog.physics.noise import expected_real_part, rician_to_gaussian
from unfog.physics.operators import Identity
from unfog.posterior.methods import AUTO, posterior_denoiser
from unfog.progress import Report
from unfog.runs.batches import Job, in_batches
from unfog.runs.memory import Budget, within_memory
from unfog.runs.run import Run
from unfog.runs.sample import Plan, run_plan

# a measurement needs less noise than a sample from nothing
GRID = {"name": "karras", "sigma_max": 10.0}


@dataclass(frozen=True)
class Restored:
    """Restored images in natural units.

    Args:
        mean: (images, channels, *space): the posterior's where that is known exactly, in denoising,
            and otherwise that of the samples.
        std: Standard deviation of the samples, (images, channels, *space).
        samples: (images, samples, channels, *space).
    """

    mean: Tensor
    std: Tensor
    samples: Tensor

    def interval(self, level: float = LEVEL, scale: float = 1.0) -> tuple[Tensor, Tensor]:
        """The central interval of a normal distribution of this mean and standard deviation.

        Args:
            level: The probability it holds, between 0 and 1.
            scale: A factor on the standard deviation, as ``unfog calibrate-uncertainty`` learns it.

        Returns:
            Its lower and upper end, shaped as the mean.
        """
        quantile = torch.special.ndtri(torch.tensor(0.5 + level / 2, dtype=torch.float64))
        half = scale * self.std * quantile.to(self.std)
        return self.mean - half, self.mean + half


def restore(
    run: Run,
    measurement: Tensor,
    operator: Operator | Measurement,
    sigma: float,
    *,
    samples: int = 8,
    plan: Plan | None = None,
    seed: int = 0,
    batch: int = 16,
    report: Report | None = None,
    method: str = AUTO,
) -> Restored:
    """Draws of x given y = A x + noise under a run's prior, in natural units.

    Args:
        run: The prior.
        measurement: y, (images, channels', *space').
        operator: A, an ``Operator``, or for the method "dps" any function of x that torch can
            differentiate.
        sigma: The noise's standard deviation, in the units of y.
        samples: Draws of each image, at least 2.
        plan: Sampler and times; the run's own sampler on a grid for restoration by default.
        seed: Draw k of image i depends on (seed, i, k) alone, not on the batch.
        batch: Draws at a time; fewer where memory runs out.
        report: Told (steps done, steps in all).
        method: A name of ``posterior.methods``, or "auto".

    Returns:
        Mean, standard deviation and samples.
    """
    if not bool(torch.isfinite(measurement).all()):
        raise InputError("The measurement holds values that are not finite; mask them first.")
    plan = plan or Plan.of(run, grid=GRID)
    scaled = _on_model_scale(run, measurement, operator, sigma)

    def posterior(rows: list[int], budget: Budget) -> tuple[Denoiser, Plan]:
        prior, part = budget.prior(run.denoiser), scaled.of(rows)
        return posterior_denoiser(prior, part.operator, part.y, part.sigma, method), plan

    stack = draw_posterior(
        run,
        posterior,
        len(measurement),
        scaled.shape,
        samples=samples,
        seed=seed,
        batch=batch,
        report=report,
    )
    exact = method == AUTO and isinstance(operator, Identity)
    mean = posterior_mean(run, measurement, sigma, batch) if exact else stack.mean(1)
    return Restored(mean, stack.std(1), stack)


def measured(
    run: Run, y: Tensor | NDArray[Any], a: Any, method: str | None
) -> tuple[Tensor, Operator | Measurement]:
    """What a caller in Python hands over, checked.

    Args:
        run: The prior.
        y: Measurements (images, ...).
        a: What ``physics.function.as_operator`` takes; None is the identity.
        method: The method's name; "dps" alone takes a function that is not linear.

    Returns:
        y in float32, and A.

    Raises:
        InputError: y is not of finite numbers or not what A makes of the run's images; A is not
            linear where the method needs it.
    """
    values = torch.from_numpy(as_numbers(y, "The measurement").astype(np.float32))
    if a is None:
        operator: Operator | Measurement = Identity()
    elif method == "dps" and not isinstance(a, Operator) and not hasattr(a, "A_adjoint"):
        require_takes(a, run.shape)
        operator = a
    else:
        operator = as_operator(a, run.shape)
    if values.ndim < 2:
        raise InputError(f"The measurement is (images, ...), one for each image, not {y.shape}.")
    if not isinstance(operator, Identity):
        expected = tuple(operator(torch.zeros(1, *run.shape)).shape[1:])
        exact = not isinstance(operator, Operator) or isinstance(operator, FunctionOperator)
        if exact and tuple(values.shape[1:]) != expected:
            raise InputError(
                f"A makes {expected} of an image of {run.name} and the measurement has "
                f"{tuple(values.shape[1:])}; give one such measurement an image."
            )
    return values, operator


# For images by number, within a budget of memory.
Posterior = Callable[[list[int], Budget], tuple[Denoiser, Plan]]


def draw_posterior(
    run: Run,
    posterior: Posterior,
    images: int,
    shape: tuple[int, ...],
    *,
    samples: int,
    seed: int,
    batch: int,
    report: Report | None,
) -> Tensor:
    """Draws (images, samples, *shape), natural units, ``batch`` at a time, or fewer where memory
    runs out.
    """
    if samples < 2:
        raise InputError(f"A standard deviation needs at least 2 samples, got {samples}.")
    jobs = [(i, k) for i in range(images) for k in range(samples)]

    def some(chosen: list[Job], budget: Budget, tell: Report) -> Tensor:
        denoiser, plan = posterior([i for i, _ in chosen], budget)
        randomness = [generator(seed, "restore", i, k) for i, k in chosen]
        return run_plan(denoiser, plan, randomness, shape, report=tell)

    return run.codec.decode(in_batches(jobs, some, shape[1:], batch, report)).reshape(
        images, samples, *shape
    )


def posterior_mean(run: Run, noisy: Tensor, sigma: float, batch: int = 16) -> Tensor:
    """E[x_0 | noisy] of images (n, channels, *space) with Gaussian noise, natural units: one
    network call.
    """
    scaled = _on_model_scale(run, noisy, Identity(), sigma)
    process = run.denoiser.process
    t = process.t_of_noise_level(torch.tensor(scaled.sigma))

    def mean(budget: Budget) -> Tensor:
        prior = budget.prior(run.denoiser)
        with torch.no_grad():
            return torch.cat(
                [
                    prior(part * process.alpha(t).to(part), t).mean
                    for part in torch.split(scaled.y, budget.batch)
                ]
            )

    return run.codec.decode(within_memory(mean, Budget(batch), noisy.shape[2:])[0])


def measured_where(operator: Operator, shape: Sequence[int]) -> Tensor:
    """True at the values of y that are not 0 whatever the images (n, channels, *space) are, as a
    mask leaves them.
    """
    return operator(torch.randn(tuple(shape), generator=torch.Generator().manual_seed(0))) != 0


def data_consistency(
    operator: Operator, measurement: Tensor, samples: Tensor, sigma: float
) -> float:
    """The root mean square of y - A x over what was measured, in deviations of the noise: about 1
    where samples (n, K, ...) explain y.

    Values that are 0 whatever x is, where a mask leaves them out, do not count.
    """
    seen = measured_where(operator, samples[:, 0].shape)
    seen &= (
        measurement.flatten(1).any(1).view(-1, *(1,) * (measurement.ndim - 1))
    )  # an empty image is left as it is
    misfit = torch.stack(
        [
            (measurement - operator(x))[seen.expand_as(measurement)].square().mean()
            for x in samples.unbind(1)
        ]
    )
    return float(misfit.mean().sqrt()) / sigma


# A measurement to one whose noise is nearly Gaussian
NoiseModel = Callable[[Run, Tensor, Operator, float], Tensor]
EM_PASSES = 3


def _gaussian(run: Run, measurement: Tensor, operator: Operator, sigma: float) -> Tensor:
    return measurement


def _rician(run: Run, measurement: Tensor, operator: Operator, sigma: float) -> Tensor:
    """Magnitudes as real parts, natural units: where x_0 itself is measured by expectation
    maximisation, its M-step the denoiser.
    """
    real = rician_to_gaussian(measurement, sigma)
    for _ in range(EM_PASSES if isinstance(operator, Identity) else 0):
        real = expected_real_part(measurement, posterior_mean(run, real, sigma), sigma)
    return real


noise_models: dict[str, NoiseModel] = {"gaussian": _gaussian, "rician": _rician}


@dataclass(frozen=True)
class _Scaled:
    """y = A x + sigma noise with x on the model's scale, and the shape (channels, *space) of x."""

    y: Tensor
    operator: Any
    sigma: float
    shape: tuple[int, ...]

    def of(self, rows: list[int]) -> _Scaled:
        """The problem of some images."""
        linear = isinstance(self.operator, Operator)
        operator = self.operator.of(rows) if linear else self.operator
        return replace(self, y=self.y[rows], operator=operator)


def _on_model_scale(
    run: Run, measurement: Tensor, operator: Operator | Measurement, sigma: float
) -> _Scaled:
    """The measurement of x on the model's scale: for a linear A and x = scale x' + offset

        (y - A offset) / scale = A x' + (sigma / scale) noise,

    and for any other h the measurement h(scale x' + offset) itself.
    """
    if not isinstance(operator, Operator):
        return _Scaled(measurement, lambda x: operator(run.codec.decode(x)), sigma, run.shape)
    space = tuple(operator.adjoint(measurement[:1]).shape[2:])
    zero = torch.zeros(1, run.shape[0], *space)
    offset, one = run.codec.decode(zero), run.codec.decode(torch.ones_like(zero))
    scale = float((one - offset).flatten()[0])
    y = (measurement - operator(offset)) / scale
    return _Scaled(y, operator, sigma / scale, (run.shape[0], *space))
