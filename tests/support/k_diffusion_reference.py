"""Reference trajectories of k-diffusion, for parity without it: ``python
tests/k_diffusion_reference.py`` writes them anew.

k-diffusion (0.1.1.post1) need not be among the project's packages: only its ``sampling.py`` is run,
so torchvision and the rest of what the package imports are not wanted. ``pip install --no-deps
--target DIR k-diffusion torchsde trampoline boltons`` and PYTHONPATH=DIR do.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file

FIXTURE = Path(__file__).parents[1] / "sampling" / "k_diffusion.safetensors"
LEVELS = torch.cat(
    [torch.logspace(1.9, -1.3, 10, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)]
)
X = 80 * torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
SEED = 1

# A sampler of ours (or its config), k-diffusion's function and its settings; the eta of its SDE
# solvers is ours squared.
CASES = {
    "euler": ("euler", "sample_euler", {}),
    "heun": ("heun", "sample_heun", {}),
    "heun-churn": (
        {"name": "heun-churn", "gamma": 0.2, "s_min": 0.0, "s_max": 1e9},
        "sample_heun",
        {"s_churn": 2.0, "s_noise": 1.003},
    ),
    "euler-ancestral": ("euler-ancestral", "sample_euler_ancestral", {}),
    "euler-ancestral-part": ({"name": "ddim", "eta": 0.6}, "sample_euler_ancestral", {"eta": 0.6}),
    "dpmpp-2m": ("dpmpp-2m", "sample_dpmpp_2m", {}),
    "dpmpp-2m-sde": ("dpmpp-2m-sde", "sample_dpmpp_2m_sde", {}),
    "dpmpp-2m-sde-part": (
        {"name": "dpmpp-2m-sde", "eta": 0.5**0.5},
        "sample_dpmpp_2m_sde",
        {"eta": 0.5},
    ),
    "dpmpp-2m-heun-sde": (
        {"name": "dpmpp-2m-heun", "eta": 1.0},
        "sample_dpmpp_2m_sde",
        {"solver_type": "heun"},
    ),
    "dpmpp-3m-sde": ("dpmpp-3m-sde", "sample_dpmpp_3m_sde", {}),
    "dpmpp-3m-sde-quiet": (
        {"name": "dpmpp-3m-sde", "eta": 0.0},
        "sample_dpmpp_3m_sde",
        {"eta": 0.0},
    ),
}


def denoised(x: torch.Tensor, sigma: float) -> torch.Tensor:
    """A smooth stand-in for a network: a Gaussian's denoiser, and a wave."""
    return x / (1 + sigma**2) + 0.3 * torch.sin(x.roll(1, -1) / (1 + sigma))


@functools.cache
def load() -> types.ModuleType | None:
    """k-diffusion's sampling module without the package's own imports; None where it is not
    installed.
    """
    found = importlib.util.find_spec("k_diffusion")
    if found is None or importlib.util.find_spec("torchsde") is None:
        return None
    package, utils = types.ModuleType("k_diffusion"), types.ModuleType("k_diffusion.utils")
    package.__path__ = list(found.submodule_search_locations or [])
    utils.append_dims = lambda x, ndim: x.reshape(*x.shape, *(1,) * (ndim - x.ndim))
    package.utils = utils
    sys.modules.update({"k_diffusion": package, "k_diffusion.utils": utils})
    return importlib.import_module("k_diffusion.sampling")


def run(sampling: types.ModuleType, function: str, settings: dict[str, object]) -> torch.Tensor:
    """The states of one trajectory, its end included, (steps + 1, *X.shape)."""
    states: list[torch.Tensor] = []
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)  # churn draws from the global stream
    if "noise_sampler" in inspect.signature(getattr(sampling, function)).parameters:
        settings = settings | {
            "noise_sampler": lambda a, b: torch.randn(X.shape, generator=generator, dtype=X.dtype)
        }
    model = lambda x, sigma: denoised(x, float(sigma[0]))  # noqa: E731
    last = getattr(sampling, function)(
        model, X, LEVELS, disable=True, callback=lambda at: states.append(at["x"]), **settings
    )
    return torch.stack([*states, last])


if __name__ == "__main__":
    module = load()
    if module is None:
        sys.exit("k_diffusion or torchsde is not importable; see the top of this file")
    save_file(
        {
            name: run(module, function, dict(settings))
            for name, (_, function, settings) in CASES.items()
        },
        FIXTURE,
    )
