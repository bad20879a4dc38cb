r"""Classifier-free guidance on posterior means: of all conditions together (Ho & Salimans 2022), or
with a scale for each (Brooks et al. 2023).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand
from unfog.errors import InputError


class ClassifierFree(Denoiser):
    """Classifier-free guidance (Ho & Salimans 2022):

        D_w = D(x_t) + w (D(x_t | c) - D(x_t)),   w = 1 conditional, w = 0 unconditional.

    Two network calls within the interval, one outside it and where w is 0 or 1. With a negative
    condition n, such as a negative prompt, D(x_t | n) stands where D(x_t) does. The variance is
    that of D(x_t | c), as in the code of Nichol et al. (2022).

    Args:
        denoiser: D, of a model trained with and without its condition.
        scale: w.
        interval: noise levels sigma / alpha within which there is guidance; outside the conditional
            model stands alone (Kynkaanniemi et al. 2024).
        rescale: share of the way that D_w is taken to the spread of D(x_t | c), sample by sample
            (Lin et al. 2024, section 3.4, there of the network's output): D_w is multiplied by (1 -
            rescale) + rescale std(D(x_t | c)) / std(D_w).
        negative: n, by name, each a batch of one; none by default.
        always: names of conditions that D(x_t) is told too, such as the picture to be upsampled.

    Raises:
        InputError: for a rescale outside [0, 1].
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scale: float,
        interval: tuple[float, float] = (0.0, float("inf")),
        rescale: float = 0.0,
        negative: Mapping[str, Tensor] | None = None,
        always: Collection[str] = (),
    ) -> None:
        super().__init__()
        check_rescale(rescale)
        self.denoiser, self.process = denoiser, denoiser.process
        self.scale, self.interval, self.rescale = scale, interval, rescale
        self.negative = dict(negative or {})
        self.always = frozenset(always)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        level = float(self.process.noise_level(t).max())
        scale = self.scale if self.interval[0] <= level <= self.interval[1] else 1.0
        # What D(x_t) is told: the negative condition for every sample, and what it always is.
        without = {
            key: value.expand(len(x_t), *value.shape[1:]) for key, value in self.negative.items()
        }
        without |= {name: value for name, value in condition.items() if name in self.always}
        if scale == 0 or scale == 1:
            posterior: Posterior = self.denoiser(x_t, t, **(condition if scale else without))
            return posterior
        conditional: Posterior = self.denoiser(x_t, t, **condition)
        with_condition = conditional.mean
        guided = torch.lerp(self.denoiser(x_t, t, **without).mean, with_condition, scale)
        guided = rescaled(guided, with_condition, self.rescale)
        return Posterior(guided, conditional.variance)


def check_rescale(rescale: float) -> None:
    """``InputError`` for a share outside [0, 1]."""
    if not 0 <= rescale <= 1:
        raise InputError(f"The rescaling of guidance is a share between 0 and 1, got {rescale}.")


def rescaled(guided: Tensor, conditional: Tensor, share: float) -> Tensor:
    """A guided mean taken to the spread of the conditional one, sample by sample (Lin et al. 2024,
    section 3.4).

    Args:
        guided: D_w, (batch, channels, *space).
        conditional: D(x_t | c), of the same shape.
        share: How far, from 0 to 1.

    Returns:
        D_w (1 - share + share std(D(x_t | c)) / std(D_w)).
    """
    if not share:
        return guided
    spread = conditional.flatten(1).std(1) / guided.flatten(1).std(1)
    return guided * expand(1 + share * (spread - 1), guided)


class ClassifierFreeEach(Denoiser):
    """Classifier-free guidance with a scale for each condition, taken in turn (Brooks et al. 2023,
    equation 3, there of two conditions):

        D_w = D(x_t) + sum_i w_i (D(x_t | c_1 .. c_i) - D(x_t | c_1 .. c_(i-1)))
            = sum_i (w_i - w_(i+1)) D(x_t | c_1 .. c_i),   w_0 = 1, w_(n+1) = 0.

    Its score is that of p(x_t) prod_i p(c_i | x_t, c_1 .. c_(i-1))^w_i, which is the same sum. With
    every w_i = 1 it is D(x_t | c_1 .. c_n) in one call; terms of weight 0 are not called, so there
    is at most one call more than conditions.

    Args:
        denoiser: D, of a model trained with and without each of its conditions.
        scales: w_i by the name of the condition, the first first. Conditions that are given and not
            named here come last, with scale 1.
        rescale: share of the way that D_w is taken to the spread of D(x_t | c_1 .. c_n), as in
            ``ClassifierFree``.
        always: names of conditions that every term is told, D(x_t) too.

    Raises:
        InputError: for a rescale outside [0, 1].
    """

    def __init__(
        self,
        denoiser: Denoiser,
        scales: Mapping[str, float],
        rescale: float = 0.0,
        always: Collection[str] = (),
    ) -> None:
        super().__init__()
        check_rescale(rescale)
        self.denoiser, self.process = denoiser, denoiser.process
        self.scale_of, self.rescale, self.always = dict(scales), rescale, frozenset(always)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        terms, entered = self._terms(condition)
        # Each term counts by the difference of its scale and the next.
        weights = [w - after for w, after in zip(entered, [*entered[1:], 0.0], strict=True)]
        if weights[-1] == 1 and not any(weights[:-1]):
            posterior: Posterior = self.denoiser(x_t, t, **terms[-1])
            return posterior
        mean, last = torch.zeros_like(x_t), None
        for weight, term in zip(weights, terms, strict=True):
            if weight or (self.rescale and term is terms[-1]):
                last = self.denoiser(x_t, t, **term).mean
                mean = mean + weight * last
        assert last is not None  # some weight is not zero, for they sum to one
        return Posterior(rescaled(mean, last, self.rescale))

    def _terms(self, condition: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[float]]:
        """The conditions of each term, and the scale with which it is entered."""
        given = [n for n in self.scale_of if n in condition and n not in self.always]
        beside = {name: (name, f"{name}_mask", f"{name}_level") for name in given}
        taken = {key for keys in beside.values() for key in keys} | self.always
        terms = [{key: v for key, v in condition.items() if key in self.always}]
        for name in given:
            own = {key: condition[key] for key in beside[name] if key in condition}
            terms.append({**terms[-1], **own})
        entered = [1.0, *(self.scale_of[name] for name in given)]
        rest = {key: v for key, v in condition.items() if key not in taken}
        if rest:
            terms.append({**terms[-1], **rest})
            entered.append(1.0)
        return terms, entered
