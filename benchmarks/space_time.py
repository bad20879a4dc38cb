"""A training step of the space-time U-Net beside diffusers' UNet3DConditionModel.

    python benchmarks/space_time.py --out JSON

Both have the same widths, blocks, groups and heads, attention over space, tokens and time at the
same levels, and clips of the same size; steps are interleaved and measured in CPU seconds, peak
memory in a process of its own for each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
from record import write_record
from torch import Tensor, nn

import unfog
from unfog.core.conditioning import Context
from unfog.core.random import generator
from unfog.networks import SpaceTimeUNet
from unfog.runs.machine import FLAGS, processor

WIDTHS, GROUPS, HEAD, TOKENS = (64, 128, 128), 16, 32, 64
Call = Callable[[Tensor, Tensor], Tensor]  # (clips, tokens) -> output


def networks() -> dict[str, tuple[nn.Module, Call, torch.dtype]]:
    """Networks by name, how they are called, and what they compute in."""
    torch.manual_seed(0)
    ours = SpaceTimeUNet(
        4,
        4,
        channels=WIDTHS[0],
        multipliers=[width // WIDTHS[0] for width in WIDTHS],
        blocks=1,
        attention_levels=(0, 1),
        temporal_levels=(0, 1),
        head_dim=HEAD,
        groups=GROUPS,
        token_width=TOKENS,
    )
    theirs = diffusers.UNet3DConditionModel(
        sample_size=None,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock3D", "CrossAttnDownBlock3D", "DownBlock3D"),
        up_block_types=("UpBlock3D", "CrossAttnUpBlock3D", "CrossAttnUpBlock3D"),
        block_out_channels=WIDTHS,
        layers_per_block=1,
        norm_num_groups=GROUPS,
        cross_attention_dim=TOKENS,
        attention_head_dim=HEAD,
    )

    def call_ours(x: Tensor, tokens: Tensor) -> Tensor:
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        out: Tensor = ours(x, torch.ones(len(x)), Context(tokens=tokens, token_mask=mask))
        return out

    def call_theirs(x: Tensor, tokens: Tensor) -> Tensor:
        out: Tensor = theirs(x, torch.ones(len(x)), tokens).sample
        return out

    return {
        "diffusers, fp32": (theirs, call_theirs, torch.float32),
        "unfog, fp32": (ours, call_ours, torch.float32),
        "unfog, bf16": (ours, call_ours, torch.bfloat16),
    }


def one_step(model: nn.Module, call: Call, x: Tensor, tokens: Tensor, kind: torch.dtype) -> float:
    """CPU seconds of a forward and backward pass and one step of Adam."""
    optimiser = model.__dict__.setdefault("own_adam", torch.optim.Adam(model.parameters()))
    begun = time.process_time()
    with torch.autocast("cpu", kind, enabled=kind != torch.float32):
        out = call(x, tokens)
    (out.float() - x).square().mean().backward()
    optimiser.step()
    optimiser.zero_grad()
    return time.process_time() - begun


def inputs(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Clips and tokens."""
    g = generator(0, "step")
    shape = (options.batch, 4, options.frames, options.size, options.size)
    return torch.randn(shape, generator=g), torch.randn(options.batch, 8, TOKENS, generator=g)


def compared(options: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of interleaved steps, and peak memory."""
    x, tokens = inputs(options)
    models = networks()
    times: dict[str, list[float]] = {name: [] for name in models}
    for turn in range(options.repeats + 1):
        for name, (model, call, kind) in models.items():
            seconds = one_step(model, call, x, tokens, kind)
            if turn:  # the first warms up
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = medians["diffusers, fp32"]
    return {
        "clips": list(x.shape),
        "widths": WIDTHS,
        "parameters": {n: sum(p.numel() for p in m.parameters()) for n, (m, *_) in models.items()},
        "n": options.repeats,
        "threads": torch.get_num_threads(),
        "CPU seconds a step, median": {k: round(v, 3) for k, v in medians.items()},
        "over diffusers' fp32": {k: round(v / reference, 3) for k, v in medians.items()},
        "peak memory, GiB": {name: in_own_process(options, name) for name in models},
        "processor": [processor()["name"], *sorted(FLAGS & set(processor()["flags"] or ()))],
    }


def in_own_process(options: argparse.Namespace, name: str) -> float:
    """The peak memory of a network's steps, measured in a process that does nothing else."""
    sizes = [f"--{key}={getattr(options, key)}" for key in ("batch", "frames", "size")]
    command = [sys.executable, __file__, "--only", name, *sizes]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(answer)["peak"])


def memory_of(options: argparse.Namespace) -> None:
    """Print the peak of this process over two steps of one network, less what it had before."""
    from unfog.runs.memory_use import peak, reset_peak, resident

    x, tokens = inputs(options)
    model, call, kind = networks()[options.only]
    before = resident()
    reset_peak()
    for _ in range(2):
        one_step(model, call, x, tokens, kind)
    sys.stdout.write(json.dumps({"peak": round((peak() - before) / 2**30, 3)}))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.only is not None:
        memory_of(options)
        return
    write_record(compared(options), (unfog, torch, diffusers), options.out)


if __name__ == "__main__":
    main()
