"""The settings of training, and the schedules of the learning rate."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unfog.core.registry import Registry, unknown
from unfog.errors import InputError
from unfog.training.ema import exponent

Schedule = Callable[[float], float]
schedules: Registry[Schedule] = Registry("learning-rate decay")


@schedules.register("constant")
def constant() -> Schedule:
    """A constant learning rate: decay(progress) = 1."""
    return lambda progress: 1.0


@schedules.register("cosine")
def cosine() -> Schedule:
    """Cosine decay (Loshchilov & Hutter 2017): decay(progress) = (1 + cos(pi progress)) / 2."""
    return lambda progress: 0.5 * (1 + math.cos(math.pi * progress))


# The least value of each whole-number setting, and the range of each real one.
_LEAST = {
    "steps": 1,
    "batch": 1,
    "warmup": 0,
    "checkpoint_every": 1,
    "log_every": 1,
    "seed": None,
}
_RANGES = {
    "lr": (0, 1e3),
    "weight_decay": (0, 1e3),
    "ema": (0, 1),
    "head_rate": (0, 1e3),
    "clip": (0, 1e9),
    "ema_power": (0, 1e9),
}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class TrainSettings:
    """The ``training`` section of a config: AdamW, its learning rate, the averages of the weights
    and how often what is written.
    """

    steps: int
    batch: int  # samples a step
    lr: float  # the peak of the learning rate
    warmup: int = 0  # steps of its linear rise
    decay: str = "constant"  # its schedule after that, by name
    weight_decay: float = 0.0
    betas: Sequence[float] = (0.9, 0.999)  # AdamW's
    clip: float | None = 1.0  # of the gradient's global norm; None does not clip
    ema: float = 0.9999  # decay of the weights' average
    ema_power: float | None = None  # ``ema.power_ramp`` of this power; None for ``ema.warm_up``
    seed: int = 0
    precision: str = "fp32"  # or bf16: the network under autocast
    checkpoint_every: int = 500  # steps
    log_every: int = 1  # steps
    snapshot_every: int | None = None  # steps between snapshots for post-hoc averages; None: none
    snapshot_lengths: Sequence[float] = (0.05, 0.1)  # of the averages in a snapshot (sigma_rel)
    head_rate: float = 1.0  # the learning rate of the objective's head, in units of the network's

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TrainSettings:
        """From a config; ``InputError`` for keys that are unknown or missing."""
        fields = {f.name: f for f in dataclasses.fields(cls)}
        for key in config:
            if key not in fields:
                raise unknown("key of training", key, fields)
        missing = [
            n for n, f in fields.items() if f.default is dataclasses.MISSING and n not in config
        ]
        if missing:
            raise InputError(
                f"The training settings lack {', '.join(missing)}; add them under 'training'."
            )
        return cls(**config)

    def __post_init__(self) -> None:
        self._check_numbers()
        self._check_averages()
        if self.precision not in ("bf16", "fp32"):
            raise InputError(
                "The training setting 'precision' must be 'bf16' or 'fp32', got "
                f"{self.precision!r}."
            )
        schedules.get(self.decay)

    def _check_numbers(self) -> None:
        # Whole numbers, of which True and False are none.
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if (
                not isinstance(value, int)
                or isinstance(value, bool)
                or (least is not None and value < least)
            ):
                bound = "" if least is None else f" of at least {least}"
                raise InputError(
                    f"The training setting {name!r} must be a whole number{bound}, got {value!r}."
                )
        # Real numbers; YAML reads 2e-4 as text, hence the hint.
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            optional = value is None and name in ("clip", "ema_power")
            if not optional and not (_is_number(value) and low <= value <= high):
                raise InputError(
                    f"The training setting {name!r} must be a number in [{low}, {high:g}], got "
                    f"{value!r} (YAML wants 2.0e-4)."
                )
        pair = isinstance(self.betas, Sequence) and len(self.betas) == 2
        if not pair or not all(_is_number(b) and 0 <= b < 1 for b in self.betas):
            raise InputError(
                f"The training setting 'betas' must be two numbers in [0, 1), got {self.betas!r}."
            )

    def _check_averages(self) -> None:
        if self.snapshot_every is not None and (
            type(self.snapshot_every) is not int or self.snapshot_every < 1
        ):
            raise InputError(
                "The training setting 'snapshot_every' must be a whole number of at least 1, or "
                f"null, got {self.snapshot_every!r}."
            )
        lengths = self.snapshot_lengths
        listed = isinstance(lengths, Sequence) and all(map(_is_number, lengths))
        if not listed or len(set(lengths)) < 2:
            raise InputError(
                "The training setting 'snapshot_lengths' must be two or more lengths, got "
                f"{self.snapshot_lengths!r}."
            )
        for length in lengths:
            exponent(length)

    def learning_rate(self, step: int) -> float:
        """The learning rate of update ``step``, from 1 to ``steps``.

            lr min(1, step / warmup) decay(progress),

        progress from 0 after the warm-up to 1 at the end. Linear warm-up: Goyal et al. 2017.
        """
        done = step - 1
        warm = min(1.0, step / self.warmup) if self.warmup else 1.0
        progress = max(0, done - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * warm * schedules.build(self.decay)(progress)
