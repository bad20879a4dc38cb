"""The training loop: bit-exact when resumed, on a CPU with the same number of threads.

Order, noise, times, dropout and augmentation are functions of (seed, step, sample), so a run that
was killed and resumed ends with the same weights, average, optimiser and metrics as one that was
not.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from unfog.core.codec import Codec, codecs
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.random import seed_of
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.files.output import replace_durably
from unfog.training import checkpoint as disk
from unfog.training import snapshots
from unfog.training.feed import Augment, Feed
from unfog.training.guard import Interrupted, Signals, locked
from unfog.training.learner import Learner, Step
from unfog.training.metrics import Metrics
from unfog.training.objectives.denoising import Objective
from unfog.training.settings import TrainSettings

log = logging.getLogger(__name__)
Callback = Callable[[int, float, float], None]

PATIENCE = 10  # steps in a row that may fail to be finite
FREE = ("steps", "checkpoint_every")  # settings that a resumed run may change


@dataclass(frozen=True)
class TrainResult:
    """Where training ended: the last step, its loss, how many updates were taken (the rest were
    skipped).
    """

    run: Path
    step: int
    loss: float
    updates: int


def train(
    denoiser: NetworkDenoiser,
    objective: Objective,
    dataset: Dataset,
    augment: Augment | None,
    settings: TrainSettings,
    out: Path,
    config: Mapping[str, Any],
    *,
    codec: Codec | None = None,
    resume: bool = False,
    callback: Callback | None = None,
    device: torch.device | str | None = None,
) -> TrainResult:
    """Train ``denoiser`` in place into the run folder ``out``; ``callback`` is given (step, loss,
    steps per second).

    ``objective(denoiser, batch, samples, seed, step)`` gives the loss of each sample, and its
    ``head``, if it has one, learns as well; ``augment(x, generators)`` works in natural units;
    ``codec`` is the dataset's own unless given. Raises ``InputError`` when the folder is in use or
    holds a run that is not to be resumed, when a resumed run's data or config changed, or when the
    loss stays non-finite; ``Interrupted`` after a signal.
    """
    _refuse(out, resume)
    # All that can be wrong with the input is so before the folder is made.
    chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    identity = {"config": _hash(config, settings), "data": dataset.fingerprint}
    text = yaml.safe_dump(dict(config), sort_keys=False).encode()
    feed = Feed(dataset, augment, codec or codecs.build(dataset.codec), settings, chosen)
    learner = Learner(denoiser, settings, chosen, getattr(objective, "head", None))
    with ExitStack() as stack:
        stack.enter_context(locked(out))
        saved = disk.load_newest(out)
        _check(saved, identity, settings, chosen)
        with disk.writing("config.yaml"):
            replace_durably(out / "config.yaml", text)
        metrics = stack.enter_context(
            Metrics(out, settings.log_every, None if saved is None else saved.state["metrics"])
        )
        signals = stack.enter_context(Signals())
        stack.enter_context(
            torch.random.fork_rng([chosen] if chosen.type == "cuda" else [])
        )  # dropout must not move the caller's stream
        run = _Run(learner, objective, feed, metrics, out, identity)
        if saved is not None:
            run.restore(saved)
        return run.go(signals, callback)


class _Run:
    """A training run between two checkpoints."""

    def __init__(
        self,
        learner: Learner,
        objective: Objective,
        feed: Feed,
        metrics: Metrics,
        out: Path,
        identity: dict[str, str],
    ) -> None:
        self.learner, self.objective, self.feed, self.metrics = learner, objective, feed, metrics
        self.out, self.identity, self.settings = out, identity, learner.settings
        self.step, self.failures, self.loss = 0, 0, float("nan")

    def restore(self, saved: disk.Checkpoint) -> None:
        state = saved.state
        self.learner.load(saved.weights, saved.ema, saved.optimizer, state["updates"])
        self.step, self.failures = state["step"], state["failures"]
        self.loss = float("nan") if state["loss"] is None else state["loss"]

    def go(self, signals: Signals, callback: Callback | None) -> TrainResult:
        clock, first, last = time.perf_counter(), self.step, self.settings.steps
        while self.step < last:
            self._advance()
            if callback is not None:
                callback(self.step, self.loss, (self.step - first) / (time.perf_counter() - clock))
            if self.learner.profiles and (
                self.step % (self.settings.snapshot_every or 1) == 0 or self.step == last
            ):
                self._snapshot()
            code = signals.code  # read once: a signal may come between the two questions
            if (
                self.step % self.settings.checkpoint_every == 0
                or self.step == last
                or code is not None
            ):
                self.save()
            if code is not None:
                raise Interrupted(code, self.step)
        return TrainResult(self.out, self.step, self.loss, self.learner.ema.updates)

    def _advance(self) -> None:
        """One step; a batch whose loss or gradient is not finite leaves the weights as they are."""
        step, seed = self.step + 1, self.settings.seed
        batch, samples = self.feed(step)
        _seed_dropout(seed_of(seed, "dropout", step), self.learner.device)
        lr = self.settings.learning_rate(step)
        done = self.learner.update(
            lambda: self.objective(self.learner.denoiser, batch, samples, seed, step), lr
        )
        self.step = step
        if done.finite:
            self.failures, self.loss = 0, done.loss
            self.metrics.add(step, done.loss, lr, done.grad_norm)
        else:
            self._skip(done, samples, lr)

    def _skip(self, done: Step, samples: list[int], lr: float) -> None:
        bad = [
            sample
            for sample, loss in zip(samples, done.losses.isfinite().tolist(), strict=True)
            if not loss
        ] or samples
        self.failures += 1
        self.metrics.skip(self.step, lr, bad)
        log.warning(
            "Step %d was skipped: loss or gradient is not finite; samples %s.", self.step, bad
        )
        if self.failures == PATIENCE:
            raise InputError(
                f"Loss or gradient was not finite for {PATIENCE} steps in a row, up to step "
                f"{self.step} (samples {bad}); "
                "check these samples, or lower 'lr'."
            )

    def _snapshot(self) -> None:
        states = {length: average.state_dict() for length, average in self.learner.profiles.items()}
        snapshots.save(self.out, snapshots.Snapshot(self.step, self.learner.ema.updates, states))

    def save(self) -> None:
        learner = self.learner
        state = {
            **self.identity,
            "step": self.step,
            "updates": learner.ema.updates,
            "failures": self.failures,
            "loss": None if self.loss != self.loss else self.loss,
            "metrics": self.metrics.state(),
            "steps": self.settings.steps,
            "environment": _environment(learner.device),
        }
        disk.save(
            self.out,
            disk.Checkpoint(
                learner.denoiser.state_dict(),
                learner.ema.state_dict(),
                learner.training_state(),
                state,
            ),
        )


def _seed_dropout(seed: int, device: torch.device) -> None:
    torch.default_generator.manual_seed(
        seed
    )  # torch.manual_seed also visits devices that are not in use, at a millisecond a step
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _refuse(out: Path, resume: bool) -> None:
    """See that there is a run to resume, or none in the way of a new one."""
    if resume and not (out / "lock").is_file():
        raise InputError("There is no run in this folder to resume; start one without resume.")
    if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("The run folder exists and is not empty; resume it or choose another.")


def _hash(config: Mapping[str, Any], settings: TrainSettings) -> str:
    # runs older than these settings go on
    unused = {"head_rate"} if settings.head_rate == 1 else set()
    unused |= set() if settings.snapshot_every else {"snapshot_every", "snapshot_lengths"}
    fixed = {key: value for key, value in asdict(settings).items() if key not in {*FREE, *unused}}
    return hashlib.sha256(
        disk.to_json({"config": {**config, "training": {}}, "settings": fixed})
    ).hexdigest()


def _environment(device: torch.device) -> dict[str, Any]:
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "device": device.type}


def _check(
    saved: disk.Checkpoint | None,
    identity: dict[str, str],
    settings: TrainSettings,
    device: torch.device,
) -> None:
    """Refuse a resumed run that is another one; warn where it goes on, but not to the last bit."""
    if saved is None:
        return
    state = saved.state
    for key, what in {"data": "The training data", "config": "The config"}.items():
        if state[key] != identity[key]:
            raise InputError(
                f"{what} changed since the checkpoint; resume with what the run began with, or "
                "start a new run."
            )
    if settings.steps < state["step"]:
        raise InputError(
            f"The run is at step {state['step']} already; ask for more than {settings.steps} "
            "'training.steps'."
        )
    if settings.steps != state["steps"] and settings.decay != "constant":
        log.warning(
            "The %s decay is laid out anew over %d steps instead of %d.",
            settings.decay,
            settings.steps,
            state["steps"],
        )
    for name, now in _environment(device).items():
        before = state["environment"][name]
        if before != now:
            log.warning(
                "The %s was %s and is now %s: training goes on, but not bit for bit as unbroken.",
                name,
                before,
                now,
            )
