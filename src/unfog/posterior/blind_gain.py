r"""An unknown smooth gain, drawn together with the image: y = f x + noise, f = exp(B c)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Product
from unfog.core.random import Randomness, normal
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.physics.gain import SmoothGain
from unfog.physics.operators import Weights
from unfog.posterior.direct import DirectMeasurement
from unfog.posterior.mmps import MMPS
from unfog.sampling.loop import Condition, History, Sampler

STEPS = 4  # Gauss-Newton's, for a gain from an image that is known


def given_gain(denoiser: Denoiser, gain: Tensor, y: Tensor, sigma: float) -> Denoiser:
    r"""The denoiser of x_0 given x_t and y = f x_0 + N(0, sigma_y^2), f a gain that is known.

    With d^2 = (y / f - x_0)^2 / (2 sigma_y^2), the likelihood of x_0 has two factors,

        exp(-f^2 d^2) = exp(-f_min^2 d^2) exp(-(f^2 - f_min^2) d^2),

    the first that of a direct measurement with white noise, which is exact (``posterior.direct``);
    the second goes to MMPS, which then has little left to do, where the noise of x_t is large too.

    Args:
        denoiser: The prior's.
        gain: f, above 0, (batch, 1, *space).
        y: The measurement, (batch, channels, *space).
        sigma: sigma_y, above 0.

    Returns:
        The denoiser.
    """
    least, image = gain.flatten(1).amin(1), y / gain
    direct = DirectMeasurement(denoiser, image, sigma / least.double())
    rest = (gain**2 - expand(least, gain) ** 2).clamp(min=0).sqrt()
    if not bool(rest.any()):
        return direct
    return MMPS(direct, Weights(rest), rest * image, sigma)


@dataclass(frozen=True)
class BlindGain:
    r"""Draws of an image and of its gain, a sampler for a prior's own denoiser:

        y - b = f (x_0 - b) + N(0, sigma_y^2),     f = exp(B c),     c ~ N(0, tau^2),

    b the value where there is no signal. Each step from x_t to x_s

        1. draws c given x_t and y,
        2. takes the step of any sampler with E[x_0 | x_t, c, y] (``given_gain``).

    Were both exact, so would be the law of x_s given y: of the last c only a point to linearise
    about is kept. GibbsDDRM (Murata et al. 2023, arXiv:2301.12686) alternates so too, but draws c
    by Langevin steps, given an estimate of x_0 that y has shaped already. With p(x_0 | x_t) taken
    as N(D, V), the residual e = y - b - f (D - b) at the last c is linear in the change of c,

        e = G dc + N(0, S),     G = f (D - b) B,     S = f V f + sigma_y^2,

    and c given e is Gaussian: ridge regression. V ties pixels together, and taken as diagonal it
    would make c far too narrow. So S is seen through directions P, a block Krylov space of S on G,
    and c is drawn given P^T e, whose covariance P^T S P is known: with fewer directions c is wider.
    One round of them is least squares, two come near the dense regression.

    A step calls the network once besides the sampler's own calls, with (modes x rounds) products
    with its Jacobian. The history is c (batch, modes), and the sampler's own.

    Args:
        gain: B and tau.
        measurement: y, a row for each of the batch.
        sigma: sigma_y, above 0.
        sampler: Takes the steps; one that remembers earlier ones remembers those of other gains.
        black: b.
        rounds: Of directions, 1 or more.
    """

    gain: SmoothGain
    measurement: Tensor
    sigma: float
    sampler: Sampler
    black: float = 0.0
    rounds: int = 2

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise InputError("A blind gain needs a measurement noise above zero; give a small one.")
        if self.rounds < 1:
            raise InputError(
                f"A gain is drawn by 1 round of directions or more, not {self.rounds}."
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
        last, *inner = history or (self._none(x_t),)
        estimate, covariance = denoiser.with_covariance(x_t, t, **condition)
        # c given x_t and y.
        mean, root = self._conditional(estimate, covariance, last, self.rounds)
        c = mean + _times(root, normal(mean.shape, randomness, like=mean))
        # x_s given x_t, y and c: y - b + f b = f x_0 + noise.
        f = self.gain(c).to(x_t)
        y = self.measurement + (f - 1) * self.black
        given = given_gain(denoiser, f, y, self.sigma)
        x_s, new = self.sampler.step(given, x_t, t, s, tuple(inner), randomness, condition)
        return x_s, (c, *new)

    def given_image(self, x: Tensor, randomness: Randomness) -> Tensor:
        """Draws of c given images and y, by Gauss-Newton's steps to the likeliest c: the gain that
        belongs to each sample.

        Args:
            x: x_0, (batch, channels, *space).
            randomness: A generator, or one for each image.

        Returns:
            c, (batch, modes), float64.
        """
        c = self._none(x)
        for _ in range(STEPS):
            c, root = self._conditional(x, torch.zeros_like, c, 1)
        return c + _times(root, normal(c.shape, randomness, like=c))

    def _none(self, x: Tensor) -> Tensor:
        """c = 0, (batch, modes)."""
        return torch.zeros(len(x), len(self.gain.deviation), dtype=torch.float64, device=x.device)

    def _conditional(
        self, estimate: Tensor, covariance: Product, last: Tensor, rounds: int
    ) -> tuple[Tensor, Tensor]:
        """p(c | x_t, y), linearised about the last c.

        Args:
            estimate: D, (batch, channels, *space).
            covariance: v -> V v.
            last: c, (batch, modes).
            rounds: Of directions.

        Returns:
            The mean (batch, modes), and a root of the covariance (batch, modes, modes).
        """
        f, signal = self.gain(last), estimate.double() - self.black
        residual = (self.measurement.double() - self.black - f * signal).flatten(1)
        basis = self.gain.basis.to(f)[:, None]
        slope = ((f * signal)[:, None] * basis).flatten(2)  # G^T

        def spread(v: Tensor) -> Tensor:
            """S v of directions (batch, values)."""
            v = v.view(estimate.shape)
            image = f * covariance((f * v).to(estimate)).double() + self.sigma**2 * v
            return image.flatten(1)

        directions, seen = krylov(spread, slope, rounds)
        # P^T e + P^T G c_last = (P^T G) c + N(0, P^T S P).
        design = directions @ slope.mT
        values = _times(directions, residual) + _times(design, last)
        # Ridge regression: precision and mean.
        weighted = design.mT @ _inverse(seen, self.sigma**2)
        prior = torch.diag(self.gain.deviation.to(f) ** -2)
        factor = torch.linalg.cholesky(weighted @ design + prior)
        mean = torch.cholesky_solve(_times(weighted, values)[..., None], factor)[..., 0]
        eye = torch.eye(len(prior), dtype=f.dtype, device=f.device).expand_as(factor)
        return mean, torch.linalg.solve_triangular(factor, eye, upper=False).mT


def krylov(product: Product, block: Tensor, rounds: int) -> tuple[Tensor, Tensor]:
    """An orthonormal basis of the block Krylov space {G, S G, S^2 G, ...} (Golub & Underwood
    1977), and S within it.

    Args:
        product: v -> S v for vectors (batch, values), S symmetric.
        block: G^T, (batch, m, values).
        rounds: Of products, 1 or more.

    Returns:
        P^T (batch, m rounds, values), and P^T S P (batch, m rounds, m rounds).
    """
    new = torch.linalg.qr(block.mT)[0].mT
    directions, images = new, block[:, :0]
    for n in range(rounds):
        image = torch.stack([product(v) for v in new.unbind(1)], 1)
        images = torch.cat([images, image], 1)
        if n == rounds - 1:
            break
        # What the images have outside of the space so far, orthogonalised twice against rounding.
        for _ in range(2):
            image = image - (image @ directions.mT) @ directions
        new = torch.linalg.qr(image.mT)[0].mT
        directions = torch.cat([directions, new], 1)
    within = images @ directions.mT
    return directions, (within + within.mT) / 2


def _inverse(matrix: Tensor, least: float) -> Tensor:
    """The inverse of symmetric matrices whose eigenvalues are ``least`` or more but for the error
    of a network's Jacobian.
    """
    values, vectors = torch.linalg.eigh(matrix)
    inverse: Tensor = (vectors / values.clamp(min=least)[:, None]) @ vectors.mT
    return inverse


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[..., None])[..., 0]
