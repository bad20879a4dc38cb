"""The stages of DDM^2 (``unfog.dmri.denoising.ddm2``)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.random import generators
from unfog.core.shapes import expand
from unfog.data.dataset import Dataset, Ids, fingerprint
from unfog.runs.build import build
from unfog.sampling.grids import uniform
from unfog.sampling.loop import solve
from unfog.sampling.samplers import samplers
from unfog.systems.common import conditions, training, unet
from unfog.systems.registry import Config
from unfog.training.loop import train
from unfog.training.objectives.denoising import Objective
from unfog.training.objectives.times import Stratified
from unfog.training.order import streams
from unfog.training.settings import TrainSettings


@dataclass(frozen=True)
class Settings:
    """``steps`` of training in each stage, in batches of ``batch`` slices; ``down``, steps of the
    reverse process by ``sampler``.
    """

    steps: int = 2000
    batch: int = 8
    channels: int = 24
    down: int = 20
    sampler: str | Mapping[str, Any] = "ddim"
    seed: int = 0


class Slices(Dataset):
    """Slices y (Z, volumes, H, W) of one scan, the ``others`` nearest to each volume (volumes, k),
    where it is ``inside`` (Z, H, W), and the first stage's answer, once there is one.
    """

    def __init__(
        self, y: Tensor, nearest: NDArray[np.int64], inside: Tensor, first: Tensor | None = None
    ) -> None:
        self.y, self.nearest, self.inside, self.first = y, torch.from_numpy(nearest), inside, first
        self.name, self.shape, self.codec = "one scan", (1, *y.shape[2:]), {"name": "identity"}
        self.conditions = (
            {"others": {"name": "spatial", "channels": nearest.shape[1]}} if first is None else {}
        )
        self.fingerprint = fingerprint(
            {"y": y.numpy(), "inside": inside.numpy()}, {"first": first is not None}
        )

    def __len__(self) -> int:
        return self.y.shape[0] * self.y.shape[1]

    def batch(self, ids: Ids) -> dict[str, Tensor]:
        k = torch.as_tensor(np.asarray(ids, dtype=np.int64))
        z, volume = k // self.y.shape[1], k % self.y.shape[1]
        found = {"x": self.y[z, volume][:, None], "inside": self.inside[z][:, None].float()}
        if self.first is None:
            return found | {"others": self.y[z[:, None], self.nearest[volume]]}
        return found | {"first": self.first[z, volume][:, None]}


def recipe(dataset: Dataset, settings: Settings, level: float) -> Config:
    """Of both networks: EDM up to a noise ``level``, for data of standard deviation .5; the first
    is told of the others.
    """
    network = unet(
        dataset,
        settings.channels,
        multipliers=[1, 2],
        blocks=1,
        attention_levels=[],
        middle_attention=False,
        groups=8,
    )
    return {
        "system": "ddm2",
        "shape": list(dataset.shape),
        "codec": dict(dataset.codec),
        "label": {"name": "log-sigma"},
        "network": network,
        "process": {"name": "edm", "sigma_max": level},
        "prediction": {"name": "edm", "sigma_data": 0.5},
        "conditions": conditions(dataset, drop=0.0),
        "training": training(
            steps=settings.steps,
            batch=settings.batch,
            lr=1e-3,
            warmup=min(100, settings.steps // 10),
            betas=[0.9, 0.99],
            seed=settings.seed,
            checkpoint_every=settings.steps,
        ),
    }


def from_others(
    denoiser: NetworkDenoiser,
    batch: Mapping[str, Tensor],
    samples: Sequence[int],
    seed: int,
    step: int,
) -> Tensor:
    """The first stage's objective: the squared error of Phi (batch,)."""
    return _error(first_answer(denoiser, batch["others"]), batch)


def first_answer(denoiser: NetworkDenoiser, others: Tensor) -> Tensor:
    """Phi (batch, 1, H, W) of the ``others`` (batch, k, H, W), whose mean is a noisy look at y: the
    state at t = 1.
    """
    mean: Tensor = denoiser(
        others.mean(1, keepdim=True), torch.ones((), dtype=torch.float64), others=others
    ).mean
    return mean


@dataclass(frozen=True)
class Shuffled:
    """The third stage's objective."""

    uniforms: Stratified = field(default_factory=Stratified)

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        t = self.uniforms(seed, step, samples)
        alpha, sigma = denoiser.scales(t)
        residual = batch["x"] - batch["first"]
        noise = torch.stack(
            [
                _drawn(*pair)
                for pair in zip(
                    residual, batch["inside"], streams("shuffle", seed, step, samples), strict=True
                )
            ]
        )
        return _error(
            denoiser(expand(alpha, noise) * batch["first"] + expand(sigma, noise) * noise, t).mean,
            batch,
        )


def _drawn(residual: Tensor, inside: Tensor, source: torch.Generator) -> Tensor:
    """One of the residuals inside for each pixel (1, H, W), of mean 0 and deviation 1."""
    values = residual[inside > 0]
    values = (values - values.mean()) / values.std().clamp(min=1e-12)
    return values[torch.randint(len(values), residual.shape, generator=source).to(values.device)]


def _error(found: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """Mean squares over the voxels inside, (batch,)."""
    squares = batch["inside"] * (found - batch["x"]).square()
    return squares.flatten(1).sum(1) / batch["inside"].flatten(1).sum(1)


def _trained(
    config: Config, objective: Objective, dataset: Slices, told: Callable[[], None]
) -> NetworkDenoiser:
    denoiser = build(config).denoiser
    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainSettings.of(config["training"])
        train(
            denoiser,
            objective,
            dataset,
            None,
            settings,
            Path(scratch) / "run",
            config,
            callback=lambda *_: told(),
        )
    return denoiser.cpu().eval().requires_grad_(False)


def first_stage(
    dataset: Slices, settings: Settings, told: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """Phi of every slice, its mean that of y, and the deviation of y from it in each plane (Z,)."""
    off = (dataset.y[:, dataset.nearest].mean(2) - dataset.y).movedim(1, -1)[dataset.inside]
    phi, found, levels = (
        _trained(recipe(dataset, settings, float(off.std())), from_others, dataset, told),
        [],
        [],
    )
    volumes = dataset.y.shape[1]
    for z, (y, inside) in enumerate(zip(dataset.y, dataset.inside, strict=True)):
        answer = first_answer(phi, dataset.batch(range(z * volumes, (z + 1) * volumes))["others"])[
            :, 0
        ]
        residual = (y - answer)[:, inside]
        found.append(answer + residual.mean(1)[:, None, None])
        levels.append(residual.std(1).square().mean().sqrt())
        told()
    return torch.stack(found), torch.stack(levels).double()


def third_stage(
    dataset: Slices, levels: Tensor, settings: Settings, told: Callable[[], None]
) -> Tensor:
    """Every slice taken from its state down to 0."""
    sampler, found = samplers.build(settings.sampler), []
    denoiser = _trained(recipe(dataset, settings, float(levels.max())), Shuffled(), dataset, told)
    for z, (y, level) in enumerate(zip(dataset.y, levels, strict=True)):
        state = float(denoiser.process.t_of_noise_level(level).clamp(max=1.0))
        x = y[:, None] * denoiser.process.alpha(torch.tensor(state, dtype=torch.float64)).float()
        sources = generators(settings.seed, range(z * len(y), (z + 1) * len(y)), "ddm2")
        found.append(
            solve(
                denoiser,
                x,
                uniform(state)(denoiser.process, settings.down),
                sampler,
                randomness=sources,
            )[:, 0]
        )
        told()
    return torch.stack(found)
