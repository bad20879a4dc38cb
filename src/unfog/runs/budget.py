"""Fits a recipe to a budget of minutes or steps that is shorter than its own training.

Recipes are written for 20 000 steps of a network for pictures of 32 x 32. A short run of one would
end within its warm-up, average over weights that had learned nothing, and train a network that is
too wide to see enough samples. So

- the warm-up is at most a tenth of the steps;
- the average is a power ramp (Karras et al. 2024), a share of the steps so far, whatever they are;
- pictures of 16 x 16 or less get a network of 32 channels; where their own are many, as in a latent
  space, of three times those, and a shortcut: one as narrow as its data cannot pass noise on;
- samples of DDPM's noise prediction are clipped to the data's range on the way, as its code does;
- where only minutes are set, the widest network that makes ``PREFERRED`` steps in them, on patches
  and of fewer samples a step where the narrow one is too slow as well: patches of 2, and of 4 for
  samples of more than ``COARSE`` patches of 2. The networks of those large samples know where they
  are, and get their input to their output by a shortcut: the noise that they predict at the noisy
  end is nearly the input, and what they fail to pass on is as large as the data. Pictures of 28 x
  28 on patches of 2 pass it on themselves, and were no better for it.

What the user sets stays, as do networks that a recipe has made for its data. All that is chosen
stands in the run's config.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from unfog.core.denoiser import NetworkDenoiser
from unfog.data.dataset import Dataset
from unfog.runs.machine import PAYS, Clock
from unfog.runs.training_rate import rate
from unfog.systems import registry
from unfog.systems.common import unet
from unfog.systems.registry import Config

log = logging.getLogger(__name__)

GENERAL = {"name", "dims", "channels", "multipliers", "attention_levels", "modulation"}
TINY = 16 * 16  # points of a sample for which 32 channels are enough
NARROW: Config = {"channels": 32, "groups": 8, "blocks": 1}
LARGE: Config = {"coordinates": True, "octaves": 3, "shortcut": True}  # for large samples
COARSE = 512  # patches of a sample from which its shape is learned soon
LARGEST = 4  # side of a patch, in pixels
NARROW_RATE = 1e-3  # learning rate of the narrow networks, as the small priors have it
COARSE_RATE = 2e-3  # of those on patches of 4, which have the fewest steps
LONG_POWER = 17.0  # of the average: over the last 18th of the steps
POINTS = 4096  # of the network's finest grid, times the samples of a step
LEAST_BATCH = 4
PREFERRED = 5000  # steps below which a narrower network learns more
TEACHES = 1000  # steps below which samples do not look like the data
SHARE = 0.05  # of the minutes, for each measurement


def fit(
    config: Config,
    dataset: Dataset,
    set_keys: Collection[str],
    minutes: float | None = None,
    clock: Clock = time.perf_counter,
) -> Config:
    """A new run's config, fitted to its budget; as it is where it has none shorter than its recipe.

    Args:
        config: The config, with the user's settings applied.
        dataset: The training data.
        set_keys: The dotted keys that the user set.
        minutes: The time to train; None where the user set the steps, or nothing.
        clock: What the minutes are of, in seconds: the wall's, or ``time.process_time``.

    Returns:
        The config, with the steps that go into the minutes.
    """
    recipe = registry.get(config["system"]).config(dataset)
    if minutes is not None:
        candidates = _candidates(config, dataset, set_keys)
        return _in_minutes(candidates, recipe, dataset, set_keys, minutes, clock=clock)
    if "training.steps" not in set_keys or not _shorter(config, recipe):
        return config
    if math.prod(dataset.shape[1:]) <= TINY:
        config = next(_candidates(config, dataset, set_keys))
    return _scheduled(config, recipe, set_keys)


def fit_distillation(
    config: Config,
    recipe: Config,
    dataset: Dataset,
    set_keys: Collection[str],
    teacher: NetworkDenoiser,
    minutes: float | None = None,
) -> Config:
    """A new student's config, fitted to its budget as ``fit`` does; its network is its teacher's.

    Args:
        config: The config, with the user's settings applied.
        recipe: The config without them.
        dataset: The training data.
        set_keys: The dotted keys that the user set.
        teacher: The denoiser to distil.
        minutes: The time to train; None where the user set the steps, or nothing.

    Returns:
        The config, with the steps that go into the minutes.
    """
    if minutes is not None:
        return _in_minutes(iter([config]), recipe, dataset, set_keys, minutes, teacher)
    short = "training.steps" in set_keys and _shorter(config, recipe)
    return _scheduled(config, recipe, set_keys) if short else config


def _in_minutes(
    candidates: Iterator[Config],
    recipe: Config,
    dataset: Dataset,
    set_keys: Collection[str],
    minutes: float,
    teacher: NetworkDenoiser | None = None,
    clock: Clock = time.perf_counter,
) -> Config:
    """The candidate that suits the minutes, with as many steps as go into them."""
    begun, chosen = clock(), recipe
    # From the cheapest network up, while the next one promises enough steps.
    for number, candidate in enumerate(candidates):
        seconds = min(8.0, SHARE * 60 * minutes)
        candidate, speed = _fastest(candidate, dataset, set_keys, seconds, teacher, clock)
        left = 60 * minutes - (clock() - begun)
        steps = max(1, int(left * speed))
        if number == 0 or steps >= PREFERRED:
            chosen = copy.deepcopy(candidate)
            chosen["training"]["steps"] = steps
        if steps < 3 * PREFERRED:
            break
    return _scheduled(chosen, recipe, set_keys) if _shorter(chosen, recipe) else chosen


def _fastest(
    config: Config,
    dataset: Dataset,
    set_keys: Collection[str],
    seconds: float,
    teacher: NetworkDenoiser | None,
    clock: Clock,
) -> tuple[Config, float]:
    """The config in the precision that is faster for its own network, where that was left to the
    machine, and its steps a second.
    """
    if "training.precision" in set_keys:
        return config, rate(config, dataset, seconds, teacher, clock)
    speeds = {}
    for precision in {config["training"]["precision"], "fp32"}:
        one = {**config, "training": {**config["training"], "precision": precision}}
        speeds[precision] = rate(one, dataset, seconds / 2, teacher, clock)
    best = "bf16" if speeds.get("bf16", 0.0) >= PAYS * speeds["fp32"] else "fp32"
    return {**config, "training": {**config["training"], "precision": best}}, speeds[best]


def _shorter(config: Config, recipe: Config) -> bool:
    return bool(config["training"]["steps"] < recipe["training"]["steps"])


def _candidates(config: Config, dataset: Dataset, set_keys: Collection[str]) -> Iterator[Config]:
    """The config with networks for its data, from the cheapest; only its own where the user or the
    recipe chose one.
    """
    general = (
        "network" in config
        and config["network"]["name"] == "unet"
        and config["network"].keys() <= GENERAL
    )
    if not general or any(key.startswith("network.") for key in set_keys):
        yield config
        return
    sides = dataset.shape[1:]
    tiny = math.prod(sides) <= TINY
    patch = 1 if tiny else _coarsest(sides)
    more = LARGE if patch > 2 else {}
    while patch > 1:
        yield _narrowed(config, dataset, set_keys, patch=patch, **more)
        patch //= 2
    yield _narrowed(config, dataset, set_keys)
    if not tiny:
        yield config


def _coarsest(sides: Sequence[int]) -> int:
    """The side of the patches of the cheapest network, a power of 2: as large as ``COARSE`` asks
    for, while the smallest axis has 8 of them.
    """
    patch = 1
    while min(sides) >= 16 * patch and patch < LARGEST:
        patch *= 2
        if math.prod(-(-side // patch) for side in sides) <= COARSE:
            break
    return patch


def _narrowed(
    config: Config, dataset: Dataset, set_keys: Collection[str], **changes: Any
) -> Config:
    """The config with a network of 32 channels, or of three times the data's where these are more,
    and a batch and a learning rate for it.
    """
    channels = max(NARROW["channels"], 3 * dataset.shape[0] + -3 * dataset.shape[0] % 8)
    if channels > NARROW["channels"]:
        changes = {**changes, "shortcut": True}
    network = unet(dataset, **{**NARROW, "channels": channels}, **changes)
    if "modulation" in config["network"]:
        network["modulation"] = config["network"]["modulation"]
    training = dict(config["training"])
    # A power of two, so that the whole batch has about POINTS points.
    patch = changes.get("patch", 1)
    points = math.prod(-(-side // patch) for side in dataset.shape[1:])
    batch = 2 ** max(0, round(math.log2(POINTS / points)))
    if "training.batch" not in set_keys:
        training["batch"] = max(LEAST_BATCH, min(training["batch"], batch))
    if "training.lr" not in set_keys:
        training["lr"] = max(training["lr"], COARSE_RATE if patch > 2 else NARROW_RATE)
    return {**config, "network": network, "training": training}


def _scheduled(config: Config, recipe: Config, set_keys: Collection[str]) -> Config:
    """The config with a warm-up and an average for its number of steps."""
    training = dict(config["training"])
    steps = training["steps"]
    if "training.warmup" not in set_keys:
        training["warmup"] = min(training["warmup"], steps // 10)
    if training.get("ema_power") is None and not {"training.ema", "training.ema_power"} & {
        *set_keys
    }:
        training["ema_power"] = LONG_POWER
    objective = dict(config["objective"])
    # Consistency training doubles its knots, and a VAE's weight rises, over a share of the steps.
    for key in {"every", "rise"} & objective.keys():
        if f"objective.{key}" not in set_keys:
            share = objective[key] / recipe["training"]["steps"]
            objective[key] = max(1, round(share * steps))
    if "sampling" not in config:  # an encoder
        return {**config, "objective": _late(objective, steps, recipe), "training": training}
    sampling = dict(config["sampling"])
    if _may_clip(config) and "sampling.clip" not in set_keys:
        sampling["clip"] = 1.0
    return {**config, "objective": objective, "training": training, "sampling": sampling}


def _late(objective: Config, steps: int, recipe: Config) -> Config:
    """An autoencoder's objective, its discriminator starting at the recipe's share of the steps;
    that of a joint encoder has none.
    """
    if objective.get("start") != recipe["objective"].get("start") or "start" not in objective:
        return objective  # the user set it, or there is none
    return {**objective, "start": round(objective["start"] / recipe["training"]["steps"] * steps)}


def _may_clip(config: Config) -> bool:
    """Whether DDPM's authors would clip x_0 in sampling, as their code does: the error of a noise
    predicted at the noisy end is 1 / alpha times as large in x_0, until training is long.
    """
    return (
        config["codec"]["name"] == "range"
        and config["prediction"]["name"] == "noise"
        and config["sampling"]["sampler"] in ("ddpm", "ddim")
        and not config.get("variance")
    )


def warn_if_short(steps: int, seconds: float, teaches: int = TEACHES) -> None:
    """Say how many minutes a run would need, where its steps cannot teach.

    Args:
        steps: The steps of the run.
        seconds: How long they take.
        teaches: The least steps that teach.
    """
    if steps < teaches:
        needed = math.ceil(seconds * teaches / steps / 60)
        log.warning(
            "%d steps are too few for samples that look like the data; about %d minute%s would "
            "teach on this machine.",
            steps,
            needed,
            "" if needed == 1 else "s",
        )
