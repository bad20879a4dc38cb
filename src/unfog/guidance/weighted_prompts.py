"""Several prompts at once, each with its weight."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand


class WeightedPrompts(Denoiser):
    """Several prompts a sample (Liu et al. 2022, composable diffusion, their conjunction):

        D(x_t | c_1 .. c_n) = sum_i a_i D(x_t | c_i),   sum_i a_i = 1,

    so that under classifier-free guidance prompt i has the scale w a_i:

        D_w = D(x_t) + sum_i w a_i (D(x_t | c_i) - D(x_t)).

    One network call a prompt. It takes the condition ``NAME`` with an axis of prompts after that of
    samples, (batch, prompts, ...), ``NAME_mask`` likewise, and the a_i as ``NAME_weight`` (batch,
    prompts), 0 for a prompt that a sample does not have; without them it is the denoiser.

    Args:
        denoiser: D, of a model with the condition.
        name: The condition's name.
    """

    def __init__(self, denoiser: Denoiser, name: str) -> None:
        super().__init__()
        self.denoiser, self.process, self.name = denoiser, denoiser.process, name

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        weights: Tensor | None = condition.pop(f"{self.name}_weight", None)
        if weights is None:
            posterior: Posterior = self.denoiser(x_t, t, **condition)
            return posterior
        own = [key for key in (self.name, f"{self.name}_mask") if key in condition]
        mean = torch.zeros_like(x_t)
        for place in range(weights.shape[1]):
            one = {**condition, **{key: condition[key][:, place] for key in own}}
            weight = expand(weights[:, place].to(x_t.dtype), x_t)
            mean = mean + weight * self.denoiser(x_t, t, **one).mean
        return Posterior(mean)
