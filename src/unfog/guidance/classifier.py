r"""Classifier guidance (Dhariwal & Nichol 2021): Bayes' rule on the score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.shapes import expand

LogProbability = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) to log p(y | x_t), (batch,)


class ClassifierGuided(Denoiser):
    """Classifier guidance (Dhariwal & Nichol 2021), with a classifier of noisy data:

        score(x_t | y) = score(x_t) + w grad log p(y | x_t),   so by Tweedie
        D_w = D + w (sigma^2 / alpha) grad log p(y | x_t).

    At w = 1 with a perfect classifier this is the conditional model. One network call, and the
    gradient of the classifier.

    Args:
        denoiser: D.
        log_probability: (x_t, t) to log p(y | x_t), (batch,), for the y that is wanted.
        scale: w.
    """

    def __init__(
        self, denoiser: Denoiser, log_probability: LogProbability, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.denoiser, self.process = denoiser, denoiser.process
        self.log_probability, self.scale = log_probability, scale

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        alpha, sigma = self.scales(t)
        # grad log p(y | x_t), differentiable where x_t is.
        with torch.enable_grad():
            x = x_t if x_t.requires_grad else x_t.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(
                self.log_probability(x, t).sum(), x, create_graph=x_t.requires_grad
            )
        mean: Tensor = self.denoiser(x_t, t, **condition).mean
        return Posterior(mean + expand(self.scale * sigma**2 / alpha, x_t) * gradient)
