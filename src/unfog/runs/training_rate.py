"""How fast a config trains here, measured."""

from __future__ import annotations

import time
from functools import partial

import torch

from unfog.core.denoiser import NetworkDenoiser
from unfog.data.augment import augmentations
from unfog.data.dataset import Dataset
from unfog.runs.machine import Clock
from unfog.runs.train_from_config import model_of, objective_of, training_data
from unfog.systems.registry import Config
from unfog.training.feed import Feed
from unfog.training.learner import Learner
from unfog.training.settings import TrainSettings


def rate(
    config: Config,
    dataset: Dataset,
    seconds: float = 8.0,
    teacher: NetworkDenoiser | None = None,
    clock: Clock = time.perf_counter,
) -> float:
    """Training steps a second of a config, measured by training a copy that is thrown away.

    Args:
        config: The config, complete.
        dataset: The training data.
        seconds: How long to measure; at most 999 steps are made.
        teacher: The denoiser that an objective of distillation asks for.
        clock: Of the seconds.

    Returns:
        Steps a second, without the first two, which allocate memory.
    """
    settings = TrainSettings.of(config["training"])
    model = model_of(config)
    data, codec = training_data(config, dataset)
    objective = objective_of(config, teacher)
    head = getattr(objective, "head", None)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    learner = Learner(model, settings, device, head)
    augment = augmentations.build(config["augment"])
    feed = Feed(data, augment, codec, settings, learner.device)
    steps, begun = 0, 0.0
    for step in range(1, 1000):
        batch, samples = feed(step)
        losses = partial(objective, learner.model, batch, samples, settings.seed, step)
        learner.update(losses, settings.lr)
        if step == 2:
            begun = clock()
        elif step > 2:
            steps += 1
            if clock() - begun > seconds:
                break
    return steps / (clock() - begun)
