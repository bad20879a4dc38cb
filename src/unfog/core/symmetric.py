"""A denoiser of data that look as likely in a mirror."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain, combinations
from typing import Any

from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior


class Symmetric(Denoiser):
    r"""Another denoiser made to commute with mirrors: its mean over all of them.

        D(x_t) = 2^-d sum_s S_s^-1 D(S_s x_t),

    S_s the mirrors along any of the d axes of space. Where the data are as likely mirrored, so is
    the posterior, and whatever a network's error is, that of this mean is no greater (its part that
    does not commute is taken away). 2^d calls of the inner denoiser.

    Args:
        denoiser: The denoiser.
        maps: The conditions that are maps on the grid of x_t, by name; they are mirrored with it.
    """

    def __init__(self, denoiser: Denoiser, maps: Collection[str] = ()) -> None:
        super().__init__()
        self.denoiser, self.process, self.maps = denoiser, denoiser.process, tuple(maps)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        axes = range(2, x_t.ndim)
        mirrors = list(chain.from_iterable(combinations(axes, k) for k in range(len(axes) + 1)))
        mean = x_t.new_zeros(())
        for mirror in mirrors:
            # Denoise the mirrored view, with its maps, and mirror what it gives back.
            seen = {
                name: value.flip(mirror) if name in self.maps else value
                for name, value in condition.items()
            }
            mean = mean + self.denoiser(x_t.flip(mirror), t, **seen).mean.flip(mirror)
        return Posterior(mean / len(mirrors))
