"""Sounds of any length restored in half-overlapping windows, block by block and without a seam.

Neighbouring windows begin from the same noise where they overlap: each half window has its own, by
(seed, draw, number). So a deterministic sampler draws nearly the same there, and what is left of a
difference is faded from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unfog.audio.damage import NOISE, Damage, Place
from unfog.audio.sounds.sound import Samples
from unfog.core.random import generator
from unfog.posterior.methods import AUTO, posterior_denoiser
from unfog.runs.restore import posterior_mean
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.sampling.loop import solve

LAST = 4e-4  # noise of the last step but one


def times_for(damage: Damage) -> dict[str, float | str]:
    """The grid of a restoration's times: from noise that covers what is not known and hardly more,
    since the covariance that a network states is wrong by a share of the noise's variance.
    """
    return {"name": "karras", "sigma_max": damage.widest, "sigma_min": LAST}


@dataclass(frozen=True)
class Windows:
    """Restores windows of a run's own length.

    Args:
        run: The prior, of one channel.
        plan: Sampler and times.
        damage: What happened to the sound.
        sigma: The noise's deviation, on the model's scale.
        factor: Samples restored for each one measured.
        samples: Draws.
        method: A posterior method by name, or "auto".
        seed: Draw k depends on (seed, k) alone.
    """

    run: Run
    plan: Plan
    damage: Damage
    sigma: float
    factor: int = 1
    samples: int = 4
    method: str = AUTO
    seed: int = 0

    @property
    def half(self) -> int:
        """Half a window, in restored samples."""
        return self.run.shape[-1] // 2 // self.factor * self.factor

    def restored(self, blocks: Iterable[Samples], total: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The sound, restored.

        Args:
            blocks: Of what was measured, (channels, frames), on the model's scale.
            total: Frames measured in all.

        Yields:
            Mean (channels, n) and draws (samples, channels, n), piece by piece.
        """
        half = self.half
        before: Tensor | None = None  # what the window before says of this one's first half
        past: Tensor | None = None
        fade = ((torch.arange(half) + 0.5) / half).float()
        count = max(1, -(-total * self.factor // half) - 1)
        for number, y in enumerate(_overlapping(blocks, half // self.factor, count)):
            left = total - number * (half // self.factor)
            place = Place(number * half, number == 0, number == count - 1, left, past)
            both = self._window(y, number, place)
            # The first half fades in over what the window before left.
            out = both[..., :half]
            if before is not None:
                out = fade * out + (1 - fade) * before
            before = both[..., half:]
            past = out[1:].reshape(-1, 1, half)
            yield _cut(out, total * self.factor - number * half)
        assert before is not None
        yield _cut(before, total * self.factor - count * half)

    def _window(self, y: Tensor, number: int, place: Place) -> Tensor:
        """The mean and the draws of one window, (1 + samples, channels, samples of it)."""
        channels = len(y)
        stack = y[:, None].repeat(self.samples, 1, 1)
        measured, operator = self.damage.measure(stack, place)
        denoiser = posterior_denoiser(
            self.run.denoiser, operator, measured, self.sigma, self.method
        )
        x = self._noise(channels, number)
        x = x * self.run.denoiser.process.sigma(self.plan.grid[0]).float()
        x = x + self.damage.begin(stack, place)
        randomness = [
            generator(self.seed, "restore", k, c, number, "steps")
            for k in range(self.samples)
            for c in range(channels)
        ]
        drawn = solve(denoiser, x, self.plan.grid, self.plan.sampler, randomness=randomness)
        kept = self.damage.consistent(drawn, stack, place)
        draws = kept.reshape(self.samples, channels, -1)
        if self.damage is NOISE and self.method == AUTO:
            mean = posterior_mean(self.run, y[:, None], self.sigma)[:, 0]
        else:
            mean = draws.mean(0)
        return torch.cat([mean[None], draws])

    def _noise(self, channels: int, number: int) -> Tensor:
        """(samples * channels, 1, window): the noise of two half windows side by side."""

        def half(k: int, c: int, n: int) -> Tensor:
            return torch.randn(self.half, generator=generator(self.seed, "restore", k, c, n))

        rows = [
            torch.cat([half(k, c, number), half(k, c, number + 1)])
            for k in range(self.samples)
            for c in range(channels)
        ]
        return torch.stack(rows)[:, None]


def _overlapping(blocks: Iterable[Samples], half: int, count: int) -> Iterator[Tensor]:
    """Windows (channels, 2 half) of a sound, each half a window after the one before; the last is
    filled up with zeros.
    """
    held: Samples | None = None
    given = 0
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], 1)
        while held.shape[1] >= 2 * half and given < count - 1:
            yield torch.from_numpy(held[:, : 2 * half].copy())
            held, given = held[:, half:], given + 1
    while held is not None and given < count:
        window = np.zeros((len(held), 2 * half), np.float32)
        part = held[:, : 2 * half]
        window[:, : part.shape[1]] = part
        yield torch.from_numpy(window)
        held, given = held[:, half:], given + 1


def _cut(both: Tensor, left: int) -> tuple[Tensor, Tensor]:
    """Mean and draws, without what lies after the sound's end."""
    both = both[..., : max(0, left)]
    return both[0], both[1:]
