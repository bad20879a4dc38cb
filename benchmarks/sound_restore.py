"""Restored speech beside other methods: noise, gaps and clipping, of held-out speakers.

    python benchmarks/sound_restore.py RUN --clips 50 --out JSON

Noise at 0 to 15 dB: SI-SDR of the mean, of spectral gating (noisereduce) and of Wiener filters
(scipy, in time with the best of its windows and by spectrum), all told the noise's level. Gaps of
50 ms and clipping: the ratio of signal to error where samples are lost, of the mean, of cubic
splines (scipy) and of autoregressive interpolation (statsmodels: Burg's coefficients, Kalman's
smoother, estimated anew twice); where the sign of an error is known, all keep to it. Of 19 draws a
true value lies between the least and the largest 90 times of 100, if the draws are right: the
share is counted over `--drawn` clips.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import noisereduce
import numpy as np
import scipy
import statsmodels
import torch
from record import write_record
from scipy.interpolate import CubicSpline
from scipy.signal import istft, stft, wiener
from sound_clips import held_out_clips, interval
from statsmodels.regression.linear_model import burg
from statsmodels.tsa.statespace.sarimax import SARIMAX
from torch import Tensor

import unfog
from unfog.audio import damage
from unfog.audio.metrics import si_sdr
from unfog.audio.windows import Windows, times_for
from unfog.audio.workflows.sample import rate_of
from unfog.builtin import open_run
from unfog.runs.machine import processor
from unfog.runs.restore import posterior_mean
from unfog.runs.run import Run
from unfog.runs.sample import Plan

LEVELS = (0, 5, 10, 15)  # dB
DRAWS = 19  # between whose extremes 18 values of 20 lie
GAP = 0.05  # seconds
CLIPPED = 0.3  # of the peak
ORDER = 32  # of autoregressive interpolation
ROUNDS = 3


@dataclass(frozen=True)
class Setting:
    """The prior, the steps of its draws, and the clips."""

    run: Run
    steps: int
    x: Tensor
    drawn: int

    def draws(self, kind: damage.Damage, y: Tensor, sigma: float, samples: int) -> Tensor:
        """Draws (samples, clips, frames) of one window each, clips as if they were channels."""
        plan = Plan.of(self.run, None, self.steps, times_for(kind))
        windows = Windows(self.run, plan, kind, sigma, samples=samples)
        pieces = windows.restored([y[:, 0].numpy()], y.shape[-1])
        return torch.cat([draws for _, draws in pieces], -1)


def coverage(draws: Tensor, x: Tensor, where: Tensor) -> float:
    """How often x (clips, 1, frames) lies between the extremes of draws, where it is asked."""
    inside = (x[:, 0] >= draws.amin(0)) & (x[:, 0] <= draws.amax(0))
    return float(inside[where[:, 0]].double().mean())


def denoised(s: Setting, level: float) -> dict[str, Any]:
    """SI-SDR of every method at a ratio of signal to noise in dB."""
    rate, figures = rate_of(s.run), {}
    power = s.x.square().mean((1, 2)).sqrt()
    sigma = float(power.mean()) * 10 ** (-level / 20)
    # Each clip scaled so that all have the same noise.
    x = s.x * (power.mean() / power)[:, None, None]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    y = x + sigma * noise
    alone = sigma * torch.randn(x.shape[-1], generator=torch.Generator().manual_seed(2)).numpy()
    methods: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "spectral gating (noisereduce)": lambda v: noisereduce.reduce_noise(
            v, rate, y_noise=alone, stationary=True
        ),
        "Wiener by spectrum (scipy.signal.stft)": lambda v: by_spectrum(v, sigma),
    }
    for size in (3, 5, 9, 17):
        methods[f"wiener {size} (scipy)"] = lambda v, size=size: wiener(v, size, sigma**2)
    begun = time.process_time()
    mean = posterior_mean(s.run, y, sigma)
    figures["CPU seconds a clip, mean"] = (time.process_time() - begun) / len(x)
    figures["noisy"], figures["ours"] = (interval(si_sdr(v, x)) for v in (y, mean))
    for name, method in methods.items():
        out = np.stack([method(v.astype(float)) for v in y[:, 0].numpy()])[:, None]
        figures[name] = interval(si_sdr(torch.from_numpy(np.nan_to_num(out)), x))
    n = s.drawn
    figures["coverage of 90 %"] = coverage(
        s.draws(damage.NOISE, y[:n], sigma, DRAWS), x[:n], torch.ones_like(x[:n], dtype=torch.bool)
    )
    return figures


def by_spectrum(y: np.ndarray, sigma: float) -> np.ndarray:
    """Wiener's filter of each cell of a spectrogram, the sound's power being what is more than the
    noise's in the mean of its neighbours.
    """
    _, _, s = stft(y, nperseg=512, noverlap=384)
    window = np.hanning(513)[:-1]
    noise = sigma**2 * np.square(window).sum() / window.sum() ** 2
    power = scipy.ndimage.uniform_filter(np.abs(s) ** 2, 3)
    _, out = istft(s * np.maximum(power - noise, 0) / power, nperseg=512, noverlap=384)
    return np.asarray(out[: len(y)])


def cubic(y: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """A cubic spline through what is there."""
    at, out = np.arange(len(y)), y.copy()
    out[lost] = CubicSpline(at[~lost], y[~lost])(at[lost])
    return np.clip(out, -2, 2)


def autoregressive(y: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """The mean of an autoregressive sound given what is there, its coefficients from the last
    estimate; a straight line first.
    """
    at, out = np.arange(len(y)), y.copy()
    out[lost] = np.interp(at[lost], at[~lost], y[~lost])
    seen = np.where(lost, np.nan, y)
    for _ in range(ROUNDS):
        coefficients, variance = burg(out, ORDER)
        model = SARIMAX(seen, order=(ORDER, 0, 0), trend="n")
        smoothed = model.smooth(np.append(coefficients, max(variance, 1e-9)))
        out[lost] = smoothed.smoothed_state[0][lost]  # the sound is the first of the states
    return np.clip(out, -2, 2)


def lost_power(estimate: Tensor, x: Tensor, lost: Tensor) -> list[float]:
    """The ratio of signal to error in dB where samples are lost, of each clip."""
    error = ((estimate - x).square() * lost).sum((1, 2)).clamp(min=1e-12)
    return (10 * ((x.square() * lost).sum((1, 2)) / error).log10()).tolist()


def filled(
    s: Setting, kind: damage.Damage, y: Tensor, lost: Tensor, beyond: float | None
) -> dict[str, Any]:
    """Every method where samples are lost.

    Args:
        s: The setting.
        kind: What happened.
        y: What was measured.
        lost: Where.
        beyond: The level at which values are clipped; None for gaps.
    """
    begun = time.process_time()
    draws = s.draws(kind, y, kind.least, DRAWS)
    spent = (time.process_time() - begun) / len(y)
    found = {"ours": draws.mean(0)[:, None]}
    for name, method in (("cubic spline (scipy)", cubic), ("AR (statsmodels)", autoregressive)):
        pairs = zip(y[:, 0].numpy(), lost[:, 0].numpy(), strict=True)
        rows = [method(a.astype(float), b) for a, b in pairs]
        found[name] = torch.from_numpy(np.stack(rows))[:, None].float()
    if beyond is not None:
        for name, v in found.items():
            kept = y.sign() * (y.sign() * v).clamp(min=beyond)
            found[name] = torch.where(lost, kept, y)
    figures: dict[str, Any] = {
        name: interval(lost_power(v, s.x[: len(y)], lost)) for name, v in found.items()
    }
    figures["as measured"] = interval(lost_power(y, s.x[: len(y)], lost))
    figures["coverage of 90 %"] = coverage(draws, s.x[: len(y)], lost)
    return {**figures, "CPU seconds a clip, 19 draws": spent}


def gaps(s: Setting, clips: int) -> dict[str, Any]:
    """Gaps of 50 ms in the middle of clips."""
    frames, width = s.x.shape[-1], round(GAP * rate_of(s.run))
    silent = np.zeros(frames, bool)
    silent[(frames - width) // 2 :][:width] = True
    lost = torch.from_numpy(silent).expand(clips, 1, -1)
    x = s.x[:clips]
    return filled(s, damage.gaps(silent), torch.where(lost, 0.0, x), lost, None)


def clipping(s: Setting, clips: int) -> dict[str, Any]:
    """Clips of one peak, clipped at a share of it."""
    x = s.x[:clips]
    x = 0.9 * x / x.abs().amax((1, 2), keepdim=True)
    level = 0.9 * CLIPPED
    lost = x.abs() >= level
    y = x.clamp(-level, level)
    return filled(replace(s, x=x), damage.clipping(level), y, lost, level)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--filled", type=int, default=50, help="clips with gaps, and clipped")
    parser.add_argument("--drawn", type=int, default=8, help="noisy clips of which are drawn")
    parser.add_argument("--frames", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    opened = open_run(options.run)
    run = replace(opened, shape=(1, options.frames))
    x = held_out_clips(options.clips, options.frames, rate_of(run))
    s = Setting(run, options.steps, x, options.drawn)
    figures = {
        "processor": processor(),
        "run": {"steps": run.config["training"]["steps"], "shape": run.config["shape"]},
        "clips": {"noisy": len(x), "filled": options.filled, "drawn": options.drawn},
        "frames": options.frames,
        "steps": options.steps,
        "noise, SI-SDR in dB": {f"{level} dB": denoised(s, level) for level in LEVELS},
        "gaps of 50 ms, signal to error in dB": gaps(s, options.filled),
        "clipping at .3 of the peak, signal to error in dB": clipping(s, options.filled),
    }
    told = {"noisereduce": version("noisereduce")}
    write_record(figures, (unfog, torch, scipy, statsmodels), options.out, **told)


if __name__ == "__main__":
    main()
