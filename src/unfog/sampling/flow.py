r"""The probability-flow ODE with adaptive steps, and the change of density along it (Chen et al.
2018; Song et al. 2021, appendix D).

With u = x / alpha and l = log(sigma / alpha) it is the same for every process,

    du / dl = u - D(alpha u),
    d log p / dl = -div,     div = d - tr dD/du,     d: the numbers in a sample,

so l, half the log-SNR with its sign turned, is the clock, and nothing is stiff at the clean end.
The steps are torchdiffeq's ``dopri5``; they are shared by a batch, and every sample of it meets the
tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand, sum_per_sample
from unfog.core.space import PLAIN, Space
from unfog.errors import MissingExtra
from unfog.sampling.grids import require_signal
from unfog.sampling.loop import Condition

Trace = Callable[[Tensor, Tensor], Tensor]  # (D, u), D a function of u -> tr dD/du (batch,)


def full_trace(x0: Tensor, u: Tensor) -> Tensor:
    """tr dD/du exactly, (batch,): one product with the Jacobian for each number in a sample."""
    flat = x0.flatten(1)
    rows = [
        torch.autograd.grad(flat[:, i].sum(), u, retain_graph=True)[0].flatten(1)[:, i]
        for i in range(flat.shape[1])
    ]
    return torch.stack(rows, 1).sum(1)


def hutchinson(x: Tensor, randomness: Randomness) -> Trace:
    """Hutchinson's estimator of tr dD/du (1990), probe^T J probe for a probe of random signs,
    which is drawn here, once for a whole trajectory.
    """
    probe = normal_like(x, randomness).sign()

    def trace(x0: Tensor, u: Tensor) -> Tensor:
        (product,) = torch.autograd.grad(x0, u, probe)
        return sum_per_sample(probe * product)

    return trace


def _denoised(denoiser: Denoiser, u: Tensor, log_level: Tensor, condition: Condition) -> Tensor:
    t = denoiser.process.t_of_noise_level(log_level.double().exp())
    x0: Tensor = denoiser(expand(denoiser.process.alpha(t), u) * u, t, **condition).mean
    return x0


def _worst(state: tuple[Tensor, ...]) -> Tensor:
    """The norm of ``dopri5``'s error, the largest root mean square of any sample: no sample hides
    behind the rest of its batch.
    """
    return torch.stack([v.reshape(len(v), -1).square().mean(1).max().sqrt() for v in state]).max()


def _solve(
    field: Callable[..., Any], state: tuple[Tensor, ...], levels: Tensor, tolerance: float
) -> tuple[Tensor, ...]:
    try:
        from torchdiffeq import odeint
    except ImportError as error:
        raise MissingExtra("lab", "torchdiffeq") from error
    with torch.no_grad():
        path = odeint(
            field,
            state,
            levels.log(),
            rtol=tolerance,
            atol=tolerance,
            method="dopri5",
            options={"norm": _worst},
        )
    return tuple(v[-1] for v in path)


def probability_flow(
    denoiser: Denoiser,
    x_t: Tensor,
    t: Tensor,
    s: Tensor,
    *,
    tolerance: float = 1e-5,
    condition: Condition | None = None,
) -> Tensor:
    """Solves the probability-flow ODE from t to s, in either direction.

    Args:
        denoiser: D.
        x_t: (batch, channels, *space).
        t: time of x_t, a scalar with sigma and alpha above zero.
        s: time to arrive at, likewise.
        tolerance: absolute and relative, of each step.
        condition: of the denoiser.

    Returns:
        x_s, (batch, channels, *space).

    Raises:
        InputError: where x is noise alone at t or s.
        MissingExtra: without torchdiffeq.
    """
    process = denoiser.process
    for time in (t, s):
        require_signal(process, time, "The adaptive flow")
    levels = torch.stack([process.noise_level(t), process.noise_level(s)])

    def field(log_level: Tensor, state: tuple[Tensor]) -> tuple[Tensor]:
        return (state[0] - _denoised(denoiser, state[0], log_level, condition or {}),)

    (u,) = _solve(field, (x_t / expand(process.alpha(t), x_t),), levels, tolerance)
    return expand(process.alpha(s), u) * u


def with_density(
    denoiser: Denoiser,
    u: Tensor,
    levels: Tensor,
    trace: Trace,
    *,
    tolerance: float = 1e-5,
    condition: Condition | None = None,
    space: Space = PLAIN,
) -> tuple[Tensor, Tensor]:
    """Solves the probability-flow ODE together with its divergence, from which log p follows.

    Args:
        denoiser: D.
        u: x / alpha at the first level, (batch, channels, *space).
        levels: noise levels sigma / alpha to go from and to, (2,).
        trace: tr dD/du, ``full_trace`` or that of ``hutchinson``.
        tolerance: absolute and relative, of each step.
        condition: of the denoiser.
        space: where states live: what is changed there is a density of its dimensions.

    Returns:
        u at the second level, and the integral of div over l from the first to the second,
        (batch,).
    """

    free = space.dimensions(u.shape).to(u)

    def field(log_level: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = state[0].detach().requires_grad_()
            # Projected on both sides, the whole trace is that within the space.
            x0 = space.project(_denoised(denoiser, space.project(u), log_level, condition or {}))
            divergence = free - trace(x0, u)
        return (u - x0).detach(), divergence.detach()

    arrival, divergences = _solve(
        field, (u, torch.zeros(len(u), dtype=u.dtype, device=u.device)), levels, tolerance
    )
    return arrival, divergences
