r"""Multistep sampling from consistency models (Song et al. 2023; in segments: Heek et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.sampling.grids import angle
from unfog.sampling.loop import Condition, History
from unfog.sampling.ode import straight

LARGEST = 64  # segments


@dataclass(frozen=True)
class Consistency:
    """Multistep consistency sampling, for a model of ``segments`` segments; one network call a
    step.

    A consistency model jumps from any x_t of a segment to the segment's end e along the
    probability-flow ODE. Its output is the x_0 whose straight line through x_t meets that end, so
    it is a denoiser, and the jump is DDIM's step. A step from t to s is

        x_r = the jump from x_t to r = min(e, s),
        x_s = (alpha_s / alpha_r) x_r + sqrt(sigma_s^2 - (alpha_s / alpha_r)^2 sigma_r^2) z.

    Where s is the segment's end nothing is added (Heek et al.); with one segment, e = 0, the sample
    is noised anew (Song et al.). Either way x_s has its law exactly. A grid coarser than the
    segments steps over ends, as DDIM would.

    Args:
        segments: number of segments of the model, 1 to 64.
        scale: of the grid ``angle`` whose points are the segments' ends.
    """

    segments: int = 1
    scale: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.segments <= LARGEST:
            raise InputError(
                f"A consistency model has 1 to {LARGEST} segments, not {self.segments}."
            )

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
        process, ends = denoiser.process, angle(self.scale)(denoiser.process, self.segments)
        # The end of t's segment; a time of a file or a table is an end to the last few digits.
        end = ends[ends < t - 1e-9].max()
        landing = end if bool((end - s).abs() < 1e-9) else end.minimum(s)
        # The jump to r.
        x = straight(process, x_t, denoiser(x_t, t, **condition).mean, t, landing)
        if not float(s) > float(landing):
            return x, ()
        # Noise from r up to s, by the forward process.
        up = Bridge.of(process, s, landing)
        return expand(up.alpha_t / up.alpha_s, x) * x + expand(up.large.sqrt(), x) * normal_like(
            x, randomness
        ), ()
