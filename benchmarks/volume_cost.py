"""What training on volumes takes: a step beside MONAI's, and what a dry run foretells.

    pip install --no-deps --target peers/monai monai==1.6.1 einops==0.8.2
    python benchmarks/volume_cost.py step --peers peers/monai --out JSON
    python benchmarks/volume_cost.py estimate --out JSON

``step``: training steps of the 3-D U-Net and of MONAI's DiffusionModelUNet of the same channels,
blocks, groups and attention, interleaved; peak memory of each in a process of its own.
``estimate``: what ``train --dry-run`` foretells of samples of 96^3 from smaller ones, beside what
it measures, and what it foretells of 192^3.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from record import write_record
from torch import Tensor, nn

import unfog
from unfog.core.random import generator
from unfog.networks.unet import UNet
from unfog.runs.machine import FLAGS, processor

SIDE = 64


# --- step

# Both have attention in the middle, at the lowest resolution, and nowhere else.
CHANNELS, MULTIPLIERS, GROUPS, HEAD = 32, (1, 2, 2), 16, 32


def step(options: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of training steps, interleaved, and peak memory in processes of their own."""
    if options.only is not None:
        return memory_of(options)
    batch = torch.randn(1, 1, *(options.size,) * 3, generator=generator(0, "step"))
    models = networks(options)
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(options.repeats + 1):
        for name, (model, precision) in models.items():
            seconds = one_step(model, batch, precision)
            if turn:  # the first warms up
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = medians["MONAI, fp32"]
    return {
        "size": options.size,
        "channels": [CHANNELS * m for m in MULTIPLIERS],
        "parameters": {
            name: sum(p.numel() for p in m.parameters()) for name, (m, _) in models.items()
        },
        "n": options.repeats,
        "threads": torch.get_num_threads(),
        "CPU seconds a step, median": {k: round(v, 3) for k, v in medians.items()},
        "over MONAI's fp32": {k: round(v / reference, 3) for k, v in medians.items()},
        "peak memory, GiB": {name: in_own_process(options, name) for name in models},
        "processor": [processor()["name"], *sorted(FLAGS & set(processor()["flags"] or ()))],
    }


def networks(options: argparse.Namespace) -> dict[str, tuple[nn.Module, torch.dtype]]:
    """Networks of one size by name, and the precision each computes in."""
    sys.path.insert(0, str(options.peers))
    from monai.networks.nets import DiffusionModelUNet

    torch.manual_seed(0)
    ours = UNet(
        1,
        1,
        dims=3,
        channels=CHANNELS,
        multipliers=MULTIPLIERS,
        blocks=1,
        attention_levels=(),
        head_dim=HEAD,
        groups=GROUPS,
        modulation="add",
    )
    monai = DiffusionModelUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        num_res_blocks=1,
        channels=[CHANNELS * m for m in MULTIPLIERS],
        attention_levels=[False] * len(MULTIPLIERS),
        norm_num_groups=GROUPS,
        num_head_channels=HEAD,
    )
    return {
        "MONAI, fp32": (monai, torch.float32),
        "unfog, fp32": (ours, torch.float32),
        "unfog, bf16": (ours, torch.bfloat16),
    }


def one_step(model: nn.Module, x: Tensor, precision: torch.dtype) -> float:
    """CPU seconds of a forward and backward pass and one step of Adam."""
    optimiser = model.__dict__.setdefault("own_adam", torch.optim.Adam(model.parameters()))
    begun = time.process_time()
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        out = model(x, torch.ones(len(x)))
    (out.float() - x).square().mean().backward()
    optimiser.step()
    optimiser.zero_grad()
    return time.process_time() - begun


def memory_of(options: argparse.Namespace) -> dict[str, Any]:
    """The peak of this process over three steps of one network, less what it had before."""
    from unfog.runs.memory_use import peak, reset_peak, resident

    model, precision = networks(options)[options.only]
    batch = torch.randn(1, 1, *(options.size,) * 3)
    before = resident()
    reset_peak()
    for _ in range(3):
        one_step(model, batch, precision)
    return {"GiB": round((peak() - before) / 2**30, 3)}


def in_own_process(options: argparse.Namespace, name: str) -> float:
    """``memory_of`` a network, in a fresh process."""
    line = [sys.executable, __file__, "step", "--peers", str(options.peers)]
    line += ["--size", str(options.size), "--only", name]
    told = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return float(json.loads(told)["GiB"])


# --- estimate


def estimate(options: argparse.Namespace) -> dict[str, Any]:
    """What a dry run foretells of 96^3 and what it measures, and what it foretells of 192^3."""
    return {f"{side}^3": dry_run(side) for side in (64, 96, 192)}


def dry_run(side: int) -> dict[str, Any]:
    data = {"dims": 3, "size": side, "split": "validation"}
    line = ["unfog", "train", "volume-prior", "--data", "random-field", "--dry-run", "--json"]
    for key, value in data.items():
        line += ["--set", f"data.{key}={value}"]
    line += ["--set", "training.batch=1"]
    told = subprocess.run(
        [sys.executable, "-m", *line], check=True, capture_output=True, text=True
    ).stdout
    found: dict[str, Any] = {"command": " ".join(line), **json.loads(told)}
    return found


PARTS = {"step": step, "estimate": estimate}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--peers", type=Path, default=None)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=SIDE)
    parser.add_argument("--only", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    write_record(PARTS[options.part](options), (unfog, torch), options.out)


if __name__ == "__main__":
    main()
