"""The deterministic samplers of diffusers and k-diffusion, each run on an exact denoiser with the
noise level it believes in.

A scheduler that works in continuous noise levels is given the denoiser at its own sigma, not at the
rounded time its network would see, so rounding never counts against it. Calls are counted, not
taken from the name.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import diffusers
from torch import Tensor

from unfog.core.denoiser import Denoiser

diffusers.utils.logging.set_verbosity_error()
Solve = Callable[
    [Denoiser, Tensor, int, Tensor], Tensor
]  # (denoiser, x_T, calls allowed, time of x_T) -> x_0
SPACINGS: dict[str, dict[str, Any]] = {
    "linspace": {"timestep_spacing": "linspace"},
    "trailing": {"timestep_spacing": "trailing"},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "lu": {"use_lu_lambdas": True},
}
MULTISTEP: dict[str, list[dict[str, Any]]] = {
    "DPMSolverMultistepScheduler": [
        {"solver_order": o, "solver_type": s} for o in (2, 3) for s in ("midpoint", "heun")
    ],
    "DPMSolverSinglestepScheduler": [{"solver_order": o} for o in (2, 3)],
    "UniPCMultistepScheduler": [
        {"solver_order": o, "solver_type": s} for o in (2, 3) for s in ("bh1", "bh2")
    ],
    "DEISMultistepScheduler": [{"solver_order": o} for o in (2, 3)],
    "SASolverScheduler": [
        {"predictor_order": o, "corrector_order": o, "tau_func": lambda t: 0} for o in (2, 3)
    ],
    "EulerDiscreteScheduler": [{}],
    "LMSDiscreteScheduler": [{}],
    "HeunDiscreteScheduler": [{}],
    "KDPM2DiscreteScheduler": [{}],
    "PNDMScheduler": [{"skip_prk_steps": True}],
    "DDIMScheduler": [{"clip_sample": False}],
}
# x / alpha
NOISE_UNITS = (
    "EulerDiscreteScheduler",
    "LMSDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
)
TWO_CALLS = ("HeunDiscreteScheduler", "KDPM2DiscreteScheduler")
KNOTS = 1000


def diffusers_solvers(betas: Tensor) -> Iterator[tuple[str, Solve]]:
    """Every deterministic scheduler of diffusers with every spacing it takes."""
    for name, variants in MULTISTEP.items():
        cls = getattr(diffusers, name)
        taken = inspect.signature(cls.__init__).parameters
        for options, (spacing, more) in product(variants, SPACINGS.items()):
            if not more.keys() <= taken.keys():
                continue
            label = ", ".join(
                [
                    *(
                        str(v)
                        for k, v in options.items()
                        if k in ("solver_order", "solver_type", "predictor_order")
                    ),
                    spacing,
                ]
            )
            config = {"trained_betas": betas.numpy(), **options, **more}
            yield f"diffusers {name.removesuffix('Scheduler')} ({label})", _diffusers(cls, config)


def _diffusers(cls: type, config: dict[str, Any]) -> Solve:
    def solve(denoiser: Denoiser, x_t: Tensor, calls: int, first: Tensor) -> Tensor:
        scheduler, process = cls(**config), denoiser.process
        scheduler.set_timesteps((calls + 1) // 2 if cls.__name__ in TWO_CALLS else calls)
        in_noise_units = cls.__name__ in NOISE_UNITS
        x = x_t / process.alpha(first) if in_noise_units else x_t
        for index, step in enumerate(scheduler.timesteps):
            if getattr(scheduler, "sigmas", None) is not None:
                level = scheduler.sigmas[index].double()
                t = process.t_of_noise_level(level).clamp(max=1.0)
            else:
                t = (step.double() + 1) / KNOTS
            alpha, sigma = denoiser.scales(t)
            state = x.double() * alpha if in_noise_units else x.double()
            x0 = denoiser(state, t).mean
            scheduler.scale_model_input(x, step)  # it wants to be asked
            x = scheduler.step((state - alpha * x0) / sigma, step, x).prev_sample
        return x.double()

    return solve


def edm_solvers(low: float = 0.002, data: float = 0.5) -> Iterator[tuple[str, Solve]]:
    """diffusers' schedulers for EDM's process, to the last noise level ``low``; ``data`` is their
    sigma_data and cancels out.
    """
    variants: list[tuple[str, dict[str, Any]]] = [("EDMEulerScheduler", {})]
    variants += [
        ("EDMDPMSolverMultistepScheduler", {"solver_order": o, "solver_type": s})
        for o in (2, 3)
        for s in ("midpoint", "heun")
    ]
    for (name, options), schedule in product(variants, ("karras", "exponential")):
        label = ", ".join([*map(str, options.values()), schedule])
        config = {**options, "sigma_schedule": schedule, "sigma_min": low, "sigma_data": data}
        yield (
            f"diffusers {name.removesuffix('Scheduler')} ({label})",
            _edm(getattr(diffusers, name), config, data),
        )


def _edm(cls: type, config: dict[str, Any], data: float) -> Solve:
    def solve(denoiser: Denoiser, x_t: Tensor, calls: int, first: Tensor) -> Tensor:
        process = denoiser.process
        scheduler = cls(**config, sigma_max=float(process.noise_level(first)))
        scheduler.set_timesteps(calls)
        x = x_t
        for index, step in enumerate(scheduler.timesteps):
            scheduler.scale_model_input(x, step)
            level = scheduler.sigmas[index].double()
            x0 = denoiser(x, process.t_of_noise_level(level).clamp(max=1.0)).mean
            skip, out = data**2 / (level**2 + data**2), level * data / (level**2 + data**2).sqrt()
            x = scheduler.step((x0 - skip * x) / out, step, x).prev_sample
        return x.double()

    return solve


K_METHODS: dict[str, dict[str, Any]] = {
    "sample_euler": {},
    "sample_heun": {},
    "sample_dpm_2": {},
    "sample_lms": {},
    "sample_dpmpp_2m": {},
    "sample_dpmpp_2s_ancestral": {"eta": 0.0},
    "sample_dpmpp_2m_sde": {"eta": 0.0},
    "sample_dpmpp_3m_sde": {"eta": 0.0},
}
K_TWO_CALLS = ("sample_heun", "sample_dpm_2", "sample_dpmpp_2s_ancestral")


def k_diffusion_solvers() -> Iterator[tuple[str, Solve]]:
    """The deterministic samplers of k-diffusion on its own spacings and several last noise levels;
    none where it is not installed.
    """
    sampling = k_sampling()
    if sampling is None:
        return
    spacings: dict[str, Callable[[int, float, float], Tensor]] = {
        "karras": sampling.get_sigmas_karras,
        "exponential": sampling.get_sigmas_exponential,
        "polyexponential": lambda n, low, high: sampling.get_sigmas_polyexponential(
            n, low, high, rho=1.5
        ),
    }
    for (method, options), (spacing, sigmas), low in product(
        K_METHODS.items(), spacings.items(), (0.002, 0.01, 0.03)
    ):
        yield (
            f"k-diffusion {method.removeprefix('sample_')} ({spacing} to {low})",
            _k_diffusion(sampling, method, options, sigmas, low),
        )
    yield "k-diffusion dpm_fast", _k_fast(sampling)


@functools.cache
def k_sampling() -> Any:
    """k_diffusion/sampling.py without the rest of its package, which wants torchvision; None where
    it is not installed.
    """
    found = importlib.util.find_spec("k_diffusion")
    if found is None:
        return None
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(found.submodule_search_locations or ())
    sys.modules["k_diffusion"] = package
    sys.modules["k_diffusion.utils"] = types.ModuleType("k_diffusion.utils")
    package.utils = sys.modules["k_diffusion.utils"]  # type: ignore[attr-defined]
    sys.modules["k_diffusion.utils"].append_dims = lambda x, n: x[(...,) + (None,) * (n - x.ndim)]  # type: ignore[attr-defined]
    return importlib.import_module("k_diffusion.sampling")


def _k_model(denoiser: Denoiser) -> Callable[..., Tensor]:
    def model(x: Tensor, sigma: Tensor, **_: Any) -> Tensor:
        t = denoiser.process.t_of_noise_level(sigma.flatten()[0].double()).clamp(max=1.0)
        return denoiser(x * denoiser.process.alpha(t), t).mean

    return model


def _k_diffusion(
    sampling: Any, method: str, options: dict[str, Any], sigmas: Callable[..., Tensor], low: float
) -> Solve:
    def solve(denoiser: Denoiser, x_t: Tensor, calls: int, first: Tensor) -> Tensor:
        steps = (calls + 1) // 2 if method in K_TWO_CALLS else calls  # the last step takes one call
        levels = sigmas(steps, low, float(denoiser.process.noise_level(first))).double()
        x = x_t / denoiser.process.alpha(first)
        result: Tensor = getattr(sampling, method)(
            _k_model(denoiser), x, levels, disable=True, **options
        )
        return result

    return solve


def _k_fast(sampling: Any) -> Solve:
    def solve(denoiser: Denoiser, x_t: Tensor, calls: int, first: Tensor) -> Tensor:
        high = float(denoiser.process.noise_level(first))
        result: Tensor = sampling.sample_dpm_fast(
            _k_model(denoiser), x_t / denoiser.process.alpha(first), 0.01, high, calls, disable=True
        )
        return result

    return solve
