"""deepinv's DPS, DiffPIR and DDRM (0.5.0) with one of our priors as their denoiser.

deepinv imports torchvision, of which these three use nothing and which is not installed here: empty
modules stand in for it while deepinv is imported.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.shapes import expand
from unfog.physics.blur import Blur
from unfog.physics.linear import Operator
from unfog.physics.operators import Identity, Mask


class _Empty(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return () if name.isupper() else type(name, (), {})


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return (
            importlib.machinery.ModuleSpec(name, self, is_package=True)
            if name.split(".")[0] == "torchvision"
            else None
        )

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return None


def load() -> Any:
    """The module deepinv."""
    sys.meta_path.append(_StandIn())
    import deepinv

    return deepinv


class Wrapped(torch.nn.Module):
    """A prior of data in [0, 1] as deepinv calls a denoiser, ``model(x, sigma)``; ``calls`` counts
    them.
    """

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser, self.calls = denoiser, 0

    def forward(self, x: Tensor, sigma: Any, **_: Any) -> Tensor:
        self.calls += 1
        process, level = self.denoiser.process, 2 * torch.as_tensor(sigma).double().flatten().cpu()
        t = process.t_of_noise_level(level.clamp(min=1e-4)).expand(len(x))
        inside = (2 * x.float() - 1) * expand(process.alpha(t), x.float())
        return (self.denoiser(inside, t).mean + 1) / 2


def samplers(
    dinv: Any, model: Wrapped, operator: Operator, space: tuple[int, ...], sigma: float, calls: int
) -> dict[str, list[tuple[dict[str, Any], Callable[[Tensor], Tensor]]]]:
    """For each method its parameters to try, with a function from measurements to draws; DDRM where
    deepinv knows an SVD.
    """
    noise = dinv.physics.GaussianNoise(sigma)
    physics = dinv.physics.LinearPhysics(
        A=lambda x, **_: operator(x),
        A_adjoint=lambda y, **_: operator.adjoint(y),
        noise_model=noise,
    )
    physics.A_dagger = lambda y, **_: operator.adjoint(y)  # asked for its shape alone

    def dps(y: Tensor, guidance: str, weight: float) -> Tensor:
        method = dinv.sampling.DPS(
            model, num_steps=calls + 1, guidance=guidance, weight=weight, dtype=torch.float32
        )
        return torch.as_tensor(method(y, physics, denoise_output=False)).float().detach()

    def diffpir(y: Tensor, strength: float, zeta: float) -> Tensor:
        method = dinv.sampling.DiffPIR(
            model,
            dinv.optim.data_fidelity.L2(),
            sigma=sigma,
            max_iter=calls,
            lambda_=strength,
            zeta=zeta,
        )
        return torch.as_tensor(method(y, physics, x_init=operator.adjoint(y).clamp(0, 1))).float()

    found: dict[str, Any] = {
        "deepinv DPS": [
            ({"guidance": g, "weight": w}, lambda y, g=g, w=w: dps(y, g, w))
            for g, w in (("norm", 1.0), ("norm", 10.0), ("annealed", 1.0))
        ],
        "deepinv DiffPIR": [
            ({"lambda": s, "zeta": z}, lambda y, s=s, z=z: diffpir(y, s, z))
            for s, z in ((3.0, 0.3), (7.0, 0.3), (7.0, 1.0), (15.0, 1.0))
        ],
    }
    decomposed = _decomposed(dinv, operator, space, noise)
    if decomposed is not None:
        levels = np.append(np.geomspace(1, 0.01, calls - 1), 0.005)

        def ddrm(y: Tensor, eta: float) -> Tensor:
            return torch.as_tensor(
                dinv.sampling.DDRM(model, sigmas=levels, eta=eta)(y, decomposed)
            ).float()

        found["deepinv DDRM"] = [
            ({"eta": eta}, lambda y, eta=eta: ddrm(y, eta)) for eta in (0.85, 1.0)
        ]
    return found


def _decomposed(dinv: Any, operator: Operator, space: tuple[int, ...], noise: Any) -> Any:
    """The same measurement as one of deepinv's with an SVD; None where it has none."""
    if isinstance(operator, Identity):
        return dinv.physics.Denoising(noise)
    if isinstance(operator, Mask):
        return dinv.physics.Inpainting(
            (1, *space), mask=operator.mask[0].float(), noise_model=noise
        )
    if isinstance(operator, Blur):
        return dinv.physics.BlurFFT(
            (1, *space), filter=operator.kernel.float()[None, None], noise_model=noise
        )
    return None
