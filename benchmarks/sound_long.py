"""A long sound restored window by window: memory, time, and whether seams show.

    python benchmarks/sound_long.py RUN --minutes 10 --task denoise --out JSON

Held-out speech, one recording after another, in white noise. The energy of second differences of
the mean within 8 samples of where windows meet, over that elsewhere, beside how the same ratio
varies at other offsets within a window, where there is nothing to be seen.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from record import write_record
from sound_clips import held_out_clips

import unfog
from unfog.audio.metrics import seam_energy
from unfog.audio.sounds import read_sound
from unfog.audio.sounds.files import Writer
from unfog.audio.workflows.restore import Asked, restore_sound
from unfog.audio.workflows.sample import rate_of
from unfog.builtin import open_run
from unfog.runs.machine import processor

NOISE = 0.03  # full scale being 1
CLIPS = 100
OFFSETS = 15  # others than the seams'


def written(path: Path, seconds: float, rate: int) -> None:
    """A file of noisy speech, clip after clip."""
    frames = rate // 2
    x = held_out_clips(CLIPS, frames, rate).numpy()
    randomness = np.random.default_rng(0)
    with Writer(path, rate, 1, "PCM_16") as write:
        for k in range(round(2 * seconds)):
            noise = NOISE * randomness.standard_normal((1, frames)).astype(np.float32)
            write(x[k % len(x)] + noise)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--task", default="denoise", choices=["denoise", "dereverb"])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = open_run(options.run)
    rate, half = rate_of(run), run.shape[-1] // 2
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "long.wav", Path(folder) / "out"
        written(path, 60 * options.minutes, rate)
        begun, cpu = time.perf_counter(), time.process_time()
        asked = Asked(samples=options.draws, steps=options.steps)
        restore_sound(options.run, path, options.task, out, asked)
        wall, spent = time.perf_counter() - begun, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        files = {name: read_sound(out / f"{name}.wav") for name in ("mean", "sample-00")}
    figures = {}
    for name, sound in files.items():
        x = torch.from_numpy(sound.samples[0])
        ratios = [
            seam_energy(x, list(range(half + shift, len(x) - 16, half)))
            for shift in range(0, half, half // (OFFSETS + 1))
        ]
        others = ratios[1:]
        figures[name] = {
            "seams": ratios[0],
            "other offsets": {"mean": float(np.mean(others)), "deviation": float(np.std(others))},
        }
    figures = {
        "processor": processor(),
        "task": options.task,
        "minutes": options.minutes,
        "steps": options.steps,
        "draws": options.draws,
        "window": run.shape[-1],
        "peak_gib": peak,
        "seconds": wall,
        "cpu_seconds": spent,
        "energy of second differences": figures,
    }
    write_record(figures, (unfog, torch), options.out)


if __name__ == "__main__":
    main()
