"""How far a restored file is from what the prior learned."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.physics.operators import Identity
from unfog.posterior.methods import AUTO
from unfog.runs.misfit import IMAGES, Spread, by_band, misfit_by_band, misfit_map
from unfog.runs.restore import Restored
from unfog.runs.run import Run
from unfog.workflows.problem import InverseProblem
from unfog.workflows.tasks import Draws

LARGEST = 1.25  # the largest misfit without a warning
UNLIKE = (
    "The image is unlike those the prior learned, or its noise unlike what was taken: the mean "
    "errs {:.2f} times as much as the prior states (misfit, of the whole or of coarse detail), and "
    "the deviation is widened by that; check the noise, or train on images like it."
)


@dataclass(frozen=True)
class Fit:
    """How far an image is from those of the prior.

    Args:
        whole: The misfit; None where there is too little signal.
        bands: That of each band of detail.
        local: Its map, shaped as the image.
    """

    whole: float | None
    bands: dict[str, float | None]
    local: Tensor

    @property
    def largest(self) -> float | None:
        """The largest misfit of the whole and of the bands that noise hides least: smooth noise and
        scans that were denoised already show in coarse detail alone. None without signal.
        """
        told = [self.whole, *(self.bands.get(name) for name in ("medium", "coarse"))]
        return max((value for value in told if value is not None), default=None)

    def widening(self, done: float) -> Tensor:
        """What the deviation, widened by the factor ``done`` already, is multiplied by so that it
        is widened by the local misfit wherever that is large.
        """
        large = torch.where(self.local > LARGEST, self.local, torch.ones_like(self.local))
        return (large / done).clamp(min=1)


def fit_of(
    run: Run, y: Tensor, problem: InverseProblem, restored: Restored, sigma: float, draws: Draws
) -> Fit | None:
    """The misfit of a denoising, whose mean is the posterior's own; None for other tasks.

    Args:
        run: The prior.
        y: The measurement with Gaussian noise.
        problem: The operator.
        restored: The restoration.
        sigma: The noise's standard deviation, in y's units.
        draws: Method and seed.

    Returns:
        The root of the mean's error over the variance that the prior states (``runs.misfit``), of
        all, by bands of detail and as a map.
    """
    exact = isinstance(problem.operator, Identity) and run.codec.affine
    if draws.method != AUTO or draws.to or not exact:
        return None
    filled = y.flatten(1).any(1)
    images, mean = y[filled], restored.mean[filled]
    spread = Spread(run, images, sigma, draws.seed)
    # Bands of all images tell their sum too; of a long stack some images are enough for them.
    bands = (
        by_band(run, mean, spread)
        if len(images) <= IMAGES
        else misfit_by_band(run, images, mean, sigma, draws.seed)
    )
    local = torch.ones_like(y)
    local[filled] = misfit_map(run, mean, spread)
    return Fit(bands.pop("whole"), bands, local)
