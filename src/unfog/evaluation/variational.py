r"""The variational bound of the ancestral chain, for any process and grid."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from unfog.core.bound import Decoder, density, prior_term, step_term
from unfog.core.bridge import Bridge
from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.sampling.ancestral import Variance
from unfog.sampling.grids import check_grid
from unfog.sampling.loop import Condition


@torch.no_grad()
def variational_bound(
    denoiser: Denoiser,
    x_0: Tensor,
    grid: Tensor,
    variance: Variance,
    *,
    randomness: Randomness,
    decoder: Decoder = density,
    condition: Condition | None = None,
) -> Tensor:
    """An unbiased estimate of the variational bound (Ho et al. 2020, eq. 5),

        -log p(x_0) <= prior term + one term a step of the grid,

    with terms from ``unfog.core.bound`` and variances from ``unfog.sampling.ancestral``; x_t is
    drawn once for each term.

    Args:
        denoiser: The model.
        x_0: (batch, channels, *space), on the model's scale.
        grid: Times, falling to 0.
        variance: Of the reverse steps.
        randomness: The generators of the noise.
        decoder: The likelihood of the last step.
        condition: For the denoiser.

    Returns:
        In nats, (batch,).

    Raises:
        InputError: The grid does not end at 0, or the variance of the last step is 0.
    """
    times, process = check_grid(grid), denoiser.process
    if float(times[-1]) != 0:
        raise InputError("The variational bound is of a grid that ends at t = 0.")
    bound = prior_term(process, x_0, times[0])
    for t, s in pairwise(times):
        bridge = Bridge.of(process, t, s)
        # x_t ~ q(x_t | x_0), and the term of the step from t to s.
        x_t = expand(bridge.alpha_t, x_0) * x_0 + expand(bridge.sigma_t, x_0) * normal_like(
            x_0, randomness
        )
        posterior = denoiser(x_t, t, **(condition or {}))
        spread = torch.as_tensor(variance(bridge, posterior, x_t)).expand_as(x_0)
        if not bool((spread > 0).all()):
            raise InputError(
                "The last step of the bound needs a variance above zero: take 'large', or "
                "'posterior' where it is learned."
            )
        bound = bound + step_term(bridge, x_0, posterior.mean, spread, decoder)
    return bound
