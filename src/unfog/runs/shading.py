r"""Images under an unknown smooth gain, such as the shading of a receiver's coil,

    y = f x + noise,     f = exp(B c) smooth,

drawn together with it under a run's prior (``posterior.blind_gain``). The prior's data must have
no shading themselves: one that was trained with it takes it for tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import generator
from unfog.physics.gain import SmoothGain
from unfog.physics.operators import Identity
from unfog.posterior.blind_gain import BlindGain
from unfog.progress import Report
from unfog.runs.memory import Budget
from unfog.runs.model_scale import on_model_scale
from unfog.runs.restore import Restored, draw_posterior
from unfog.runs.run import Run, data_range, require_pixels
from unfog.runs.sample import Plan
from unfog.runs.windows import in_windows

# From nearly all noise: what is missing in x_t where it should already show, as with less noise at
# the start, would be taken for gain.
GRID = {"name": "karras", "sigma_max": 80.0}
WAVELENGTH = 0.75  # of the gain's shortest wave, over the longest side
DEVIATION = 0.25  # of the log-gain over an image, and of its mean


@dataclass(frozen=True)
class Unshaded:
    """Images and their gains.

    Args:
        restored: The images in natural units.
        gains: Draws of the gain that go with those of the images, (images, samples, 1, *space). The
            mean of their logarithm over all of them is 0: the rest is the images' scale.
        residual: Root mean square of y - f x over the noise's deviation.
    """

    restored: Restored
    gains: Tensor
    residual: float

    @property
    def gain(self) -> Tensor:
        """The gain's geometric mean over draws, (images, 1, *space)."""
        return self.gains.log().mean(1).exp()

    @property
    def gain_std(self) -> Tensor:
        """The gain's deviation over draws, (images, 1, *space)."""
        return self.gains.std(1)


def unshade(
    run: Run,
    measurement: Tensor,
    sigma: float,
    *,
    samples: int = 8,
    plan: Plan | None = None,
    seed: int = 0,
    batch: int = 16,
    report: Report | None = None,
    wavelength: float = WAVELENGTH,
    deviation: float = DEVIATION,
) -> Unshaded:
    """Draws of x and f given y = f x + noise, x above the lower end of the data's range.

    Args:
        run: The prior.
        measurement: y in natural units, (images, channels, *space).
        sigma: The noise's standard deviation, in the same units.
        samples: Draws of each image, at least 2.
        plan: Sampler and times; the run's own sampler on a grid for restoration by default.
        seed: Draw k of image i depends on (seed, i, k) alone, not on the batch.
        batch: Draws at a time; fewer where memory runs out.
        report: Told (steps done, steps in all).
        wavelength: The gain's shortest wave, over the longest side of an image.
        deviation: Of the log-gain over an image, before y is seen, and of its mean.

    Returns:
        The images and the gains.

    Raises:
        InputError: The run works on latents, or there are fewer than 2 samples.
    """
    require_pixels(run, "a gain", "take a run of pixels")
    plan = plan or Plan.of(run, grid=GRID)
    space = measurement.shape[2:]
    gain = SmoothGain.cosines(space, wavelength * max(space), deviation, deviation)
    # Everything on the model's scale, black too.
    low = data_range(run)[0]
    scaled = on_model_scale(run, measurement, Identity(), sigma)
    no_signal = torch.full((1, *scaled.shape), low)
    black = float(on_model_scale(run, no_signal, Identity(), sigma).y.flatten()[0])

    def blind(rows: list[int]) -> BlindGain:
        return BlindGain(gain, scaled.y[rows], scaled.sigma, plan.sampler, black)

    def posterior(rows: list[int], budget: Budget) -> tuple[Denoiser, Plan]:
        prior = budget.prior(in_windows(run, run.denoiser, space))
        return prior, Plan(blind(rows), plan.grid, plan.names)

    draws = draw_posterior(
        run,
        posterior,
        len(measurement),
        scaled.shape,
        samples=samples,
        seed=seed,
        batch=batch,
        report=report,
    )
    # The gain of each draw, in natural units, where sigma is y's own.
    coefficients = torch.stack(
        [
            BlindGain(gain, y.expand_as(x), sigma, plan.sampler, low).given_image(
                x, [generator(seed, "gain", i, k) for k in range(samples)]
            )
            for i, (x, y) in enumerate(zip(draws, measurement, strict=True))
        ]
    )
    return _tied(draws, coefficients, gain, measurement, sigma, low)


def _tied(
    draws: Tensor,
    coefficients: Tensor,
    gain: SmoothGain,
    measurement: Tensor,
    sigma: float,
    low: float,
) -> Unshaded:
    """Draws whose common scale has gone from the gains to the images.

    Args:
        draws: Of x, (images, samples, channels, *space).
        coefficients: Of their gains, (images, samples, modes), that of the constant first.
        gain: The gains' basis.
        measurement: y.
        sigma: The noise's deviation.
        low: Where there is no signal.

    Returns:
        The result.
    """
    common = coefficients[..., 0].mean()
    gains = torch.stack([gain(part) for part in coefficients]).to(draws)
    left = (measurement - low)[:, None] - gains * (draws - low)
    draws, gains = low + (draws - low) * common.exp().to(draws), gains * (-common).exp().to(draws)
    residual = float(left.square().mean().sqrt() / sigma)
    return Unshaded(Restored(draws.mean(1), draws.std(1), draws), gains, residual)
