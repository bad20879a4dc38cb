"""Exponential moving averages (EMA) of the weights, and their decays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from unfog.errors import InputError
from unfog.training.processes import part

Decay = Callable[[int], float]
LONGEST = math.sqrt(1 / 12)  # of the power functions with gamma >= 0


def warm_up(decay: float) -> Decay:
    """TensorFlow's warm-up of an EMA's decay: d_t = min(decay, (1 + t) / (10 + t))."""
    return lambda t: min(decay, (1 + t) / (10 + t))


def power_ramp(decay: float, power: float) -> Decay:
    """A power ramp (Karras et al. 2024): d_t = min(decay, (1 - 1/t)^power).

    The average spans about the last t / (power + 1) updates until ``decay`` is reached.
    """
    return lambda t: min(decay, (1 - 1 / t) ** power)


def power_function(length: float) -> Decay:
    """The decay of EDM2's power-function EMA of this length (Karras et al. 2024, section 3.1).

        d_t = (1 - 1/t)^(gamma + 1)

    The weights of update k then count k^(gamma+1) - (k-1)^(gamma+1), the integral of tau^gamma over
    the k-th of t steps. ``length`` (the paper's sigma_rel) is the standard deviation of this
    profile as a share of t; ``exponent`` turns it into gamma.
    """
    return power_ramp(1.0, exponent(length) + 1)


def exponent(length: float) -> float:
    """The exponent gamma >= 0 of the power function of a length (Karras et al. 2024):

        length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).

    ``InputError`` for a length that no gamma >= 0 has.

    >>> round(exponent(0.05), 2), round(exponent(0.10), 2)
    (16.97, 6.94)
    """
    if not isinstance(length, float) or not 0 < length < LONGEST:
        raise InputError(
            f"The length of an average is a number above 0 and below {LONGEST:.4f} (a flat "
            f"profile is that long), got {length!r}."
        )
    # (gamma + 2)^2 (gamma + 3) = (gamma + 1) / length^2, as a cubic in gamma.
    inverse = length**-2
    roots: list[complex] = np.roots([1, 7, 16 - inverse, 12 - inverse]).tolist()
    return max(root.real for root in roots)


class EMA:
    """The exponential moving average of a module's weights (Polyak & Juditsky 1992).

        shadow <- d_t shadow + (1 - d_t) weights,     t = 1, 2, ... updates,

    over parameters and buffers; integers are copied. ``decay`` maps t to d_t.
    """

    def __init__(self, module: nn.Module, decay: Decay) -> None:
        self.decay, self.updates = decay, 0
        self._source = module.state_dict()  # shares memory with the module
        self._shadow = {name: value.detach().clone() for name, value in self._source.items()}
        self._averaged = [name for name, value in self._source.items() if value.is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Average in the module's present weights."""
        self.updates += 1
        shadow, source = (
            [d[name] for name in self._averaged] for d in (self._shadow, self._source)
        )
        torch._foreach_lerp_(shadow, source, 1 - self.decay(self.updates))
        for name in self._source.keys() - set(self._averaged):
            self._shadow[name].copy_(self._source[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights under the module's own names."""
        return dict(self._shadow)

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor], updates: int) -> None:
        """Restore saved averages, by name, after so many updates."""
        if state.keys() != self._shadow.keys():
            raise InputError(
                "The saved average belongs to another network; resume with the network it was "
                "trained with."
            )
        for name, value in state.items():
            self._shadow[name].copy_(part(value, self._shadow[name]))
        self.updates = updates
