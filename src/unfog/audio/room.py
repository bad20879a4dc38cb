r"""The response of a room from reverberant sound alone, by expectation maximisation.

The taps of a response h beside the direct sound, h_0 = 1, are independent and normal with an
exponentially decaying variance (Polack 1988),

    h_k ~ N(0, v_k),   v_k = a exp(-2 k / d),

and y = h * x + N(0, s^2), x a sound of a diffusion prior. Neither x, h, a nor d is known:

    E  draws x of the posterior given y and h, by the posterior methods that there are,
    M  h <- arg min |y - h * x|^2 / s^2 + sum_k h_k^2 / v_k over all draws,
       a and d by the energy and the mean delay of the taps.

Without noise such steps would stand still, since a draw explains y by the h that it was made with.
So s falls from half the sound's deviation to a tenth of it, and steps are over-relaxed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unfog.audio.reverberation import Reverberation, Taps
from unfog.audio.sounds.sound import Samples
from unfog.core.random import generator
from unfog.core.shapes import sum_per_sample
from unfog.errors import InputError
from unfog.physics.linear import conjugate_gradients
from unfog.posterior.methods import AUTO, posterior_denoiser
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.sampling.loop import solve

LONGEST = 0.4  # seconds of a response
WINDOWS = 6  # the loudest ones, from which it is learned
ITERATIONS = 12
NOISE = (0.5, 0.1)  # of the sound's deviation, first and last
RELAXED = 1.6  # of a step; below 2 expectation maximisation still converges
DECAYS = 60  # values of d that are tried

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Room:
    """What is known of a room.

    Args:
        taps: h, (channels, length); the first of each is 1.
        decay: d, in samples.
        noise: s, the deviation of what the response does not explain.
    """

    taps: Tensor
    decay: float
    noise: float

    @property
    def ratio(self) -> float:
        """The direct sound's energy over the reverberation's, in dB."""
        return -10 * math.log10(float(self.taps[:, 1:].square().sum(1).mean()))

    def time(self, rate: int) -> float:
        """The reverberation time in seconds, in which the response falls by 60 dB."""
        return math.log(1000) * self.decay / rate


def estimated_room(
    run: Run,
    plan: Plan,
    y: Tensor,
    length: int,
    *,
    iterations: int = ITERATIONS,
    method: str = AUTO,
    seed: int = 0,
    report: Progress | None = None,
) -> Room:
    """The room in which a sound was heard.

    Args:
        run: The prior of dry sounds, of one channel.
        plan: Sampler and times of a draw; few steps serve.
        y: Windows of the sound as the prior knows them, (channels, windows, samples).
        length: Taps, less than a window's samples.
        iterations: Of expectation maximisation.
        method: A posterior method by name, or "auto".
        seed: Of the draws.
        report: Told (iterations done, in all).

    Returns:
        The room.

    Raises:
        InputError: The response is as long as a window, or has no tap beside the first.
    """
    if not 2 <= length < y.shape[-1]:
        raise InputError(
            f"A room's response has 2 to {y.shape[-1] - 1} taps within this prior's windows, not "
            f"{length}; train on longer clips."
        )
    taps = torch.zeros(len(y), length)
    taps[:, 0] = 1
    k = torch.arange(length)
    # To begin with, as much energy in the tail as in the direct sound.
    decay, level = length / 4, math.sqrt(8 / length)
    first, last = (share * float(y.std()) for share in NOISE)
    for done in range(iterations):
        noise = first * (last / first) ** (done / max(1, iterations - 1))
        # E: draws of the dry sound, one a window.
        x = _draws(run, plan, y, taps, noise, method, (seed, done))
        # M: the taps, and then their variance.
        deviation = level * torch.exp(-k / decay)
        deviation[0] = 0
        new, variance = _fitted(x, y, deviation, noise)
        taps = taps + RELAXED * (new - taps)
        level, decay = _envelope(new.square() + variance)
        if report is not None:
            report(done + 1, iterations)
    return Room(taps, decay, last)


def loudest(blocks: Iterable[Samples], size: int, most: int = WINDOWS) -> Tensor:
    """The windows of largest power of a sound.

    Args:
        blocks: Of the sound, (channels, frames).
        size: Frames of a window; a shorter sound is followed by silence.
        most: Windows at most.

    Returns:
        (channels, windows, size), in the order of time.
    """
    found: list[tuple[float, int, Samples]] = []
    held: Samples | None = None
    number = 0
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], 1)
        while held.shape[1] >= size:
            window, held = held[:, :size], held[:, size:]
            heapq.heappush(found, (float(np.square(window).mean()), number, window.copy()))
            number += 1
            if len(found) > most:
                heapq.heappop(found)
    if not found:
        assert held is not None
        found = [(0.0, 0, np.pad(held, ((0, 0), (0, size - held.shape[1]))))]
    windows = [window for _, _, window in sorted(found, key=lambda one: one[1])]
    return torch.from_numpy(np.stack(windows, 1))


def _draws(
    run: Run,
    plan: Plan,
    y: Tensor,
    taps: Tensor,
    noise: float,
    method: str,
    seed: tuple[int, int],
) -> Tensor:
    """Draws of the dry sound given a response, shaped as y (channels, windows, samples)."""
    rows = taps.repeat_interleave(y.shape[1], 0)[:, None]
    operator = Reverberation(rows, inside=True)
    flat = y.reshape(-1, 1, y.shape[-1])
    denoiser = posterior_denoiser(run.denoiser, operator, operator.within(flat), noise, method)
    randomness = [generator(seed[0], "room", seed[1], n) for n in range(len(flat))]
    start = torch.stack([torch.randn(flat.shape[1:], generator=g) for g in randomness])
    start = start * run.denoiser.process.sigma(plan.grid[0]).float()
    return solve(denoiser, start, plan.grid, plan.sampler, randomness=randomness).view(y.shape)


def _fitted(x: Tensor, y: Tensor, deviation: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """The likeliest taps (channels, length) of windows x and y, and the variance of each were it
    apart from the others.
    """
    length = len(deviation)
    basis = Taps(x, deviation)
    rest = y - x
    rest[..., : length - 1] = 0
    u = conjugate_gradients(basis, rest, torch.tensor(noise**2), iterations=60, tolerance=1e-3)
    taps = (deviation * u)[:, 0]
    taps[:, 0] = 1
    power = sum_per_sample(x[..., length - 1 :].square())[:, None]
    v = deviation.square()
    return taps, v * noise**2 / (v * power + noise**2)


def _envelope(moment: Tensor) -> tuple[float, float]:
    """The level and the decay d, in samples, of taps beside the first with second moments m
    (channels, length): level^2 exp(-2 k / d) has their energy and their mean delay. Likelihood
    would look at ratios, and so at the weakest taps, of which least is known.
    """
    length = moment.shape[1]
    k, m = torch.arange(1, length).double(), moment[:, 1:].double().mean(0)
    d = length * torch.logspace(-1.5, 0.5, DECAYS, dtype=torch.float64)
    fall = torch.exp(-2 * k / d[:, None])
    delay = (fall @ k) / fall.sum(1)
    best = int((delay - (m @ k) / m.sum()).abs().argmin())
    return float((m.sum() / fall[best].sum()).sqrt()), float(d[best])
