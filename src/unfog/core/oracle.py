"""Oracles: priors whose denoiser is known in closed form, to test samplers and restoration against
without a trained network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import Process
from unfog.core.shapes import expand


class MixtureDenoiser(Denoiser):
    r"""The exact denoiser of a Gaussian mixture.

        x_0 ~ sum_k w_k N(m_k, C_k)   =>   x_t ~ sum_k w_k N(alpha m_k, S_k),
        S_k             = alpha^2 C_k + sigma^2 I,
        E[x_0 | x_t, k] = m_k + alpha C_k S_k^{-1} (x_t - alpha m_k),
        Cov[x_0 | x_t, k] = C_k - alpha^2 C_k S_k^{-1} C_k,

    and the mixture's posterior weights each component by its responsibility p(k | x_t). A single
    Gaussian is the mixture of one. The posterior variance is the diagonal of the exact posterior
    covariance.

    Args:
        process: The forward process.
        weights: The components' weights w (k,); they are scaled to sum to 1.
        means: The components' means m (k, d), d the numbers of a sample of any shape; all is
            computed in their type.
        covariances: The components' covariances C (k, d, d), or (k, d) where they are diagonal.
    """

    weights: Tensor
    means: Tensor
    eigenvalues: Tensor
    eigenvectors: Tensor | None  # None: the covariances are diagonal

    def __init__(
        self, process: Process, weights: Tensor, means: Tensor, covariances: Tensor
    ) -> None:
        super().__init__()
        self.process = process
        eigenvalues, eigenvectors = (
            torch.linalg.eigh(covariances) if covariances.ndim == 3 else (covariances, None)
        )
        self.register_buffer("weights", weights / weights.sum())
        self.register_buffer("means", means)
        self.register_buffer("eigenvalues", eigenvalues.clamp(min=0))
        self.register_buffer("eigenvectors", eigenvectors)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        flat = x_t.flatten(1).to(self.means.dtype)
        alpha, sigma = (expand(s.expand(len(flat)), flat[:, None]) for s in self.scales(t))
        # x_t - alpha m_k in the eigenbasis of C_k, where S_k is diagonal (``spread``).
        projected = _times("kde,bkd->bke", self.eigenvectors, flat[:, None] - alpha * self.means)
        spread = alpha**2 * self.eigenvalues + sigma**2
        log_weight = self.weights.log() - 0.5 * (projected**2 / spread + spread.log()).sum(-1)
        # p(k | x_t), and E[x_0 | x_t, k] in the eigenbasis of C_k.
        responsibility = torch.softmax(log_weight, 1)[..., None]
        means = self.means + _times(
            "kde,bke->bkd", self.eigenvectors, alpha * self.eigenvalues / spread * projected
        )
        mean = (responsibility * means).sum(1)
        # Law of total variance: within the components, and between their means.
        squares = None if self.eigenvectors is None else self.eigenvectors**2
        within = _times("kde,bke->bkd", squares, self.eigenvalues * sigma**2 / spread)
        variance = (responsibility * (within + (means - mean[:, None]) ** 2)).sum(1)
        return Posterior(mean.view(x_t.shape).to(x_t.dtype), variance.view(x_t.shape).to(x_t.dtype))

    def log_density(self, x_t: Tensor, t: Tensor) -> Tensor:
        """The exact log-density log p(x_t) in nats, (batch,)."""
        flat = x_t.flatten(1).to(self.means.dtype)
        alpha, sigma = (expand(s.expand(len(flat)), flat[:, None]) for s in self.scales(t))
        projected = _times("kde,bkd->bke", self.eigenvectors, flat[:, None] - alpha * self.means)
        spread = alpha**2 * self.eigenvalues + sigma**2
        constant = flat.shape[1] * torch.log(torch.tensor(2 * torch.pi, dtype=flat.dtype))
        return torch.logsumexp(
            self.weights.log() - 0.5 * ((projected**2 / spread + spread.log()).sum(-1) + constant),
            1,
        )

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` exact samples of x_0, (n, d)."""
        component = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.means.shape[1], generator=generator, dtype=self.means.dtype)
        scaled = self.eigenvalues[component].sqrt() * z
        basis = None if self.eigenvectors is None else self.eigenvectors[component]
        return self.means[component] + _times("nde,ne->nd", basis, scaled)


def _times(indices: str, matrix: Tensor | None, x: Tensor) -> Tensor:
    """``matrix`` times x by einsum; None is the identity."""
    return x if matrix is None else torch.einsum(indices, matrix, x)


def gaussian_denoiser(process: Process, mean: Tensor, covariance: Tensor) -> MixtureDenoiser:
    """The exact denoiser of the Gaussian N(mean, covariance).

    Args:
        process: The forward process.
        mean: The prior's mean (d,), d the numbers of a sample.
        covariance: The prior's covariance (d, d).

    Returns:
        The mixture of this one component.
    """
    return MixtureDenoiser(process, torch.ones(1, dtype=mean.dtype), mean[None], covariance[None])


class StationaryDenoiser(Denoiser):
    r"""The exact denoiser of a stationary Gaussian field of mean 0 on a periodic grid: Wiener's
    filter (1949), in each Fourier mode k

        E[x_0(k) | x_t]   = alpha P(k) / (alpha^2 P(k) + sigma^2) x_t(k),
        Var[x_0(k) | x_t] = sigma^2 P(k) / (alpha^2 P(k) + sigma^2).

    Args:
        process: The forward process.
        power: The variance P (*space) of each Fourier mode; its sum is the variance of a value.
    """

    power: Tensor

    def __init__(self, process: Process, power: Tensor) -> None:
        super().__init__()
        self.process = process
        self.register_buffer("power", power.double())

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        # torch's unnormalised FFT scales the variance of a mode by the number of values.
        axes, power = tuple(range(2, x_t.ndim)), self.power * self.power.numel()
        alpha, sigma = (expand(s.expand(len(x_t)), x_t.double()) for s in self.scales(t))
        gain = alpha * power / (alpha**2 * power + sigma**2)
        mean = torch.fft.ifftn(torch.fft.fftn(x_t.double(), dim=axes) * gain, dim=axes).real
        variance = (power * sigma**2 / (alpha**2 * power + sigma**2)).mean(axes, keepdim=True)
        return Posterior(mean.to(x_t.dtype), variance.to(x_t.dtype))
