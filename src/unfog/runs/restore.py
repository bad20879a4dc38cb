r"""Restoration: samples of x_0 given a measurement y = A x_0 + noise, their mean and standard
deviation.

Data come in natural units, and the network works on the model's scale (``runs.model_scale``).
Denoising is exact (``posterior.direct``), and its mean is one call of the network, so it has not
the random error of a mean over few samples. Other linear measurements go through MMPS
(``posterior.mmps``), unless the caller names another method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator
from unfog.core.symmetric import Symmetric
from unfog.data.memory import as_numbers
from unfog.errors import InputError
from unfog.physics.function import FunctionOperator, as_operator, require_takes
from unfog.physics.linear import Operator
from unfog.physics.measurement import Measurement
from unfog.physics.noise import expected_real_part, rician_to_gaussian
from unfog.physics.operators import Identity
from unfog.posterior.methods import AUTO, posterior_denoiser
from unfog.progress import Report
from unfog.runs.batches import Job, in_batches
from unfog.runs.data_consistency import data_consistency, measured_where
from unfog.runs.memory import Budget, within_memory
from unfog.runs.model_scale import on_model_scale
from unfog.runs.restored import Restored
from unfog.runs.run import Run
from unfog.runs.sample import Plan, run_plan
from unfog.runs.windows import in_windows, maps_of

__all__ = [
    "GRID",
    "NoiseModel",
    "Posterior",
    "Restored",
    "data_consistency",
    "draw_posterior",
    "measured",
    "measured_where",
    "noise_models",
    "posterior_mean",
    "restore",
]

# The grid of times for restoration: given a measurement, sampling starts from less noise than
# without one.
GRID = {"name": "karras", "sigma_max": 10.0}


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
    prior: Denoiser | None = None,
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
        prior: Made of the run's denoiser, such as one told what is shown; itself by default.

    Returns:
        Mean, standard deviation and samples.

    Raises:
        InputError: The measurement holds values that are not finite, there are fewer than 2
            samples, or the method cannot take this operator.
    """
    if not bool(torch.isfinite(measurement).all()):
        raise InputError("The measurement holds values that are not finite; mask them first.")
    plan = plan or Plan.of(run, grid=GRID)
    scaled = on_model_scale(run, measurement, operator, sigma)

    def posterior(rows: list[int], budget: Budget) -> tuple[Denoiser, Plan]:
        whole = budget.prior(in_windows(run, prior or run.denoiser, scaled.shape[1:]))
        part = scaled.of(rows)
        return posterior_denoiser(whole, part.operator, part.y, part.sigma, method), plan

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
    # In denoising E[x | y] is known, so the samples only give the deviation.
    exact = method == AUTO and isinstance(operator, Identity) and run.codec.affine and not prior
    mean = posterior_mean(run, measurement, sigma, batch) if exact else stack.mean(1)
    return Restored(mean, stack.std(1), stack)


def measured(
    run: Run, y: Tensor | NDArray[Any], a: Any, method: str | None
) -> tuple[Tensor, Operator | Measurement]:
    """The measurement and operator that a caller of ``Run.restore`` gives, checked and converted.

    Args:
        run: The prior.
        y: Measurements, (images, ...).
        a: What ``physics.function.as_operator`` takes; None is the identity.
        method: The method's name; "dps" alone takes a function that is not linear.

    Returns:
        y in float32, and A.

    Raises:
        InputError: y is not of finite numbers or not what A makes of the run's images; A is not
            linear where the method needs it.
    """
    values = torch.from_numpy(as_numbers(y, "The measurement").astype(np.float32))
    # The operator: the identity, a function that need not be linear, or a linear operator.
    if a is None:
        operator: Operator | Measurement = Identity()
    elif method == "dps" and not isinstance(a, Operator) and not hasattr(a, "A_adjoint"):
        require_takes(a, run.shape)
        operator = a
    else:
        operator = as_operator(a, run.shape)
    if values.ndim < 2:
        raise InputError(f"The measurement is (images, ...), one for each image, not {y.shape}.")
    # What A makes of an image must have the measurement's shape.
    if not isinstance(operator, Identity):
        expected = tuple(operator(torch.zeros(1, *run.shape)).shape[1:])
        exact = not isinstance(operator, Operator) or isinstance(operator, FunctionOperator)
        if exact and tuple(values.shape[1:]) != expected:
            raise InputError(
                f"A makes {expected} of an image of {run.name} and the measurement has "
                f"{tuple(values.shape[1:])}; give one such measurement an image."
            )
    return values, operator


# (numbers of images, budget of memory) -> their posterior as a denoiser, and how to sample it
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
    """Draws from the posterior of each image, ``batch`` at a time, or fewer where memory runs out.

    Args:
        run: Its codec turns samples into natural units.
        posterior: Gives the denoiser and the plan for some images, by their numbers.
        images: How many images there are.
        shape: Of an image, (channels, *space).
        samples: Draws of each image, at least 2.
        seed: Draw k of image i depends on (seed, i, k) alone, not on the batch.
        batch: Draws at a time.
        report: Told (steps done, steps in all).

    Returns:
        (images, samples, *shape) in natural units.

    Raises:
        InputError: There are fewer than 2 samples, or memory does not hold one image in tiles.
    """
    if samples < 2:
        raise InputError(f"A standard deviation needs at least 2 samples, got {samples}.")
    jobs = [(i, k) for i in range(images) for k in range(samples)]

    def draw_jobs(part: list[Job], budget: Budget, report: Report) -> Tensor:
        denoiser, plan = posterior([i for i, _ in part], budget)
        randomness = [generator(seed, "restore", i, k) for i, k in part]
        return run_plan(denoiser, plan, randomness, shape, report=report)

    draws = in_batches(jobs, draw_jobs, shape[1:], batch, report)
    with torch.no_grad():
        decoded = torch.cat([run.codec.decode(part) for part in torch.split(draws, batch)])
    return decoded.reshape(images, samples, *decoded.shape[1:])


def posterior_mean(run: Run, noisy: Tensor, sigma: float, batch: int = 16) -> Tensor:
    """E[x_0 | x_0 + sigma noise] of noisy images, by one call of the network: a noisy image times
    alpha is the state x_t at the time t where sigma_t / alpha_t is the noise's deviation.

    Args:
        run: The prior.
        noisy: Images with Gaussian noise in natural units, (images, channels, *space).
        sigma: The noise's standard deviation, in the same units.
        batch: Images at a time; fewer where memory runs out.

    Returns:
        The posterior mean, shaped as ``noisy``, in natural units.
    """
    scaled = on_model_scale(run, noisy, Identity(), sigma)
    process = run.denoiser.process
    t = process.t_of_noise_level(torch.tensor(scaled.sigma))

    def mean_of_all(budget: Budget) -> Tensor:
        prior = budget.prior(in_windows(run, run.denoiser, noisy.shape[2:]))
        if run.config.get("sampling", {}).get("mirrored"):
            prior = Symmetric(prior, maps_of(run))
        means = []
        with torch.no_grad():
            for part in torch.split(scaled.y, budget.batch):
                means.append(prior(part * process.alpha(t).to(part), t).mean)
            return torch.cat(means)

    mean, _ = within_memory(mean_of_all, Budget(batch), noisy.shape[2:])
    return run.codec.decode(mean)


# (run, measurement, operator, sigma) -> a measurement whose noise is nearly Gaussian
NoiseModel = Callable[[Run, Tensor, Operator, float], Tensor]
EM_PASSES = 3


def _gaussian(run: Run, measurement: Tensor, operator: Operator, sigma: float) -> Tensor:
    """A measurement with Gaussian noise, as it is."""
    return measurement


def _rician(run: Run, measurement: Tensor, operator: Operator, sigma: float) -> Tensor:
    """Magnitudes with Rician noise as real parts with Gaussian noise, natural units.

    Where x_0 itself is measured, the real part is found by expectation maximisation: it is expected
    given x_0, and x_0 is expected given it, by the denoiser.
    """
    # The magnitude with its bias removed.
    real = rician_to_gaussian(measurement, sigma)
    exact = isinstance(operator, Identity) and run.codec.affine
    for _ in range(EM_PASSES if exact else 0):
        mean = posterior_mean(run, real, sigma)
        real = expected_real_part(measurement, mean, sigma)
    return real


noise_models: dict[str, NoiseModel] = {"gaussian": _gaussian, "rician": _rician}
