"""The training loop: a resumed run is bit for bit the unbroken one, on a CPU with the same number
of threads.

Order, noise, times, dropout and augmentation are functions of (seed, step, sample), so a run that
was killed and resumed ends with the same weights, average, optimiser and metrics as one that was
not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml
from torch import nn

from unfog.core.codec import Codec, codecs
from unfog.core.random import seed_of
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.files.local_paths import LOCAL, keep_paths, without_paths
from unfog.files.output import replace_durably
from unfog.training import checkpoint as disk
from unfog.training import snapshots
from unfog.training.config_record import CONFIG, RECORD, write_config
from unfog.training.feed import Augment, Feed
from unfog.training.guard import Interrupted, Signals, locked
from unfog.training.identity import Identity, environment, machine
from unfog.training.learner import Learner, Step
from unfog.training.metrics import Metrics
from unfog.training.processes import AUTO, Objective, Processes, whole
from unfog.training.settings import TrainSettings
from unfog.training.trackers import opened
from unfog.training.tracking import Tracking

log = logging.getLogger(__name__)
Callback = Callable[[int, float, float], None]  # (step, loss, steps a second)

PATIENCE = 10  # steps in a row that may fail to be finite


@dataclass(frozen=True)
class TrainResult:
    """Where training ended.

    Args:
        run: The run folder.
        step: The last step.
        loss: Its loss, or that of the last step before it that was not skipped.
        updates: Steps that updated the weights; the others were skipped.
    """

    run: Path
    step: int
    loss: float
    updates: int


def train(
    model: nn.Module,
    objective: Callable[..., Any],
    dataset: Dataset,
    augment: Augment | None,
    settings: TrainSettings,
    out: Path,
    config: Mapping[str, Any],
    *,
    codec: Codec | None = None,
    resume: bool = False,
    callback: Callback | None = None,
    track: Sequence[str] = (),
    device: torch.device | str | None = None,
    parallel: str = AUTO,
) -> TrainResult:
    """Train a model into a run folder, with checkpoints and a log.

    Args:
        model: The denoiser or autoencoder to train, in place.
        objective: Gives the loss of each sample; its module ``head``, if it has one, learns too.
        dataset: The training data.
        augment: Augments batches in natural units; None leaves them.
        settings: Steps, batch size, optimiser, averages and what is written how often.
        out: The run folder, new or empty unless the run is resumed.
        config: The run's config, written as ``config.yaml``.
        codec: Between natural units and the model's scale; the data set's own by default.
        resume: Whether to go on from the newest checkpoint in ``out``.
        callback: Called with (step, loss, steps a second) after each step.
        track: Trackers by name, which are given each row of the log.
        device: Where to train; a GPU where there is one by default.
        parallel: How several processes train, where ``torchrun`` started this one: a name of
            ``training.processes``, or "auto". Only the first of them returns.

    Returns:
        The last step, its loss and the number of updates.

    Raises:
        InputError: The folder is in use or holds a run that is not to be resumed; the data or the
            config of a resumed run changed; the loss is not finite for ``PATIENCE`` steps in a
            row; the batch does not divide among the processes; or one of them is lost.
        Interrupted: A signal came; the run was saved first.
    """
    processes = Processes.of_environment()
    processes.check_batch(settings.batch)
    processes.check_turns(objective)
    if processes.first:
        _refuse(out, resume)
    # Wrong input raises here, before the folder is made.
    trackers = opened(track)  # on every process, so that none waits for one that was refused
    tracking = Tracking(trackers if processes.first else {}, out, without_paths(config))
    place = torch.device(device or processes.device())
    identity = Identity.of(config, settings, dataset)
    text = yaml.safe_dump(without_paths(config), sort_keys=False).encode()
    codec = codec or codecs.build(dataset.codec)
    feed = Feed(dataset, augment, codec, settings, place, processes)
    with ExitStack() as stack:
        stack.enter_context(processes.connected(place))
        # Whatever the others write is of no use.
        scratch = None if processes.first else stack.enter_context(TemporaryDirectory())
        here = out if scratch is None else Path(scratch)
        whole_loss = Objective(model.to(place), objective)
        loss = processes.wrapped(whole_loss, parallel, place)
        learner = Learner(model, settings, place, whole_loss.head, processes)
        stack.enter_context(locked(here))
        processes.wait()
        saved = disk.load_newest(out)
        identity.check(saved, settings, place)
        with disk.writing("config.yaml"):
            keep_paths(here, config)
            write_config(here, text)
            if saved is None:
                replace_durably(here / "machine.json", disk.to_json(machine(place)))
        stack.enter_context(tracking)
        before = None if saved is None or not processes.first else saved.state["metrics"]
        metrics = stack.enter_context(Metrics(here, settings.log_every, before, tracking))
        signals = stack.enter_context(Signals())
        # Dropout must not move the caller's random stream.
        stack.enter_context(torch.random.fork_rng([place] if place.type == "cuda" else []))
        run = _Run(learner, loss, feed, metrics, here, identity)
        if saved is not None:
            run.restore(saved)
        return processes.only_first(lambda: run.go(signals, callback))


class _Run:
    """A training run in progress: the step it is at, and all that a step needs.

    Args:
        learner: The network, its averages and its optimiser.
        loss: (batch, samples, seed, step) -> losses, of all processes together.
        feed: Makes the batches.
        metrics: The log.
        out: The run folder.
        identity: Of the config and the data, which a resumed run must share.
    """

    def __init__(
        self,
        learner: Learner,
        loss: nn.Module,
        feed: Feed,
        metrics: Metrics,
        out: Path,
        identity: Identity,
    ) -> None:
        self.learner, self.losses, self.feed, self.metrics = learner, loss, feed, metrics
        self.processes = learner.processes
        self.out, self.identity, self.settings = out, identity, learner.settings
        self.step, self.failures, self.loss = 0, 0, float("nan")

    def restore(self, saved: disk.Checkpoint) -> None:
        """Go back to the state of a checkpoint."""
        state = saved.state
        self.learner.load(saved.weights, saved.ema, saved.optimizer, state["updates"])
        self.step, self.failures = state["step"], state["failures"]
        self.loss = float("nan") if state["loss"] is None else state["loss"]

    def go(self, signals: Signals, callback: Callback | None) -> TrainResult:
        """Train to the last step; ``Interrupted`` after a signal, once the run is saved."""
        clock, first, last = time.perf_counter(), self.step, self.settings.steps
        while self.step < last:
            self._advance()
            if callback is not None:
                callback(self.step, self.loss, (self.step - first) / (time.perf_counter() - clock))
            # A snapshot for post-hoc averages.
            due = self.step % (self.settings.snapshot_every or 1) == 0
            if self.learner.profiles and (due or self.step == last):
                self._snapshot()
            # A checkpoint, also where a signal ends the run.
            code = self.processes.agreed(signals.code)  # once: a signal may come at any moment
            due = self.step % self.settings.checkpoint_every == 0
            if due or self.step == last or code is not None:
                self.save()
            if code is not None:
                raise Interrupted(code, self.step)
        return TrainResult(self.out, self.step, self.loss, self.learner.ema.updates)

    def _advance(self) -> None:
        """One training step; a batch whose loss or gradient is not finite leaves the weights as
        they are.
        """
        step, seed = self.step + 1, self.settings.seed
        batch, samples = self.feed(step)
        own = (self.processes.rank,) if self.processes.rank else ()
        _seed_dropout(seed_of(seed, "dropout", step, *own), self.learner.device)
        lr = self.settings.learning_rate(step)
        update = self.learner.update(
            lambda: self.processes.one_turn(self.losses(batch, samples, seed, step)), lr
        )
        self.step = step
        if update.finite:
            self.failures, self.loss = 0, update.loss
            self.metrics.add(step, update.loss, lr, update.grad_norm)
        else:
            self._skip(update, samples, lr)

    def _skip(self, update: Step, samples: list[int], lr: float) -> None:
        """Log a step that updated nothing; ``InputError`` after ``PATIENCE`` of them in a row."""
        # The samples with a bad loss, or all of them where only the gradient was bad.
        finite = update.losses.isfinite().tolist()
        bad = [sample for sample, good in zip(samples, finite, strict=True) if not good] or samples
        self.failures += 1
        self.metrics.skip(self.step, lr, bad)
        log.warning(
            "Step %d was skipped: loss or gradient is not finite; samples %s.", self.step, bad
        )
        if self.failures == PATIENCE:
            raise InputError(
                f"Loss or gradient was not finite for {PATIENCE} steps in a row, up to step "
                f"{self.step} (samples {bad}); check these samples, or lower 'lr'."
            )

    def _snapshot(self) -> None:
        """Save the power-function averages as they are now."""
        profiles = self.learner.profiles.items()
        states = {length: whole(average.state_dict()) for length, average in profiles}
        if self.processes.first:
            updates = self.learner.ema.updates
            snapshots.save(self.out, snapshots.Snapshot(self.step, updates, states))

    def save(self) -> None:
        """Save a checkpoint."""
        learner = self.learner
        state = {
            **self.identity.hashes,
            "step": self.step,
            "updates": learner.ema.updates,
            "failures": self.failures,
            "loss": None if self.loss != self.loss else self.loss,
            "metrics": self.metrics.state(),
            "steps": self.settings.steps,
            "environment": environment(learner.device),
        }
        # Every process gathers, and the first writes.
        weights, ema = whole(learner.model.state_dict()), whole(learner.ema.state_dict())
        training, told = whole(learner.training_state()), self.identity.metadata
        if self.processes.first:
            disk.save(self.out, disk.Checkpoint(weights, ema, training, state, told))


def _seed_dropout(seed: int, device: torch.device) -> None:
    """Seed torch's own generators, from which dropout draws."""
    # torch.manual_seed also visits devices that are not in use, at a millisecond a step.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _refuse(out: Path, resume: bool) -> None:
    """``InputError`` where there is no run to resume, or the folder of a new run is not empty."""
    if resume and not (out / "lock").is_file():
        raise InputError("There is no run in this folder to resume; start one without resume.")
    if not resume and out.exists() and (not out.is_dir() or not _unbegun(out)):
        raise InputError("The run folder exists and is not empty; resume it or choose another.")


def _unbegun(out: Path) -> bool:
    """Whether a folder is empty, or holds only what a run leaves that was killed before its config
    was written.
    """
    left = {"lock", LOCAL, f".tmp-{LOCAL}", RECORD, f".tmp-{RECORD}", f".tmp-{CONFIG}"}
    return {path.name for path in out.iterdir()} <= left
