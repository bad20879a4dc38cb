"""Distil a run into one that samples in a few steps.

The student is the teacher's network with the teacher's averaged weights, or those of an earlier
student, trained on the teacher's data into N segments for N steps:
``training.objectives.adversarial``, or ``training.objectives.consistency``. Where the teacher's
output says nothing of x_0 at the noisy end (noise and score) the student predicts v, which is the
same thing at the clean end (Salimans & Ho 2022), or flow where the process lets the variance grow.
The new run's config holds the SHA-256 of the teacher's weights, and a resumed distillation takes no
others.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unfog.core.process import VariancePreserving
from unfog.core.registry import Registry
from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.progress import training_progress
from unfog.runs.config import apply_overrides, load_config
from unfog.runs.run import CONFIG, Run
from unfog.runs.train_from_config import rate, train_config
from unfog.systems.common import training
from unfog.systems.consistency import sampling
from unfog.systems.registry import Config

SYSTEM, MOST_STEPS, SCALE = "distilled", 16, 0.5
KNOTS = 8  # in all: as many midpoint steps of the teacher come as near to its flow as 50 of DDIM
NEEDED = ("data", "augment", "training")  # sections that a run which was not trained here may lack
KEPT = ("batch", "seed", "precision")  # of the teacher's training

Sections = tuple[Config, Config]  # objective, training
methods: Registry[Sections] = Registry("method of distillation")


@methods.register("adversarial")
def adversarial(steps: int, blind: bool, before: Config) -> Sections:
    """Told from real pictures in the teacher's features; may end better than the teacher."""
    objective = {"name": "adversarial-distillation", "segments": steps, "scale": SCALE}
    changes = {
        "steps": 2000,
        "lr": 2e-4,
        "warmup": 50,
        "decay": "constant",
        "betas": [0.0, 0.99],
        "ema": 0.995,
        "ema_power": 10.0,
        "head_rate": 5.0,
    }
    return objective, training(**changes, **{key: before[key] for key in KEPT if key in before})


@methods.register("consistency")
def consistency(steps: int, blind: bool, before: Config) -> Sections:
    """Lands where the teacher's probability flow lands; a ``blind`` teacher is not asked at t = 1
    (``TeacherFlowFromData``).
    """
    knots = max(2, -(-KNOTS // steps))
    objective = {
        "name": "consistency-distillation",
        "segments": steps,
        "knots": knots,
        "reach": knots,
        "scale": SCALE,
        "huber": 0.01,
    }
    objective["descent"] = "flow-from-data" if blind else "flow"
    kept = {key: before[key] for key in ("lr", *KEPT) if key in before}
    return objective, training(**{"steps": 2000, "warmup": 50, "ema_power": 12.0, **kept})


def configure(
    teacher: Run, steps: int, overrides: Sequence[str] = (), method: str = "adversarial"
) -> Config:
    """The config of a student for ``steps`` sampling steps, ``overrides`` (``key=value``)
    applied.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise InputError(f"A run is distilled into 1 to {MOST_STEPS} steps, not {steps}.")
    lacking = [name for name in NEEDED if name not in teacher.config]
    if lacking:
        raise InputError(
            f"The config of {teacher.name} has no section {lacking[0]!r}, without which its "
            "student cannot be trained."
        )
    config = copy.deepcopy(teacher.config)
    blind = config["prediction"]["name"] in ("noise", "score")
    if blind:
        config["prediction"] = {
            "name": "v" if isinstance(teacher.denoiser.process, VariancePreserving) else "flow"
        }
    if config["network"].get("dropout"):
        config["network"]["dropout"] = 0.0  # the target is a function, not a sample
    objective, settings = methods.build(method, steps=steps, blind=blind, before=config["training"])
    changes = {
        "system": SYSTEM,
        "objective": objective,
        "sampling": sampling(steps, steps, SCALE),
        "training": settings,
        "teacher": {"run": teacher.name, "sha256": teacher.weights_sha256},
    }
    config = apply_overrides({**config, **changes}, overrides)
    chosen = config["objective"]
    config["sampling"] = {
        **config["sampling"],
        **sampling(chosen["segments"], config["sampling"]["steps"], chosen["scale"]),
    }
    return config


def distill_run(
    source: str | Path,
    steps: int,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    method: str = "adversarial",
    start: str | Path | None = None,
    resume: bool = False,
    minutes: float | None = None,
) -> dict[str, Any]:
    """``unfog distill``: the new run's folder, its teacher, its last step and loss, and the time it
    took.
    """
    if resume and minutes is not None:
        raise InputError("A resumed run has its number of steps already; leave out --minutes.")
    if resume and start is not None:
        raise InputError("A resumed run goes on from its own weights; leave out --start.")
    teacher = Run.open(source)
    config = (
        _resumed(out, teacher, steps, overrides)
        if resume
        else configure(teacher, steps, overrides, method)
    )
    begin = teacher if start is None else _student(start, config)
    dataset = open_dataset(config["data"])
    if minutes is not None:
        config["training"]["steps"] = max(
            1, int(60 * minutes * rate(config, dataset, teacher=teacher.denoiser))
        )
    begun = time.perf_counter()
    with training_progress(config["training"]["steps"]) as callback:
        result = train_config(
            config,
            dataset,
            out,
            start=begin.denoiser,
            teacher=teacher.denoiser,
            resume=resume,
            callback=callback,
        )
    seconds = round(time.perf_counter() - begun, 1)
    told = {"run": str(out), "teacher": teacher.name, "sampling steps": config["sampling"]["steps"]}
    return {**told, "step": result.step, "loss": result.loss, "seconds": seconds}


def _student(start: str | Path, config: Config) -> Run:
    """An earlier student to start from; its name and the SHA-256 of its weights go into the
    config.
    """
    student = Run.open(start)
    if student.config["prediction"] != config["prediction"]:
        raise InputError(
            f"{student.name} predicts {student.config['prediction']['name']!r} and the student "
            f"{config['prediction']['name']!r}; "
            "start from an earlier student of this teacher."
        )
    config["start"] = {"run": student.name, "sha256": student.weights_sha256}
    return student


def _resumed(out: Path, teacher: Run, steps: int, overrides: Sequence[str]) -> Config:
    config = load_config(out / CONFIG)
    if config.get("system") != SYSTEM:
        raise InputError(
            f"{out} is a run of {config.get('system')!r}, not a distilled one; resume it with "
            "unfog train."
        )
    if config["teacher"]["sha256"] != teacher.weights_sha256:
        raise InputError(
            f"The weights of {teacher.name} are not those {out} was distilled from; resume it "
            "with its own teacher."
        )
    if config["objective"]["segments"] != steps:
        raise InputError(
            f"{out} is distilled into {config['objective']['segments']} steps, not {steps}; "
            "resume it as what it is."
        )
    return apply_overrides(config, overrides)
