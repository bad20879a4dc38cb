"""What a step of a sampler costs beside its network: microseconds a step with a network that costs
nothing, beside diffusers' schedulers, on 16 x 3 x 32 x 32.

    python benchmarks/sampler_arithmetic.py --out benchmarks/results/sampler_arithmetic.json

Both are given a fixed output that stands for the noise, on the same table of 1000 steps, and go
down the same 50 times, in turn, ``--repeats`` times; process CPU time, medians. The first round is
left out: what is made once a grid is made there. Where noise is drawn, one generator draws it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import diffusers
import torch
from record import write_record
from torch import Tensor, nn

import unfog
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import time_label
from unfog.core.prediction import Noise
from unfog.core.process import ddpm_linear
from unfog.runs.machine import processor
from unfog.sampling.grids import grids
from unfog.sampling.loop import solve
from unfog.sampling.samplers import samplers

SHAPE, STEPS = (16, 3, 32, 32), 50
PAIRS: dict[str, tuple[str, Callable[[], object]]] = {
    "DDIM": ("ddim", lambda: diffusers.DDIMScheduler(clip_sample=False)),
    "DPM-Solver++(2M)": ("dpmpp-2m", lambda: diffusers.DPMSolverMultistepScheduler()),
    "UniPC": ("unipc", lambda: diffusers.UniPCMultistepScheduler(solver_order=3)),
    "DDPM": ("ddpm", lambda: diffusers.DDPMScheduler(clip_sample=False)),
}


class Free(nn.Module):
    """A network that costs nothing: always the same output."""

    def __init__(self, out: Tensor) -> None:
        super().__init__()
        self.out = out

    def forward(self, x: Tensor, label: Tensor, context: object) -> Tensor:
        return self.out


def ours(sampler: str, x: Tensor, out: Tensor) -> Callable[[], Tensor]:
    process = ddpm_linear()
    denoiser = NetworkDenoiser(Free(out), process, Noise(), time_label())
    grid, method = grids.build("trailing")(process, STEPS), samplers.build(sampler)
    return lambda: solve(denoiser, x, grid, method, randomness=torch.Generator().manual_seed(0))


def theirs(make: Callable[[], object], x: Tensor, out: Tensor) -> Callable[[], Tensor]:
    scheduler = make()

    def run() -> Tensor:
        state, generator = x, torch.Generator().manual_seed(0)
        scheduler.set_timesteps(STEPS)
        noisy = {"generator": generator} if isinstance(scheduler, diffusers.DDPMScheduler) else {}
        for t in scheduler.timesteps:
            scheduler.scale_model_input(state, t)  # what the network would be given
            state = scheduler.step(out, t, state, **noisy)[0]
        return state

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1)
    x, out = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    table = {}
    for name, (sampler, make) in PAIRS.items():
        pair = {"unfog": ours(sampler, x, out), "diffusers": theirs(make, x, out)}
        times: dict[str, list[float]] = {who: [] for who in pair}
        for _ in range(options.repeats + 1):
            for who, run in pair.items():
                begun = time.process_time()
                run()
                times[who].append((time.process_time() - begun) / STEPS * 1e6)
        row = {who: round(statistics.median(each[1:]), 1) for who, each in times.items()}
        table[name] = {**row, "ratio": round(row["unfog"] / row["diffusers"], 3)}
        table[name]["first round"] = round(times["unfog"][0], 1)
    # What two products and a sum cost, the least that a step can.
    begun = time.process_time()
    for _ in range(2000):
        torch.add(0.3 * x, out, alpha=0.2)
    least = round((time.process_time() - begun) / 2000 * 1e6, 1)
    figures = {
        "shape": SHAPE,
        "steps": STEPS,
        "repeats": options.repeats,
        "threads": 1,
        "processor": processor(),
        "microseconds a step": table,
        "microseconds of a x + b y": least,
    }
    write_record(figures, (unfog, torch, diffusers), options.out)


if __name__ == "__main__":
    main()
