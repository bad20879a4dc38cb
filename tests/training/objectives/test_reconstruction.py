"""The objective of autoencoders: whose turn it is, who learns in it, and how the sides are
balanced.
"""

from __future__ import annotations

import pytest
import torch

from unfog.networks.autoencoder import AutoencoderKL
from unfog.training.learner import Learner
from unfog.training.objectives.perceptual import perceptual_distance
from unfog.training.objectives.reconstruction import Reconstruction
from unfog.training.order import streams
from unfog.training.settings import TrainSettings

SHAPE = (1, 16, 16)


def _autoencoder():
    torch.manual_seed(0)
    return AutoencoderKL(1, dims=2, channels=8, multipliers=(1, 2), blocks=1, groups=4)


def _batch(count=4):
    place = torch.linspace(-1, 1, 16)
    waves = [torch.sin((3 + k) * place)[:, None] * torch.cos(2 * place) for k in range(count)]
    return {"x": torch.stack(waves)[:, None]}


def _loss_before_the_start(features=None, **options):
    objective = Reconstruction(SHAPE, features, start=10, width=8, levels=2, **options)
    model, batch = _autoencoder(), _batch()
    (loss,) = list(objective(model, batch, range(4), 0, 10))
    coded = model(batch["x"], streams("latent", 0, 10, range(4)))
    return loss, coded, batch["x"]


def test_the_loss_is_the_error_and_the_penalty():
    loss, coded, x = _loss_before_the_start()
    wanted = (coded.x - x).abs().flatten(1).mean(1) + coded.penalty
    torch.testing.assert_close(loss, wanted)


def test_the_perceptual_distance_counts_with_its_weight():
    maps = lambda x: [torch.cat([x, x**2], 1)]  # noqa: E731
    plain, coded, x = _loss_before_the_start()
    loss, _, _ = _loss_before_the_start(maps, perceptual=0.7)
    torch.testing.assert_close(loss, plain + 0.7 * perceptual_distance(maps, x, coded.x))
    assert bool((perceptual_distance(maps, x, x) == 0).all())
    # Only the direction of a place's features counts.
    assert (
        float(
            perceptual_distance(
                lambda x: [x * torch.ones(1, 3, 1, 1)], x.abs() + 1, x.abs() + 2
            ).max()
        )
        < 1e-8
    )


def test_the_discriminator_learns_in_its_own_turn_and_only_then():
    objective = Reconstruction(SHAPE, adversarial=0.5, start=3, width=8, levels=2)
    settings = TrainSettings(steps=10, batch=4, lr=1e-3)
    learner = Learner(_autoencoder(), settings, torch.device("cpu"), objective.head)

    def moved(step):
        before = {name: p.detach().clone() for name, p in learner.named.items()}
        turns = objective(learner.model, _batch(), range(4), 0, step)
        counted, sides = 0, []
        for losses in turns:
            counted += 1
            learner._descend(losses, 1e-3)
            now = {n for n, p in learner.named.items() if not torch.equal(p, before[n])}
            sides.append({n.startswith("objective.") for n in now})
            before = {name: p.detach().clone() for name, p in learner.named.items()}
        return counted, sides

    assert moved(3) == (1, [{False}])
    assert moved(4) == (2, [{True}, {False}])


def test_the_adversarial_gradient_is_as_large_as_the_errors_at_the_last_layer():
    objective = Reconstruction(SHAPE, adversarial=1.0, start=0, width=8, levels=2)
    model, batch = _autoencoder(), _batch()
    last = model.last_layer
    both = list(objective(model, batch, range(4), 0, 1))[1]
    quiet = Reconstruction(SHAPE, adversarial=0.0)
    (error,) = list(quiet(model, batch, range(4), 0, 1))
    gradients = [torch.autograd.grad(x.mean(), last, retain_graph=True)[0] for x in (both, error)]
    added = gradients[0] - gradients[1]
    assert float(added.norm() / gradients[1].norm()) == pytest.approx(1.0, rel=0.02)


def test_a_sample_has_the_same_loss_in_any_batch():
    objective = Reconstruction(SHAPE, start=5, width=8, levels=2)
    model, batch = _autoencoder(), _batch()
    (together,) = list(objective(model, batch, range(4), 0, 1))
    (alone,) = list(objective(model, {"x": batch["x"][2:3]}, [2], 0, 1))
    torch.testing.assert_close(alone[0], together[2])


def test_it_learns_to_reconstruct():
    objective = Reconstruction(SHAPE, adversarial=0.2, start=40, width=8, levels=2)
    settings = TrainSettings(steps=80, batch=4, lr=4e-3)
    learner, errors = Learner(_autoencoder(), settings, torch.device("cpu"), objective.head), []
    for step in range(1, 81):
        batch = _batch()
        learner.update(lambda b=batch, s=step: objective(learner.model, b, range(4), 0, s), 4e-3)
        with torch.no_grad():
            errors.append(
                float(
                    (learner.model.decode(learner.model.encode(batch["x"])) - batch["x"])
                    .abs()
                    .mean()
                )
            )
    assert errors[-1] < 0.5 * errors[0]
