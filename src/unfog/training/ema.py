r"""Exponential moving average of the weights.

    shadow <- d_t shadow + (1 - d_t) weights,     d_t = min(decay, ramp(t)),
    t = 1, 2, ... updates.

Polyak & Juditsky 1992; the power ramp (1 - 1/t)^power follows Karras et al. 2024, the warm-up (1 +
t)/(10 + t) is TensorFlow's. With d_t = (1 - 1/t)^(gamma + 1) the average is the paper's power
function: the weights of update k count k^(gamma+1) - (k-1)^(gamma+1), the integral of tau^gamma
over the k-th of t steps, and its ``length`` (their sigma_rel) is the profile's standard deviation
as a share of t,

    length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from unfog.errors import InputError

Decay = Callable[[int], float]
LONGEST = math.sqrt(1 / 12)  # of the power functions with gamma >= 0


def warm_up(decay: float) -> Decay:
    """min(decay, (1 + t) / (10 + t))."""
    return lambda t: min(decay, (1 + t) / (10 + t))


def power_ramp(decay: float, power: float) -> Decay:
    """min(decay, (1 - 1/t)^power): the average spans about the last t / (power + 1) updates until
    the decay is reached.
    """
    return lambda t: min(decay, (1 - 1 / t) ** power)


def power_function(length: float) -> Decay:
    """The power function of this length."""
    return power_ramp(1.0, exponent(length) + 1)


def exponent(length: float) -> float:
    """gamma >= 0 of a length.

    >>> round(exponent(0.05), 2), round(exponent(0.10), 2)
    (16.97, 6.94)
    """
    if not isinstance(length, float) or not 0 < length < LONGEST:
        raise InputError(
            f"The length of an average is a number above 0 and below {LONGEST:.4f} (a flat "
            f"profile is that long), got {length!r}."
        )
    inverse = length**-2
    roots: list[complex] = np.roots([1, 7, 16 - inverse, 12 - inverse]).tolist()
    return max(root.real for root in roots)


class EMA:
    """The average of a module's parameters and buffers; integers are copied."""

    def __init__(self, module: nn.Module, decay: Decay) -> None:
        self.decay, self.updates = decay, 0
        self._source = module.state_dict()  # shares memory with the module
        self._shadow = {name: value.detach().clone() for name, value in self._source.items()}
        self._averaged = [name for name, value in self._source.items() if value.is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the module's weights as they are now."""
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
        """Go on from saved averages."""
        if state.keys() != self._shadow.keys():
            raise InputError(
                "The saved average belongs to another network; resume with the network it was "
                "trained with."
            )
        for name, value in state.items():
            self._shadow[name].copy_(value)
        self.updates = updates
