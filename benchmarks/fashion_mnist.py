"""Fashion-MNIST: what a budget of CPU seconds buys, with `unfog train ddpm` and with diffusers' own
recipe.

    python benchmarks/fashion_mnist.py all --work DIR
    # probe, then train, sample and score each contestant
    python benchmarks/fashion_mnist.py train ours --work DIR
    # or stage by stage; what is done already is skipped

The U-Net is the same to the last parameter, as are the batch and the CPU seconds of training (of
the process, all its threads). Interleaved timed steps give each contestant the number of steps that
uses the budget. diffusers trains as its unconditional example does (AdamW 1e-4, betas .95 and .999,
warm-up 500, cosine, EMA with its own warm-up) on pictures held in memory. Distances are from one
half of the test pictures; the other half gives the real-against-real floor.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel

import unfog
from unfog.core.random import generator
from unfog.data.dataset import open_dataset
from unfog.evaluation.distances import compare
from unfog.evaluation.features import NAME, feature_network, image_features
from unfog.progress import progress
from unfog.runs.build import build
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.train import configure, objective_of, train_config
from unfog.training.feed import Feed
from unfog.training.learner import Learner
from unfog.training.order import ids
from unfog.training.settings import TrainSettings

CHANNELS, MULTIPLIERS, BLOCKS, GROUPS, BATCH = 32, (1, 2, 2), 1, 8, 32
CONTESTANTS = {"ours": "bf16", "diffusers": "fp32", "diffusers-bf16": "bf16"}  # and their precision
SETTINGS = [
    f"network.channels={CHANNELS}",
    f"network.multipliers={list(MULTIPLIERS)}",
    f"network.blocks={BLOCKS}",
    f"network.groups={GROUPS}",
    "network.attention_levels=[2]",
    f"training.batch={BATCH}",
    "training.lr=1e-3",
    "training.warmup=200",
    "training.ema_power=12",
]
OUR_SAMPLERS = {"dpmpp-2m": "trailing"}  # and their grids
# the second clips x_0, its default
PEER_SAMPLERS: dict[str, Options] = {"DPMSolverMultistepScheduler": {}, "DDIMScheduler": {}}
PROBE_STEPS = 12

Options = dict[str, Any]


def our_config(steps: int) -> tuple[Options, Any]:
    """`unfog train ddpm --data fashion-mnist`, unconditional, and its data set."""
    dataset = open_dataset("fashion-mnist")
    config = configure(
        "ddpm", dataset, {"name": "fashion-mnist"}, [*SETTINGS, f"training.steps={steps}"]
    )
    config["training"]["warmup"] = min(config["training"]["warmup"], steps // 4)
    config["conditions"] = {}
    return config, dataset


def our_steps(config: Options, dataset: Any) -> Iterator[float]:
    """The steps of unfog's training one at a time, without its checkpoints: the loss of each."""
    settings, parts, objective = (
        TrainSettings.of(config["training"]),
        build(config),
        objective_of(config),
    )
    device = torch.device("cpu")
    learner, feed = (
        Learner(parts.denoiser, settings, device),
        Feed(dataset, None, parts.codec, settings, device),
    )
    for step in range(1, settings.steps + 1):
        batch, chosen = feed(step)
        update = learner.update(
            lambda b=batch, c=chosen, s=step: objective(learner.model, b, c, settings.seed, s),
            settings.lr,
        )
        yield update.loss


def peer_network() -> diffusers.UNet2DModel:
    """UNet2DModel as the same network: attention at the last level and in the middle, one head."""
    down = ["DownBlock2D"] * (len(MULTIPLIERS) - 1) + ["AttnDownBlock2D"]
    up = [kind.replace("Down", "Up") for kind in reversed(down)]
    return diffusers.UNet2DModel(
        sample_size=28,
        in_channels=1,
        out_channels=1,
        layers_per_block=BLOCKS,
        block_out_channels=[CHANNELS * m for m in MULTIPLIERS],
        down_block_types=down,
        up_block_types=up,
        norm_num_groups=GROUPS,
        attention_head_dim=None,
    )


def peer_steps(
    network: torch.nn.Module, average: EMAModel, precision: str, steps: int, lr: float
) -> Iterator[float]:
    """The training loop of diffusers' unconditional example: the loss of each step."""
    pictures = open_dataset("fashion-mnist").batch(range(60_000))["x"] / 127.5 - 1
    scheduler = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=lr, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
    )
    rate = get_scheduler(
        "cosine", optimizer, num_warmup_steps=min(500, steps // 4), num_training_steps=steps
    )
    for step in range(1, steps + 1):
        x = pictures[ids(0, step, BATCH, len(pictures))]
        noise, t = torch.randn_like(x), torch.randint(0, 1000, (BATCH,))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            out = network(scheduler.add_noise(x, noise, t), t).sample
        loss = torch.nn.functional.mse_loss(out.float(), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        average.step(network.parameters())
        yield loss.item()


def new_peer() -> tuple[diffusers.UNet2DModel, EMAModel]:
    torch.manual_seed(0)
    network = peer_network()
    return network, EMAModel(
        network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75
    )


def probe(work: Path, options: argparse.Namespace) -> None:
    """Median CPU seconds a step, interleaved, and from them the number of steps of each
    contestant.
    """
    asked = {
        "budget_cpu_seconds": 120 * options.minutes,
        "threads": options.threads,
        "calls": options.calls,
        "images": options.images,
        "peer_lr": options.peer_lr,
    }
    if (work / "plan.json").exists():
        plan = read(work / "plan.json")
        if asked.items() <= plan.items() and set(options.contestants) <= set(plan["steps"]):
            return
        raise SystemExit("The plan in the work folder has other options; choose another folder.")
    config, dataset = our_config(10**6)
    peers = {name: new_peer() for name in options.contestants if name != "ours"}
    runs = {
        name: peer_steps(*peer, CONTESTANTS[name], 10**6, options.peer_lr)
        for name, peer in peers.items()
    }
    if "ours" in options.contestants:
        runs["ours"] = our_steps(config, dataset)
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(PROBE_STEPS + 2):  # the first two allocate
        for name, run in runs.items():
            begun = time.process_time()
            next(run)
            spent[name].append(time.process_time() - begun)
    rates = {name: statistics.median(values[2:]) for name, values in spent.items()}
    ours, theirs = (
        sum(p.numel() for p in network.parameters())
        for network in (build(config).denoiser.network, peer_network())
    )
    if abs(ours / theirs - 1) > 0.01:
        raise SystemExit(f"The networks differ: {ours} and {theirs} parameters.")
    steps = {
        name: max(4, int(asked["budget_cpu_seconds"] / seconds)) for name, seconds in rates.items()
    }
    write(
        work / "plan.json",
        {
            **asked,
            "parameters": {"ours": ours, "diffusers": theirs},
            "cpu_seconds_per_step": rates,
            "steps": steps,
        },
    )


def train(work: Path, name: str) -> None:
    """Train one contestant for its number of steps."""
    plan, begun = read(work / "plan.json"), time.process_time()
    if (work / name / "train.json").exists():
        return
    steps, out = plan["steps"][name], work / name / "run"
    shutil.rmtree(
        out, ignore_errors=True
    )  # a run that was cut off starts afresh: its CPU seconds would not be known
    with progress(steps) as callback:
        if name == "ours":
            config, dataset = our_config(steps)
            loss, recipe = (
                train_config(config, dataset, out, callback=callback).loss,
                config["training"],
            )
        else:
            loss, recipe = (
                train_peer(out, CONTESTANTS[name], steps, plan["peer_lr"], callback),
                {"lr": plan["peer_lr"]},
            )
    cost = {
        "cpu_seconds": round(time.process_time() - begun, 1),
        "steps": steps,
        "batch": BATCH,
        "last_loss": loss,
    }
    write(work / name / "train.json", {**cost, "precision": CONTESTANTS[name], "recipe": recipe})


def train_peer(
    out: Path, precision: str, steps: int, lr: float, callback: Callable[[int, float, float], None]
) -> float:
    """Train diffusers' network and save its averaged weights."""
    network, average = new_peer()
    begun, loss = time.perf_counter(), float("nan")
    for step, loss in enumerate(peer_steps(network, average, precision, steps, lr), 1):
        callback(step, loss, step / (time.perf_counter() - begun))
    average.copy_to(network.parameters())
    network.save_pretrained(out)
    return loss


def sample(work: Path, name: str) -> None:
    """Draw the pictures of one contestant with each of its samplers, as bytes; one batch at a time,
    in its training precision.
    """
    plan = read(work / "plan.json")
    for sampler in OUR_SAMPLERS if name == "ours" else PEER_SAMPLERS:
        target = work / name / f"{sampler}.npy"
        if target.exists():
            continue
        begun = time.process_time()
        draw_some = (
            our_draw(work, sampler, plan["calls"])
            if name == "ours"
            else peer_draw(work, name, sampler, plan["calls"])
        )
        chunks = []
        for start in range(0, plan["images"], 50):
            with (
                torch.inference_mode(),
                torch.autocast("cpu", torch.bfloat16, enabled=CONTESTANTS[name] == "bf16"),
            ):
                chunks.append(draw_some(range(start, min(start + 50, plan["images"]))))
            say(f"{name} {sampler} {start}, {time.process_time() - begun:.0f} CPU s")
        pictures = torch.cat(chunks).clamp(0, 255).round().to(torch.uint8).numpy()
        write(
            work / name / f"{sampler}.json",
            {"cpu_seconds": round(time.process_time() - begun, 1), "calls": plan["calls"]},
        )
        np.save(work / "partial.npy", pictures)
        (work / "partial.npy").rename(target)


Draw = Callable[[Sequence[int]], torch.Tensor]


def our_draw(work: Path, sampler: str, calls: int) -> Draw:
    run = Run.open(work / "ours" / "run")
    plan = Plan.of(run, sampler, calls, OUR_SAMPLERS[sampler])
    return lambda some: draw(run, plan, list(some), batch=len(some))


def peer_draw(work: Path, name: str, sampler: str, calls: int) -> Draw:
    network = diffusers.UNet2DModel.from_pretrained(
        work / name / "run", low_cpu_mem_usage=False
    ).eval()
    config = diffusers.DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear").config

    def some_pictures(some: Sequence[int]) -> torch.Tensor:
        scheduler = getattr(diffusers, sampler).from_config(config, **PEER_SAMPLERS[sampler])
        scheduler.set_timesteps(calls)
        x = torch.randn(len(some), 1, 28, 28, generator=generator(0, "peer", some[0]))
        for t in scheduler.timesteps:
            x = scheduler.step(network(x, t).sample.float(), t, x).prev_sample
        return 127.5 * (x + 1)

    return some_pictures


def score(work: Path, out: Path) -> None:
    """Distances of every set of pictures that was drawn, and the floor, as one JSON file."""
    plan, extractor = read(work / "plan.json"), feature_network()
    order = torch.randperm(10_000, generator=generator(0, "halves"))
    test = open_dataset("fashion-mnist", split="test").batch(order)["x"] / 255
    count = min(plan["images"], 5000)
    reference, real = (
        image_features(x, extractor) for x in (test[:5000], test[5000 : 5000 + count])
    )
    results = []
    for path in sorted(work.glob("*/*.npy")):
        name, sampler = path.parent.name, path.stem
        generated = torch.from_numpy(np.load(path)[:count]).float() / 255
        found = asdict(compare(image_features(generated, extractor), reference, real))
        cost = {
            "sampling": read(path.with_suffix(".json")),
            "training": read(path.parent / "train.json"),
        }
        results.append({"contestant": name, "sampler": sampler, "distances": found, **cost})
        say(
            f"{name} {sampler}: {NAME} {found['frechet']:.2f} (floor "
            f"{found['frechet_floor']:.2f}), KID {found['kid']['value']:.5f}"
        )
    versions = {module.__name__: module.__version__ for module in (unfog, diffusers, torch)} | {
        "python": platform.python_version()
    }
    command = (
        f"python benchmarks/fashion_mnist.py all --minutes {plan['budget_cpu_seconds'] / 120:g}"
    )
    ours = " ".join(
        [
            "unfog train ddpm --data fashion-mnist (without conditions)",
            *(f"--set '{s}'" for s in SETTINGS),
        ]
    )
    known = {
        "command": command,
        "ours": ours,
        "feature_distance": NAME,
        "reference": "5000 test pictures; floor: other test pictures",
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write(out, {**known, "versions": versions, "plan": plan, "results": results})


def everything(work: Path, options: argparse.Namespace) -> None:
    """Every stage, each in a process of its own."""
    stages = [
        ["probe"],
        *([stage, name] for name in options.contestants for stage in ("train", "sample")),
        ["score"],
    ]
    passed = [
        f"--{key.replace('_', '-')}={value}"
        for key, value in vars(options).items()
        if key not in ("stage", "contestant", "contestants")
    ]
    for stage in stages:
        say(" ".join(stage))
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
        command = [sys.executable, __file__, *stage, *passed, "--contestants", *options.contestants]
        subprocess.run(command, env=environment, check=True)


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def read(path: Path) -> Any:
    if not path.exists():
        raise SystemExit(
            f"{path.name} is not there yet; run the stages in order: probe, train, sample, score."
        )
    return json.loads(path.read_text())


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["probe", "train", "sample", "score", "all"])
    parser.add_argument(
        "contestant", nargs="?", choices=list(CONTESTANTS), help="for train and sample"
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of all that is made on the way"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "fashion_mnist.json"
    )
    parser.add_argument(
        "--minutes", type=float, default=20, help="training budget of each, in minutes of two cores"
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--calls", type=int, default=20, help="network calls of a sample")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--peer-lr", type=float, default=1e-4, help="diffusers' learning rate, if not its recipe's"
    )
    parser.add_argument(
        "--contestants", nargs="+", choices=list(CONTESTANTS), default=["ours", "diffusers"]
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.stage in ("train", "sample"):
        if options.contestant is None:
            parser.error(f"{options.stage} needs a contestant: {', '.join(CONTESTANTS)}")
        (options.work / options.contestant).mkdir(exist_ok=True)
        {"train": train, "sample": sample}[options.stage](options.work, options.contestant)
    else:
        {"probe": probe, "all": everything}.get(options.stage, lambda work, o: score(work, o.out))(
            options.work, options
        )


if __name__ == "__main__":
    main()
