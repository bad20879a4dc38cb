"""A run: a trained model in a folder, opened by its path, or a prior in the package, by its name.

The folder of a training run holds ``config.yaml`` and ``checkpoints/``. That of an exported run, as
the priors in the package are, holds ``config.yaml``, the averaged weights in
``weights.safetensors``, and ``manifest.json`` with the SHA-256 of both.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.codec import Codec
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.space import PLAIN, Space
from unfog.errors import InputError
from unfog.files.output import write_bytes, write_json
from unfog.files.text import read_text
from unfog.runs.build import build
from unfog.runs.config import load_config, save_config
from unfog.runs.machine import network_in, resolve
from unfog.systems.registry import Config
from unfog.training.checkpoint import load_ema

if TYPE_CHECKING:
    from unfog.runs.restore import Restored

WEIGHTS = "weights.safetensors"
CONFIG = "config.yaml"
MANIFEST = "manifest.json"
CARD = "card.json"


@dataclass(frozen=True)
class Run:
    """A trained denoiser with what is needed to use it.

    Args:
        path: Its folder.
        config: What it is made of, as plain data.
        denoiser: The network with its averaged weights, frozen.
        codec: Between natural units and the model's scale.
        shape: Of a sample, (channels, *space).
        card: Figures measured on it, if any.
        space: Where states live.
        precision: What the network computes in, "fp32" or "bf16".
    """

    path: Path
    config: Config
    denoiser: NetworkDenoiser
    codec: Codec
    shape: tuple[int, ...]
    card: Mapping[str, Any]
    space: Space = PLAIN
    precision: str = "fp32"

    @classmethod
    def open(cls, source: str | Path) -> Run:
        """The run at a path, or the prior in the package of that name; its files are verified by
        their SHA-256, and ``InputError`` says what is wrong with them.
        """
        path = locate(source)
        config = load_config(path / CONFIG)
        parts = build(config)
        try:
            parts.denoiser.load_state_dict(_weights(path))
        except RuntimeError as error:
            raise InputError(
                f"The weights in {path.name} do not fit their {CONFIG}; restore both from one "
                "source."
            ) from error
        parts.denoiser.eval().requires_grad_(False)
        card = json.loads(read_text(path / CARD)) if (path / CARD).is_file() else {}
        return cls(path, config, parts.denoiser, parts.codec, parts.shape, card, parts.space)

    def in_precision(self, precision: str) -> Run:
        """The run with its network in "bf16", "fp32" or the faster one of both ("auto"); where a
        sample is small, that is fp32.
        """
        chosen = resolve(precision, math.prod(self.shape[1:]))
        if chosen == self.precision:
            return self
        return replace(self, denoiser=network_in(self.denoiser, chosen), precision=chosen)

    @property
    def name(self) -> str:
        """The last part of its path, or the name of the shipped prior."""
        return self.path.name

    def sample(
        self,
        count: int,
        *,
        sampler: str | Mapping[str, Any] | None = None,
        steps: int | None = None,
        grid: str | Mapping[str, Any] | None = None,
        seed: int = 0,
        **options: Any,
    ) -> Tensor:
        """Samples in natural units (``runs.sample.draw``).

        Args:
            count: How many.
            sampler: A sampler by name; the run's own by default.
            steps: Sampler steps; the run's own number by default.
            grid: A grid of times by name; the run's own by default.
            seed: Sample k depends on (seed, k) alone.
            **options: Others of ``draw``: condition, guidance, seamless, batch, shape, report.

        Returns:
            (count, channels, *space).
        """
        from unfog.runs.sample import Plan, draw

        return draw(self, Plan.of(self, sampler, steps, grid), range(count), seed, **options)

    def restore(
        self,
        y: Tensor | NDArray[Any],
        operator: Any = None,
        *,
        sigma: float,
        samples: int = 8,
        sampler: str | Mapping[str, Any] | None = None,
        steps: int | None = None,
        **options: Any,
    ) -> Restored:
        """Draws of x given y = A x + noise in natural units (``runs.restore.restore``).

        Args:
            y: Measurements (images, ...), a tensor or an array.
            operator: A: an ``Operator``, an operator of deepinv, or a function of x that torch can
                differentiate; its adjoint is derived, and tested where the method needs it. None is
                the identity.
            sigma: The noise's standard deviation, in the units of y.
            samples: Draws of each image, at least 2.
            sampler: A sampler by name; the run's own by default.
            steps: Sampler steps; the run's own number by default.
            **options: Others of ``restore``: method, seed, batch, report.

        Returns:
            ``mean``, ``std``, ``samples`` and ``interval(level)``.
        """
        from unfog.runs.restore import GRID, measured, restore
        from unfog.runs.sample import Plan

        require_posterior_mean(self)
        plan = Plan.of(self, sampler, steps, GRID)
        values, a = measured(self, y, operator, options.get("method"))
        return restore(self, values, a, sigma, samples=samples, plan=plan, **options)

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the weights: their names, types, shapes and bytes, whatever file they lie
        in.
        """
        digest = hashlib.sha256()
        for name, value in sorted(self.denoiser.state_dict().items()):
            array = np.ascontiguousarray(value.detach().cpu().numpy())
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode() + array.tobytes())
        return digest.hexdigest()


def priors() -> list[str]:
    """Names of the priors in the package."""
    root = Path(str(files("unfog"))) / "priors"
    if not root.is_dir():
        return []
    return sorted(p.name for p in root.iterdir() if (p / CONFIG).is_file())


def locate(source: str | Path) -> Path:
    """The folder of a run, or of the prior in the package of that name; ``InputError`` where there
    is neither.
    """
    path = Path(source)
    if not path.exists() and str(source) in priors():
        return Path(str(files("unfog"))) / "priors" / str(source)
    if not (path / CONFIG).is_file():
        shipped = ", ".join(priors()) or "none"
        raise InputError(
            f"{source} is not a run: there is no {CONFIG} in it; give a trained run's folder or "
            f"a shipped prior ({shipped})."
        )
    return path


def export(source: str | Path, out: Path) -> Path:
    """Write a training run's averaged weights and config as an exported run into the new folder
    ``out``, which is returned.
    """
    path = locate(source)
    if out.exists():
        raise InputError(f"{out} exists; choose another folder.")
    return write_run(out, _weights(path), load_config(path / CONFIG))


def write_run(out: Path, weights: Mapping[str, Tensor], config: Config) -> Path:
    """Write an exported run: weights, config and the manifest of both.

    Args:
        out: Its folder, which may be there already.
        weights: Averaged weights by name.
        config: What they are the weights of.

    Returns:
        The folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.contiguous() for name, value in weights.items()}
    write_bytes(out / WEIGHTS, safetensors.torch.save(tensors), overwrite=True)
    save_config(config, out / CONFIG)
    manifest = {name: _sha256(out / name) for name in (WEIGHTS, CONFIG)}
    write_json(out / MANIFEST, manifest, overwrite=True)
    return out


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _weights(path: Path) -> dict[str, Tensor]:
    """The averaged weights of a run's folder by name: of its newest checkpoint, or as exported."""
    if (path / "checkpoints").is_dir():
        return load_ema(path)
    if not (path / MANIFEST).is_file() or not (path / WEIGHTS).is_file():
        raise InputError(
            f"{path} holds neither checkpoints nor {WEIGHTS} with its {MANIFEST}; train it first."
        )
    for name, expected in json.loads(read_text(path / MANIFEST)).items():
        if _sha256(path / name) != expected:
            raise InputError(
                f"{name} in {path.name} is not as it was written (its SHA-256 differs); restore it."
            )
    return safetensors.torch.load_file(path / WEIGHTS)


def require_posterior_mean(run: Run) -> None:
    """``InputError`` for a distilled or consistency model: it gives samples, not E[x_0 | x_t],
    which restoration and inversion need.
    """
    name = run.config.get("objective", {}).get("name", "")
    if any(jumping in name for jumping in ("consistency", "adversarial")):
        raise InputError(
            f"{run.name} jumps to samples and knows no posterior mean, so it cannot restore or "
            "invert; use the run it was distilled from."
        )


def data_range(run: Run) -> tuple[float, float]:
    """The smallest and largest value of the data a run was trained on."""
    low, high = (float(run.codec.decode(torch.tensor(end))) for end in (-1.0, 1.0))
    return low, high
