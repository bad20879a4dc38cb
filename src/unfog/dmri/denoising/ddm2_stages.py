"""The stages of DDM^2 (``unfog.dmri.denoising.ddm2``): the scan as training data, the objective of
each network, and what each stage answers.
"""

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
from unfog.runs.machine import AUTO, resolve
from unfog.sampling.grids import uniform
from unfog.sampling.loop import solve
from unfog.sampling.samplers import samplers
from unfog.systems.common import conditions, convolutional_unet, training
from unfog.systems.registry import Config
from unfog.training.loop import train
from unfog.training.objectives.denoising import Objective
from unfog.training.objectives.times import Stratified
from unfog.training.order import streams
from unfog.training.settings import TrainSettings


@dataclass(frozen=True)
class Settings:
    """Training and sampling of DDM^2.

    ``steps`` of training in each stage, in batches of ``batch`` slices; ``channels`` of the
    networks at full resolution; ``down`` steps of the reverse process by ``sampler``; ``seed`` of
    everything drawn.
    """

    steps: int = 2000
    batch: int = 8
    channels: int = 24
    down: int = 20
    sampler: str | Mapping[str, Any] = "ddim"
    seed: int = 0


class Slices(Dataset):
    """The slices of one scan as a dataset, one sample for each slice of each weighted volume.

    Without ``first`` a sample also holds the neighbours that predict it (stage 1), with ``first``
    the answer of the first stage (stage 3).

    Args:
        y: (Z, volumes, H, W), the weighted volumes.
        nearest: (volumes, k), the volumes that predict each one.
        inside: (Z, H, W), the voxels that count.
        first: (Z, volumes, H, W), the answer of the first stage, once there is one.
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
        values = {"x": self.y[z, volume][:, None], "inside": self.inside[z][:, None].float()}
        if self.first is None:
            return values | {"others": self.y[z[:, None], self.nearest[volume]]}
        return values | {"first": self.first[z, volume][:, None]}


def recipe(dataset: Dataset, settings: Settings, level: float) -> Config:
    """The configuration of either network: an EDM U-Net for data of standard deviation .5; that of
    the first stage sees the other volumes as input channels.

    Args:
        dataset: The slices to train on.
        settings: Steps, batch, width and seed.
        level: The highest noise level, sigma_max.

    Returns:
        The configuration that ``unfog.runs.build.build`` takes.
    """
    network = convolutional_unet(
        dataset,
        settings.channels,
        multipliers=[1, 2],
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
            precision=resolve(AUTO),
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
    """The objective of the first stage, |Phi(others) - y|^2.

    Args:
        denoiser: The network Phi.
        batch: Of ``Slices`` without a first answer.
        samples: Unused, as nothing is drawn.
        seed: Unused.
        step: Unused.

    Returns:
        (batch,), the mean square over the voxels inside.
    """
    return _error(first_answer(denoiser, batch["others"]), batch)


def first_answer(denoiser: NetworkDenoiser, others: Tensor) -> Tensor:
    """Phi (batch, 1, H, W) of the ``others`` (batch, k, H, W).

    Their mean is a noisy estimate of y, so the network gets it as the state at t = 1.
    """
    mean: Tensor = denoiser(
        others.mean(1, keepdim=True), torch.ones((), dtype=torch.float64), others=others
    ).mean
    return mean


@dataclass(frozen=True)
class Shuffled:
    """The objective of the third stage (Xiang et al. 2023), with noise shuffled from the residuals:

        |D(alpha Phi + sigma n) - y|^2,   n drawn from among (y - Phi) / s.

    ``uniforms`` draws the times t.
    """

    uniforms: Stratified = field(default_factory=Stratified)

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The mean square over the voxels inside, (batch,)."""
        t = self.uniforms(seed, step, samples)
        alpha, sigma = denoiser.scales(t)
        residual = batch["x"] - batch["first"]
        # n: shuffled residuals, from a random stream for each sample.
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
    """Noise (1, H, W) drawn with replacement from the residuals inside, at mean 0 and
    deviation 1.
    """
    values = residual[inside > 0]
    values = (values - values.mean()) / values.std().clamp(min=1e-12)
    return values[torch.randint(len(values), residual.shape, generator=source).to(values.device)]


def _error(estimate: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    """The mean square of ``estimate`` - y over the voxels inside, (batch,)."""
    squares = batch["inside"] * (estimate - batch["x"]).square()
    return squares.flatten(1).sum(1) / batch["inside"].flatten(1).sum(1)


def _trained(
    config: Config, objective: Objective, dataset: Slices, callback: Callable[[], None]
) -> NetworkDenoiser:
    """A new network, trained on ``dataset`` and then moved to the CPU; ``callback`` is called after
    every step.
    """
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
            callback=lambda *_: callback(),
        )
    return denoiser.cpu().eval().requires_grad_(False)


def first_stage(
    dataset: Slices, settings: Settings, callback: Callable[[], None]
) -> tuple[Tensor, Tensor]:
    """Train Phi, and estimate every slice by its neighbours; ``callback`` counts training steps and
    slices.

    Args:
        dataset: The slices, without a first answer.
        settings: Training.
        callback: Called after every step of training and every slice.

    Returns:
        Phi (Z, volumes, H, W), of the same mean as y inside, and the deviation s (Z,) of y - Phi.
    """
    # The noise level of the neighbours' mean, as an estimate of y.
    off = (dataset.y[:, dataset.nearest].mean(2) - dataset.y).movedim(1, -1)[dataset.inside]
    phi = _trained(recipe(dataset, settings, float(off.std())), from_others, dataset, callback)
    estimates, levels = [], []
    volumes = dataset.y.shape[1]
    for z, (y, inside) in enumerate(zip(dataset.y, dataset.inside, strict=True)):
        others = dataset.batch(range(z * volumes, (z + 1) * volumes))["others"]
        answer = first_answer(phi, others)[:, 0]
        residual = (y - answer)[:, inside]
        # Correct the mean; s is the root mean square over the slice's volumes.
        estimates.append(answer + residual.mean(1)[:, None, None])
        levels.append(residual.std(1).square().mean().sqrt())
        callback()
    return torch.stack(estimates), torch.stack(levels).double()


def third_stage(
    dataset: Slices, levels: Tensor, settings: Settings, callback: Callable[[], None]
) -> Tensor:
    """Train D, and take every slice from its matched state down to 0 by the reverse process.

    Args:
        dataset: The slices, with the first stage's answer.
        levels: (Z,), the deviation s of each slice.
        settings: Training and sampling.
        callback: Called after every step of training and every slice.

    Returns:
        The denoised slices, (Z, volumes, H, W).
    """
    sampler, estimates = samplers.build(settings.sampler), []
    denoiser = _trained(
        recipe(dataset, settings, float(levels.max())), Shuffled(), dataset, callback
    )
    for z, (y, level) in enumerate(zip(dataset.y, levels, strict=True)):
        # The matched state: x_t* = alpha(t*) y at the time where sigma / alpha = s.
        state = float(denoiser.process.t_of_noise_level(level).clamp(max=1.0))
        x = y[:, None] * denoiser.process.alpha(torch.tensor(state, dtype=torch.float64)).float()
        sources = generators(settings.seed, range(z * len(y), (z + 1) * len(y)), "ddm2")
        grid = uniform(state)(denoiser.process, settings.down)
        estimates.append(solve(denoiser, x, grid, sampler, randomness=sources)[:, 0])
        callback()
    return torch.stack(estimates)
