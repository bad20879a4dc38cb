"""Few steps: what a distilled run loses against its teacher, on Fashion-MNIST.

    python benchmarks/distill.py --teacher RUN --work DIR --steps 2 --start RUN/OF/CONSISTENCY

Distils the run (or goes on with what is in the work folder), draws pictures from the teacher at 50
and at 2 calls and from the student at 1, 2 and 4, and writes FD-EffNetLite0 and KID of each against
half of the test pictures, with n and what as many pictures of the other half give: the floor. What
has been drawn is kept; sampling is in float32, one batch at a time.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unfog
from unfog.core.random import generator
from unfog.data.dataset import open_dataset
from unfog.evaluation.distances import compare
from unfog.evaluation.features import NAME, feature_network, image_features
from unfog.runs.distill import distill_run
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw

HALF = 5000


def distilled(options: argparse.Namespace) -> dict[str, Any]:
    """The student in the work folder, made unless it is there: its run and what it cost."""
    out, told = options.work / "student", options.work / "student.json"
    if not told.exists():
        begun, resume = time.process_time(), (out / "lock").exists()
        minutes = None if resume else options.minutes
        made = {} if resume else {"method": options.method, "start": options.start}
        result = distill_run(
            options.teacher,
            options.steps,
            out,
            [] if resume else options.set,
            resume=resume,
            minutes=minutes,
            **made,
        )
        write(
            told,
            {
                **result,
                "run": out.name,
                "cpu_seconds": round(time.process_time() - begun, 1),
                "resumed": resume,
            },
        )
    return dict(json.loads(told.read_text()))


def pictures(
    work: Path, name: str, run: Run, plan: Plan, images: int
) -> tuple[torch.Tensor, float]:
    """Pictures (n, 1, 28, 28) in [0, 1], drawn unless they are there, and the CPU seconds they
    took.
    """
    target = work / f"{name}-{images}.npz"
    if not target.exists():
        begun, drawn = time.process_time(), []
        for start in range(0, images, 50):
            drawn.append(draw(run, plan, range(start, min(start + 50, images)), batch=50))
            say(
                f"{name}: {start + len(drawn[-1])} of {images}, "
                f"{time.process_time() - begun:.0f} CPU s"
            )
        x = torch.cat(drawn).clamp(0, 255).round().to(torch.uint8).numpy()
        np.savez(target, x=x, cpu_seconds=time.process_time() - begun)
    found = np.load(target)
    return torch.from_numpy(found["x"]).float() / 255, round(float(found["cpu_seconds"]), 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--teacher", type=Path, required=True, help="a run trained on Fashion-MNIST"
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of all that is made on the way"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent / "results" / "distill.json"
    )
    parser.add_argument("--steps", type=int, default=2, help="sampling steps of the student")
    parser.add_argument("--method", default="adversarial", help="of distillation")
    parser.add_argument("--start", type=Path, help="an earlier student to start from")
    parser.add_argument(
        "--minutes", type=float, help="of distillation; training.steps says it otherwise"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the distillation",
    )
    parser.add_argument("--images", type=int, default=2000, help=f"at most {HALF}")
    parser.add_argument("--sampler", default="ddim", help="the teacher's")
    parser.add_argument("--grid", default="trailing", help="the teacher's")
    options = parser.parse_args()
    if not 2 <= options.images <= HALF:
        parser.error(f"--images is 2 to {HALF}")
    options.work.mkdir(parents=True, exist_ok=True)
    cost, teacher, student = (
        distilled(options),
        Run.open(options.teacher),
        Run.open(options.work / "student"),
    )
    plans = {
        f"teacher-{calls}": (teacher, Plan.of(teacher, options.sampler, calls, options.grid))
        for calls in (50, 2)
    }
    plans |= {f"student-{calls}": (student, Plan.of(student, steps=calls)) for calls in (1, 2, 4)}
    extractor, order = feature_network(), torch.randperm(2 * HALF, generator=generator(0, "halves"))
    test = open_dataset("fashion-mnist", split="test").batch(order)["x"] / 255
    reference, real = (
        image_features(x, extractor) for x in (test[:HALF], test[HALF : HALF + options.images])
    )
    results = {}
    for name, (run, plan) in plans.items():
        x, seconds = pictures(options.work, name, run, plan, options.images)
        found = asdict(compare(image_features(x, extractor), reference, real))
        results[name] = {"sampling": dict(plan.names), "cpu_seconds": seconds, "distances": found}
        frechet, floor = found["frechet"], found["frechet_floor"]
        say(
            f"{name}: n {options.images}, {NAME} {frechet:.2f} (floor {floor:.2f}), KID "
            f"{found['kid']['value']:.5f}"
        )
    ratio = (
        results["student-2"]["distances"]["frechet"] / results["teacher-50"]["distances"]["frechet"]
    )
    versions = {module.__name__: module.__version__ for module in (unfog, torch)} | {
        "python": platform.python_version()
    }
    known = {
        "feature_distance": NAME,
        "reference": f"{HALF} test pictures; floor: other test pictures",
        "versions": versions,
    }
    config = {
        name: student.config[name]
        for name in ("teacher", "start", "prediction", "objective", "training")
        if name in student.config
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write(
        options.out,
        {
            **known,
            "student": {**cost, **config},
            "student-2 over teacher-50": ratio,
            "results": results,
        },
    )
    say(f"student-2 over teacher-50: {ratio:.3f}")


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
