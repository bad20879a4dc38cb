r"""Denoising diffusion null-space models (Wang, Yu & Zhang 2023)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Posterior
from unfog.core.shapes import expand
from unfog.physics.linear import inverse
from unfog.posterior.linear import LinearPosterior


class DDNM(LinearPosterior):
    """Denoising diffusion null-space model, DDNM and with noise DDNM+ (Wang, Yu & Zhang 2023).
    What was measured is put in the place of what was denoised, and the null space of A stays the
    prior's:

        D + A+ (y - A D),     with noise (DDNM+)   D + A+ Lambda (y - A D),
        lambda_i = min(1, s_i k / sigma_y),   k = sigma_t / alpha_t,

    along singular vector i of A with singular value s_i: no more noise enters, sigma_y lambda_i /
    s_i, than x_t may hold. The paper bounds it by the fresh noise of its DDPM step and takes it off
    that; here the bound is the whole noise of x_t, as of a step that renews all of it.

    One network call, and no product with its Jacobian; with noise the operator's spectrum is
    needed. Arguments as for ``LinearPosterior``.
    """

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        x0: Tensor = self.denoiser(x_t, t, **condition).mean
        residual = self.residual(x0)
        if self.sigma == 0:
            return Posterior(x0 + self.operator.pseudo_inverse(residual))
        ratio = expand(self.process.noise_level(t) / self.sigma, residual)

        # lambda_i / s_i^2 on the spectrum of A A*, so that A* filtered is A+ Lambda.
        def share(e: Tensor) -> Tensor:
            trust: Tensor = torch.clamp(ratio * e.sqrt(), max=1)
            return trust * inverse(e)

        return Posterior(x0 + self.operator.filtered(share, residual))
