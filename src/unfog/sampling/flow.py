r"""The probability-flow ODE with adaptive steps, and the change of density along it (Chen et al.
2018; Song et al. 2021, appendix D).

With u = x / alpha and l = log(sigma / alpha) it is the same for every process,

    du / dl = u - D(alpha u),      d log p / dl = -div = tr dD/du - d,
    d: the numbers in a sample,

so the log-SNR is the clock and nothing is stiff at the clean end. The steps are torchdiffeq's
``dopri5``; they are shared by a batch, and every sample of it meets the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.random import Randomness, normal_like
from unfog.core.shapes import expand, sum_per_sample
from unfog.errors import MissingExtra
from unfog.sampling.grids import require_signal
from unfog.sampling.loop import Condition

Trace = Callable[[Tensor, Tensor], Tensor]  # (D, u), D a function of u -> tr dD/du (batch,)


def full_trace(x0: Tensor, u: Tensor) -> Tensor:
    """Every diagonal element: as many products as a sample has numbers."""
    flat = x0.flatten(1)
    rows = [
        torch.autograd.grad(flat[:, i].sum(), u, retain_graph=True)[0].flatten(1)[:, i]
        for i in range(flat.shape[1])
    ]
    return torch.stack(rows, 1).sum(1)


def hutchinson(x: Tensor, randomness: Randomness) -> Trace:
    """probe^T J probe for a probe of random signs, drawn here, once for a whole trajectory
    (Hutchinson 1990).
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
    """The largest root mean square of any sample: no sample hides behind the rest of its batch."""
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
    """x_t (batch, channels, *space) to x_s along the ODE, in either direction; both times have 0 <
    sigma and 0 < alpha.
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
) -> tuple[Tensor, Tensor]:
    """u at noise level levels[0] to u at levels[1], and the integral of the divergence over l,
    (batch,).
    """

    def field(log_level: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            u = state[0].detach().requires_grad_()
            x0 = _denoised(denoiser, u, log_level, condition or {})
            divergence = u[0].numel() - trace(x0, u)
        return (u - x0).detach(), divergence.detach()

    moved, gained = _solve(
        field, (u, torch.zeros(len(u), dtype=u.dtype, device=u.device)), levels, tolerance
    )
    return moved, gained
