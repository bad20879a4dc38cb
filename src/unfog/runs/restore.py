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
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator
from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.evaluation.conformal import LEVEL
from unfog.physics.linear import Operator
from unfog.physics.noise import expected_real_part, rician_to_gaussian
from unfog.physics.operators import BlockAverage, Grey, Identity, Mask
from unfog.physics.registry import gaussian_blur
from unfog.posterior.ddnm import DDNM
from unfog.posterior.ddrm import DDRM
from unfog.posterior.diffpir import DiffPIR
from unfog.posterior.direct import DirectMeasurement
from unfog.posterior.dps import DPS
from unfog.posterior.gdp import GDP
from unfog.posterior.mmps import MMPS
from unfog.posterior.pigdm import PiGDM
from unfog.posterior.tmpd import TMPD
from unfog.progress import Report
from unfog.runs.batches import Job, in_batches
from unfog.runs.memory import Budget, within_memory
from unfog.runs.run import Run
from unfog.runs.sample import Plan, run_plan

tasks: Registry[Operator] = Registry("task")
tasks.register("denoise")(Identity)
tasks.register("inpaint")(Mask)
tasks.register("superres")(BlockAverage)
tasks.register("deblur")(gaussian_blur)
tasks.register("colorize")(Grey)

methods: Registry[Denoiser] = Registry("method")
for _name, _method in {
    "mmps": MMPS,
    "dps": DPS,
    "pigdm": PiGDM,
    "tmpd": TMPD,
    "diffpir": DiffPIR,
    "ddnm": DDNM,
    "ddrm": DDRM,
    "gdp": GDP,
}.items():
    methods.register(_name)(_method)
AUTO = "auto"

# a measurement needs less noise than a sample from nothing
GRID = {"name": "karras", "sigma_max": 10.0}


@dataclass(frozen=True)
class Restored:
    """Natural units: ``mean`` and ``std`` (images, channels, *space), ``samples`` (images, K,
    channels, *space).

    The mean is the posterior's where that is known exactly, in denoising, and otherwise that of the
    samples.
    """

    mean: Tensor
    std: Tensor
    samples: Tensor

    def interval(self, scale: float = 1.0, level: float = LEVEL) -> tuple[Tensor, Tensor]:
        """The central interval of a normal of this mean, and of this standard deviation times
        ``scale``.
        """
        half = (
            scale
            * self.std
            * torch.special.ndtri(torch.tensor(0.5 + level / 2, dtype=torch.float64)).to(self.std)
        )
        return self.mean - half, self.mean + half


def posterior_denoiser(
    denoiser: Denoiser, operator: Operator, measurement: Tensor, sigma: float, method: str = AUTO
) -> Denoiser:
    """The denoiser given the measurement, by a method's name; "auto" is exact where x_0 itself is
    measured, and MMPS elsewhere.
    """
    if method == AUTO and isinstance(operator, Identity):
        return DirectMeasurement(denoiser, measurement, sigma)
    name = "mmps" if method == AUTO else method
    return methods.build(
        name, denoiser=denoiser, operator=operator, measurement=measurement, sigma=sigma
    )


def restore(
    run: Run,
    measurement: Tensor,
    operator: Operator,
    sigma: float,
    *,
    samples: int = 8,
    plan: Plan | None = None,
    seed: int = 0,
    batch: int = 16,
    report: Report | None = None,
    method: str = AUTO,
) -> Restored:
    """Restore a stack of images (n, channels, *space of the measurement), natural units; ``sigma``
    is the noise's standard deviation.

    Sample k of image i depends on (seed, i, k) alone, not on the batch.
    """
    if not bool(torch.isfinite(measurement).all()):
        raise InputError("The measurement holds values that are not finite; mask them first.")
    plan = plan or Plan.of(run, grid=GRID)
    scaled, noise = _to_model_scale(run, measurement, operator, sigma)

    def posterior(rows: list[int], budget: Budget) -> tuple[Denoiser, Plan]:
        return posterior_denoiser(
            budget.prior(run.denoiser), operator.of(rows), scaled[rows], noise, method
        ), plan

    shape = (run.shape[0], *_space(operator, measurement))
    stack = draw_posterior(
        run,
        posterior,
        len(measurement),
        shape,
        samples=samples,
        seed=seed,
        batch=batch,
        report=report,
    )
    exact = method == AUTO and isinstance(operator, Identity)
    mean = posterior_mean(run, measurement, sigma, batch) if exact else stack.mean(1)
    return Restored(mean, stack.std(1), stack)


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
    scaled, noise = _to_model_scale(run, noisy, Identity(), sigma)
    process = run.denoiser.process
    t = process.t_of_noise_level(torch.tensor(noise))

    def mean(budget: Budget) -> Tensor:
        prior = budget.prior(run.denoiser)
        with torch.no_grad():
            return torch.cat(
                [
                    prior(part * process.alpha(t).to(part), t).mean
                    for part in torch.split(scaled, budget.batch)
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


def _to_model_scale(
    run: Run, measurement: Tensor, operator: Operator, sigma: float
) -> tuple[Tensor, float]:
    """The measurement and its noise on the model's scale, for an affine codec."""
    space = _space(operator, measurement)
    zero = torch.zeros(1, run.shape[0], *space)
    offset, one = run.codec.decode(zero), run.codec.decode(torch.ones_like(zero))
    scale = float((one - offset).flatten()[0])
    return (measurement - operator(offset)) / scale, sigma / scale


def _space(operator: Operator, measurement: Tensor) -> tuple[int, ...]:
    """The spatial size of what was measured."""
    return tuple(operator.adjoint(measurement[:1]).shape[2:])
