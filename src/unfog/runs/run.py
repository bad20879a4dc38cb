"""A run: a trained model in a folder, opened by its path, or a prior in the package, by its
name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.core.codec import Codec
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.known import Known
from unfog.core.space import PLAIN, Space
from unfog.errors import InputError
from unfog.runs.build import build
from unfog.runs.folder import (
    fit_weights,
    load_weights,
    locate,
    run_card,
    run_config,
    weights_sha256,
)
from unfog.runs.joint_codec import JointEncoderCodec
from unfog.runs.kept import kept
from unfog.runs.latent_codecs import AutoencoderCodec
from unfog.runs.machine import network_in, resolve
from unfog.runs.tiny_codec import TinyCodec
from unfog.systems.registry import Config

CODECS = (
    AutoencoderCodec,
    JointEncoderCodec,
    TinyCodec,
)  # with weights; their import has registered them

if TYPE_CHECKING:
    from unfog.runs.restore import Restored


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
        return kept(("run", path.resolve()), lambda: cls._read(path))

    @classmethod
    def _read(cls, path: Path) -> Run:
        # Verified, parsed, and only then built.
        config, weights, card = run_config(path), load_weights(path), run_card(path)
        parts = build(config, sum(tensor.numel() for tensor in weights.values()))
        fit_weights(parts.denoiser, weights, path.name)
        parts.denoiser.eval().requires_grad_(False)
        return cls(path, config, parts.denoiser, parts.codec, parts.shape, card, parts.space)

    def in_precision(self, precision: str) -> Run:
        """The run with its network in "bf16", "fp32" or the faster one of both ("auto"); where a
        sample is small, that is fp32.
        """
        chosen = resolve(precision, math.prod(self.latent_shape[1:]))
        if chosen == self.precision:
            return self
        return replace(self, denoiser=network_in(self.denoiser, chosen), precision=chosen)

    def told(self, **values: Tensor) -> Run:
        """The run with values of conditions, each a batch of one, that hold wherever a caller gives
        none: such as the sides of the voxels at hand.
        """
        own = self.denoiser
        known = NetworkDenoiser(
            own.network,
            own.process,
            own.prediction,
            own.label,
            Known(own.conditioner, values),
            own.variance,
        )
        return replace(self, denoiser=known.train(own.training))

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Of a sample as the network sees it, (channels, *space)."""
        return self.codec.latent_shape(self.shape)

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

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from unfog.runs.notebook import run_html

        return run_html(self)

    @property
    def weights_sha256(self) -> str:
        """The SHA-256 of the weights: their names, types, shapes and bytes, whatever file they lie
        in.
        """
        return weights_sha256(self.denoiser.state_dict())


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


def require_pixels(run: Run, what: str, remedy: str) -> None:
    """``InputError`` for a run in a latent space, where pixels cannot be reached one by one."""
    if not run.codec.affine:
        raise InputError(
            f"{run.name} works in a latent space, and {what} is done pixel by pixel; {remedy}."
        )


class Drawing(Protocol):
    """What any run has that draws samples, a denoiser's or a generator's."""

    @property
    def config(self) -> Config: ...

    @property
    def codec(self) -> Codec: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def name(self) -> str: ...


def data_range(run: Drawing) -> tuple[float, float]:
    """The smallest and largest value of the data a run was trained on; of vectors a deviation below
    the least mean and one above the largest.
    """
    ends = torch.tensor([[-1.0], [1.0]]).expand(2, run.shape[0])
    low, high = run.codec.scale.decode(ends)
    return float(low.min()), float(high.max())
