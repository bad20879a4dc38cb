"""A vocoder on held-out speech beside Griffin and Lim's method; its speed beside plain DiffWave.

    python benchmarks/vocoder.py RUN --clips 50 --sampler auto --out JSON

Both make sounds of the same spectrograms. Griffin and Lim's method is librosa's: non-negative least
squares for the magnitudes, 60 turns. Of each clip the multi-resolution STFT distance, PESQ
(narrow-band and, at 16 kHz, wide-band) and STOI are told, with 95 % intervals of their means and of
the difference by clip. The real-time factor is that of one core: CPU seconds a second of sound,
ours as it is asked for, and DiffWave BASE in plain PyTorch, fp32, in its 6 steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from pesq import NoUtterancesError, pesq
from plain_diffwave import PlainDiffWave, vocoded
from pystoi import stoi
from record import write_record
from sound_clips import held_out_clips, interval
from torch import Tensor

import unfog
from unfog.audio.inversion import mel_scale_of, vocode
from unfog.audio.mel import MelScale
from unfog.audio.metrics import stft_distance
from unfog.audio.workflows.sample import rate_of
from unfog.builtin import open_run
from unfog.runs.machine import processor
from unfog.runs.sample import Plan

TURNS = 60
SHORT = 1e-5  # what pystoi says of clips with too little speech


def griffin_lim(scale: MelScale, m: np.ndarray, samples: int) -> np.ndarray:
    """A sound of a log-mel spectrogram (bands, frames) by librosa."""
    mel = scale.of_log(torch.from_numpy(m).double()).numpy()
    magnitudes = librosa.util.nnls(scale.filters.numpy(), mel)
    norm = float(torch.hann_window(scale.window, dtype=torch.float64).norm())
    # One frame more covers the last samples.
    whole = np.concatenate([magnitudes, magnitudes[:, -1:]], 1) * norm
    return librosa.griffinlim(
        whole,
        n_iter=TURNS,
        hop_length=scale.hop,
        win_length=scale.window,
        n_fft=scale.window,
        length=samples,
        random_state=0,
    )


def scores(x: Tensor, true: Tensor, rate: int) -> dict[str, list[float]]:
    """The measures of every clip; PESQ only where it finds speech."""
    found: dict[str, list[float]] = {"STFT distance": stft_distance(x, true).tolist()}
    bands: list[tuple[str, Callable[..., float]]] = [("PESQ narrow-band", nearest("nb"))]
    if rate == 16_000:
        bands.append(("PESQ wide-band", nearest("wb")))
    rows = [(a[0].numpy(), b[0].numpy()) for a, b in zip(x, true, strict=True)]
    for name, measure in bands:
        found[name] = [measure(rate, b, a) for a, b in rows]
    heard = [float(stoi(b, a, rate)) for a, b in rows]
    found["STOI"] = [one if one > SHORT else float("nan") for one in heard]
    return found


def nearest(mode: str) -> Callable[..., float]:
    """PESQ of a band, not a number where it hears no speech."""

    def measure(rate: int, reference: np.ndarray, degraded: np.ndarray) -> float:
        try:
            return float(pesq(rate, reference, degraded, mode))
        except NoUtterancesError:
            return float("nan")

    return measure


def compared(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> dict[str, Any]:
    """Means with intervals, and of the differences by clip."""
    out = {}
    for name in ours:
        a, b = (torch.tensor(scores[name]) for scores in (ours, theirs))
        both = a.isfinite() & b.isfinite()
        a, b = a[both], b[both]
        out[name] = {
            "clips": len(a),
            "ours": interval(a),
            "Griffin-Lim": interval(b),
            "difference": interval(a - b),
        }
    return out


def timed(make: Callable[[], object], seconds: float, times: int = 3) -> float:
    """CPU seconds a second of sound, the fastest of some."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        make()
        found.append((time.process_time() - begun) / seconds)
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--clips", type=int, default=50)
    parser.add_argument("--frames", type=int, default=8_192)
    parser.add_argument("--sampler", help="such as auto, for the run's calibrated solver")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = open_run(options.run).in_precision(options.precision)
    rate, scale = rate_of(run), mel_scale_of(run)
    plan = Plan.of(run, options.sampler, options.steps)
    x = held_out_clips(options.clips, options.frames, rate)
    m = scale.log_mel(x[:, 0])
    ours = vocode(run, m, options.frames, plan)
    theirs = np.stack([griffin_lim(scale, one.numpy(), options.frames) for one in m])
    of_theirs = torch.from_numpy(theirs)[:, None].float()
    seconds = options.frames / rate
    plain = PlainDiffWave().eval()
    factors = {
        "ours": timed(lambda: vocode(run, m[:1], options.frames, plan), seconds),
        "DiffWave BASE, plain PyTorch, 6 steps": timed(
            lambda: vocoded(plain, m[:1], options.frames), seconds
        ),
    }
    figures = {
        "processor": processor(),
        "run": {"system": run.config["system"], "steps": run.config["training"]["steps"]},
        "sampling": dict(plan.names),
        "precision": run.precision,
        "frames": options.frames,
        "measures": compared(scores(ours, x, rate), scores(of_theirs, x, rate)),
        "parameters of plain DiffWave": sum(p.numel() for p in plain.parameters()),
        "CPU seconds a second of sound": factors,
        "ratio": factors["ours"] / factors["DiffWave BASE, plain PyTorch, 6 steps"],
    }
    told = {name: version(name) for name in ("librosa", "pesq", "pystoi")}
    write_record(figures, (unfog, torch), options.out, **told)


if __name__ == "__main__":
    main()
