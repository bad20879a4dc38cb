"""Schedulers of diffusers as a process and a prediction, both ways.

A scheduler holds the table of noise and the sampler's settings; here the table is the process and a
sampler is chosen when samples are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from unfog.core.process import processes
from unfog.errors import InputError
from unfog.interop.diffusers_common import number, whole

Section = dict[str, Any]
SCHEDULES = {
    "linear": "ddpm-linear",
    "scaled_linear": "ddpm-scaled-linear",
    "squaredcos_cap_v2": "ddpm-cosine",
}
PREDICTIONS = {"epsilon": "noise", "v_prediction": "v", "sample": "x0"}
LEARNED = ("learned", "learned_range")
_TABLE = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "prediction_type")
_KIND = "scheduler"  # as messages call it
_NULL = (None, False)  # of settings that change nothing
# Our sampler of a scheduler's class, and its spacing of times where its file says none.
SAMPLERS = {
    "DDIMScheduler": ("ddim", "leading"),
    "PNDMScheduler": ("ddim", "leading"),
    "DDPMScheduler": ("ddpm", "leading"),
    "EulerDiscreteScheduler": ("euler", "linspace"),
    "EulerAncestralDiscreteScheduler": ("euler-ancestral", "linspace"),
    "HeunDiscreteScheduler": ("heun", "linspace"),
    "LMSDiscreteScheduler": ("ddim", "linspace"),
    "DPMSolverMultistepScheduler": ("dpmpp-2m", "linspace"),
    "DEISMultistepScheduler": ("deis", "linspace"),
    "UniPCMultistepScheduler": ("unipc", "linspace"),
}
# set_alpha_to_one where a file is silent; other schedulers may hold it and do not read it.
_ALPHA_ONE = {"DDIMScheduler": True, "PNDMScheduler": False}


def process_of(scheduler: Mapping[str, Any]) -> tuple[Section, Section, list[str]]:
    """The process and prediction of a scheduler's configuration.

    Args:
        scheduler: The contents of scheduler_config.json.

    Returns:
        Registry configs of both, and the settings that are not taken: those of its sampler.

    Raises:
        InputError: Its table or prediction is none of those here.
    """
    schedule = scheduler.get("beta_schedule", "linear")
    prediction = scheduler.get("prediction_type", "epsilon")
    if schedule not in SCHEDULES or prediction not in PREDICTIONS:
        raise InputError(
            f"A diffusers scheduler with beta_schedule {schedule!r} and prediction_type "
            f"{prediction!r} cannot be read; those here are {', '.join(SCHEDULES)} and "
            f"{', '.join(PREDICTIONS)}."
        )
    for key in ("trained_betas", "rescale_betas_zero_snr"):
        if scheduler.get(key) not in _NULL:
            raise InputError(f"A diffusers scheduler with {key} cannot be read; leave it out.")
    process: Section = {"name": SCHEDULES[schedule]}
    process["steps"] = whole(_KIND, scheduler, "num_train_timesteps", 1000)
    if schedule != "squaredcos_cap_v2":
        process["beta_start"] = float(number(_KIND, scheduler, "beta_start", 1e-4))
        process["beta_end"] = float(number(_KIND, scheduler, "beta_end", 0.02))
    left = [
        key
        for key, value in scheduler.items()
        if key not in _TABLE and not key.startswith("_") and value not in _NULL
    ]
    return process, {"name": PREDICTIONS[prediction]}, sorted(left)


def sampling_of(scheduler: Mapping[str, Any], offset: int | None = None) -> Section:
    """The sampler and grid of a pipeline's scheduler.

    Args:
        scheduler: The contents of scheduler_config.json.
        offset: The offset of leading times, whatever the file says: pipelines of Stable Diffusion
            1 and 2 take 1.

    Returns:
        ``sampler`` and ``grid``, registry configs.

    Raises:
        InputError: The scheduler's class or spacing is none of those here.
    """
    kind = scheduler.get("_class_name", "DDIMScheduler")
    if kind not in SAMPLERS:
        raise InputError(
            f"A pipeline with diffusers' {kind} cannot be read; one of {', '.join(SAMPLERS)} can."
        )
    sampler, spacing = SAMPLERS[kind]
    spacing = scheduler.get("timestep_spacing", spacing)
    if spacing not in ("leading", "linspace", "trailing"):
        raise InputError(f"The timestep_spacing of a scheduler cannot be {spacing!r}.")
    steps = whole(_KIND, scheduler, "num_train_timesteps", 1000)
    if scheduler.get("use_karras_sigmas"):
        process = processes.build(process_of(scheduler)[0])
        first = torch.tensor(1 / steps, dtype=torch.float64)
        lowest = float(process.noise_level(first))
        return {"sampler": sampler, "grid": {"name": "karras", "sigma_min": lowest}}
    grid: Section = {"name": spacing, "knots": steps}
    if spacing == "leading":
        own = whole(_KIND, scheduler, "steps_offset") if scheduler.get("steps_offset") else 0
        grid["offset"] = own if offset is None else offset
    # The last time is 0, or that of the table's first step.
    clean = kind not in _ALPHA_ONE or scheduler.get("set_alpha_to_one", _ALPHA_ONE[kind])
    grid["end"] = 0 if clean and scheduler.get("final_sigmas_type") != "sigma_min" else 1
    return {"sampler": sampler, "grid": grid}


def scheduler_of(config: Mapping[str, Any]) -> Section:
    """The configuration of the ``DDPMScheduler`` with the table and prediction of a run's config.

    Raises:
        InputError: The run's process is no table of diffusers, or its network is told another time
            or gives another prediction.
    """
    process, label = dict(config["process"]), dict(config["label"])
    names = {ours: theirs for theirs, ours in SCHEDULES.items()}
    kinds = {ours: theirs for theirs, ours in PREDICTIONS.items()}
    prediction = config["prediction"]["name"]
    if process["name"] not in names or prediction not in kinds:
        raise InputError(
            f"diffusers' DDPMScheduler has the processes {', '.join(names)} and the predictions "
            f"{', '.join(kinds)}; this run has {process['name']} and {prediction}."
        )
    steps = int(process.get("steps", 1000))
    told = (label.get("name"), float(label.get("steps", 1000)), float(label.get("offset", 1.0)))
    if told != ("time", float(steps), 1.0):
        raise InputError(
            f"diffusers tells a network the step from 0 to {steps - 1}, and this run's label is "
            f"{label}."
        )
    unknown = set(process) - {"name", "steps", "beta_start", "beta_end"}
    if unknown:
        raise InputError(f"diffusers' DDPMScheduler has no {', '.join(sorted(unknown))}.")
    schedule = names[process["name"]]
    ends = {"linear": (1e-4, 0.02), "scaled_linear": (0.00085, 0.012)}.get(schedule, (1e-4, 0.02))
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": steps,
        "beta_schedule": schedule,
        "beta_start": process.get("beta_start", ends[0]),
        "beta_end": process.get("beta_end", ends[1]),
        "prediction_type": kinds[prediction],
        "variance_type": "learned_range" if config.get("variance") else "fixed_small",
        "clip_sample": bool(config.get("sampling", {}).get("clip")),
        "timestep_spacing": "trailing",
    }
