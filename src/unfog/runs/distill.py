"""Distil a run into one that samples in a few steps.

The student has the teacher's network. It starts from the teacher's averaged weights, or from those
of an earlier student, and learns on the teacher's data to sample in N steps, one for each of N
segments of the times (``training.objectives.adversarial``, ``training.objectives.consistency``).
A noise or score output does not determine x_0 at the noisy end; the student of such a teacher
predicts v, whose output at the clean end is the same (Salimans & Ho 2022), or flow where the
process lets the variance grow. The new run's config holds the SHA-256 of the teacher's weights, and
a resumed distillation takes no other teacher.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unfog.core.process import VariancePreserving
from unfog.core.registry import Registry
from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.progress import training_progress
from unfog.runs.budget import fit_distillation, warn_if_short
from unfog.runs.config import apply_overrides
from unfog.runs.folder import run_config
from unfog.runs.machine import resolve
from unfog.runs.run import Run
from unfog.runs.train_from_config import train_config
from unfog.systems.common import training
from unfog.systems.consistency import sampling
from unfog.systems.registry import Config

SYSTEM = "distilled"
MOST_STEPS = 16
SCALE = 0.5
KNOTS = 8  # in all: as many midpoint steps of the teacher come as near to its flow as 50 of DDIM
NEEDED = ("data", "augment", "training")  # sections that a run which was not trained here may lack
KEPT = ("batch", "seed")  # of the teacher's training
TEACHES = 500  # steps below which a student does not sample as its teacher does

Sections = tuple[Config, Config]  # objective, training
methods: Registry[Sections] = Registry("method of distillation")


@methods.register("adversarial")
def adversarial(steps: int, blind: bool, before: Config) -> Sections:
    """Sections for adversarial distillation: a discriminator on the teacher's features tells the
    student's samples from data. The student may become better than the teacher.

    Args:
        steps: Sampling steps of the student.
        blind: Not used.
        before: The teacher's training section.

    Returns:
        The student's sections ``objective`` and ``training``.
    """
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
    kept = {key: before[key] for key in KEPT if key in before}
    return objective, training(**changes, **kept)


@methods.register("consistency")
def consistency(steps: int, blind: bool, before: Config) -> Sections:
    """Sections for consistency distillation: the student jumps to where the teacher's probability
    flow leads.

    Args:
        steps: Sampling steps of the student.
        blind: Whether the teacher's output does not determine x_0 at t = 1, so that its flow is
            taken from data instead (``TeacherFlowFromData``).
        before: The teacher's training section.

    Returns:
        The student's sections ``objective`` and ``training``.
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
    """The config of a student.

    Args:
        teacher: The run to distil.
        steps: Sampling steps of the student, from 1 to ``MOST_STEPS``.
        overrides: Settings, each "key=value".
        method: "adversarial" or "consistency".

    Returns:
        The config.

    Raises:
        InputError: The steps are out of range, the teacher's config lacks a section, or a setting
            is unknown.
    """
    if not 1 <= steps <= MOST_STEPS:
        raise InputError(f"A run is distilled into 1 to {MOST_STEPS} steps, not {steps}.")
    lacking = [name for name in NEEDED if name not in teacher.config]
    if lacking:
        raise InputError(
            f"The config of {teacher.name} has no section {lacking[0]!r}, without which its "
            "student cannot be trained."
        )
    # The teacher's parts, with a prediction that determines x_0 at t = 1.
    config = copy.deepcopy(teacher.config)
    blind = config["prediction"]["name"] in ("noise", "score")
    if blind:
        preserving = isinstance(teacher.denoiser.process, VariancePreserving)
        config["prediction"] = {"name": "v" if preserving else "flow"}
    if config["network"].get("dropout"):
        config["network"]["dropout"] = 0.0  # the target is a function, not a sample
    # The student's own sections.
    objective, settings = methods.build(method, steps=steps, blind=blind, before=config["training"])
    changes = {
        "system": SYSTEM,
        "objective": objective,
        "sampling": sampling(steps, steps, SCALE),
        "training": settings,
        "teacher": {"run": teacher.name, "sha256": teacher.weights_sha256},
    }
    config = apply_overrides({**config, **changes}, overrides)
    points = math.prod(teacher.shape[1:])
    config["training"]["precision"] = resolve(config["training"]["precision"], points)
    # The sampling that fits the objective as the overrides left it.
    objective = config["objective"]
    consistent = sampling(objective["segments"], config["sampling"]["steps"], objective["scale"])
    config["sampling"] = {**config["sampling"], **consistent}
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
    """``unfog distill``: train a student that samples in a few steps.

    Args:
        source: The teacher, a run by path or name.
        steps: Sampling steps of the student.
        out: The student's folder.
        overrides: Settings, each "key=value".
        method: "adversarial" or "consistency".
        start: An earlier student whose weights training starts from; the teacher's by default.
        resume: Whether to go on from the newest checkpoint in ``out``.
        minutes: Sets the training steps by a short measurement of the rate. These, or fewer steps
            than the method's own, also fit warm-up and average, where not set (``runs.budget``).

    Returns:
        The folder, the teacher, sampling steps, last step and loss, and seconds.

    Raises:
        InputError: A resumed run is given a start, minutes, another teacher or other steps; the
            teacher cannot be distilled; a setting is unknown.
    """
    if resume and minutes is not None:
        raise InputError("A resumed run has its number of steps already; leave out --minutes.")
    if resume and start is not None:
        raise InputError("A resumed run goes on from its own weights; leave out --start.")
    teacher = Run.open(source)
    if resume:
        config = _resumed(out, teacher, steps, overrides)
    else:
        config = configure(teacher, steps, overrides, method)
    start_run = teacher if start is None else _student(start, config)
    dataset = open_dataset(config["data"])
    if not resume:
        set_keys = {pair.partition("=")[0].strip() for pair in overrides}
        recipe = configure(teacher, steps, method=method)
        config = fit_distillation(config, recipe, dataset, set_keys, teacher.denoiser, minutes)
    if minutes is not None and start is None:
        warn_if_short(config["training"]["steps"], 60 * minutes, TEACHES)
    begun = time.perf_counter()
    with training_progress(config["training"]["steps"]) as callback:
        result = train_config(
            config,
            dataset,
            out,
            start=start_run.denoiser,
            teacher=teacher.denoiser,
            resume=resume,
            callback=callback,
        )
    if not resume and minutes is None and start is None:
        warn_if_short(result.step, time.perf_counter() - begun, TEACHES)
    return {
        "run": str(out),
        "teacher": teacher.name,
        "sampling steps": config["sampling"]["steps"],
        "step": result.step,
        "loss": result.loss,
        "seconds": round(time.perf_counter() - begun, 1),
    }


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
    """The config of the distilled run in ``out``, with overrides applied; ``InputError`` where it
    has another teacher or other steps.
    """
    config = run_config(out)
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
