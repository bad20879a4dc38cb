"""unfog: diffusion models, exact and small, for imaging and beyond.

The names below are loaded when they are first used, so that ``import unfog`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unfog.version import __version__

if TYPE_CHECKING:
    from unfog import (
        core,
        data,
        dmri,
        evaluation,
        guidance,
        networks,
        physics,
        posterior,
        sampling,
        systems,
    )
    from unfog.builtin import open_run as load
    from unfog.data.dataset import Dataset, open_dataset
    from unfog.errors import InputError
    from unfog.physics.linear import Operator
    from unfog.posterior.methods import methods, posterior_denoiser
    from unfog.runs.denoiser import Denoiser
    from unfog.runs.folder import priors
    from unfog.runs.restore import Restored, restore
    from unfog.runs.run import Run
    from unfog.runs.sample import sample
    from unfog.runs.train import train, train_autoencoder, train_generator
    from unfog.sampling.grids import grids
    from unfog.sampling.samplers import samplers

# A public name: where it is defined, or "" for a module of this package.
_PUBLIC = {
    "load": "unfog.builtin:open_run",
    "train": "unfog.runs.train:train",
    "train_autoencoder": "unfog.runs.train:train_autoencoder",
    "train_joint_encoder": "unfog.runs.train:train_joint_encoder",
    "train_generator": "unfog.runs.train:train_generator",
    "sample": "unfog.runs.sample:sample",
    "restore": "unfog.runs.restore:restore",
    "priors": "unfog.runs.folder:priors",
    "Denoiser": "unfog.runs.denoiser:Denoiser",
    "Run": "unfog.runs.run:Run",
    "Restored": "unfog.runs.restore:Restored",
    "Dataset": "unfog.data.dataset:Dataset",
    "open_dataset": "unfog.data.dataset:open_dataset",
    "Operator": "unfog.physics.linear:Operator",
    "InputError": "unfog.errors:InputError",
    "samplers": "unfog.sampling.samplers:samplers",
    "grids": "unfog.sampling.grids:grids",
    "methods": "unfog.posterior.methods:methods",
    "posterior_denoiser": "unfog.posterior.methods:posterior_denoiser",
    "systems": "",
    "core": "",
    "data": "",
    "networks": "",
    "sampling": "",
    "guidance": "",
    "posterior": "",
    "physics": "",
    "evaluation": "",
    "dmri": "",
}

__all__ = [
    "Dataset",
    "Denoiser",
    "InputError",
    "Operator",
    "Restored",
    "Run",
    "__version__",
    "core",
    "data",
    "dmri",
    "evaluation",
    "grids",
    "guidance",
    "load",
    "methods",
    "networks",
    "open_dataset",
    "physics",
    "posterior",
    "posterior_denoiser",
    "priors",
    "restore",
    "sample",
    "samplers",
    "sampling",
    "systems",
    "threads",
    "train",
    "train_autoencoder",
    "train_generator",
    "train_joint_encoder",
]


def threads(count: int | None = None) -> int:
    """Settle how many threads torch computes with, and let them sleep while they wait.

    Called before torch is imported, it also settles how idle threads wait: they sleep. Spinning
    threads take five times as long beside other work.

    Args:
        count: How many; by default torch's own number, or one where more do not pay.

    Returns:
        The number of threads.
    """
    from unfog.openmp import wait_passively

    wait_passively()
    from unfog.runs.machine import set_threads

    return set_threads(count)


def __getattr__(name: str) -> Any:
    """A public name, loaded with everything that ships, so that every registered name is known."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'unfog' has no attribute {name!r}")
    import_module("unfog.builtin")
    module, _, attribute = (_PUBLIC[name] or f"unfog.{name}").partition(":")
    value = import_module(module)
    value = getattr(value, attribute) if attribute else value
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
