"""Adversarial distillation: who learns from what, and a student of two steps that finds the law its
teacher's two steps miss.
"""

from __future__ import annotations

import pytest
import torch
from support.priors import energy_distance
from torch.nn.functional import relu

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import predictions
from unfog.core.process import ddpm_linear
from unfog.data.dataset import ArrayDataset
from unfog.errors import InputError
from unfog.networks import DiT, UNet
from unfog.networks.layers.heads import Heads
from unfog.sampling.consistency import Consistency
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers
from unfog.training.learner import Learner
from unfog.training.loop import train
from unfog.training.objectives.adversarial import generate
from unfog.training.objectives.denoising import objectives
from unfog.training.settings import TrainSettings

SMALL = {
    "dims": 1,
    "channels": 16,
    "multipliers": (1, 2),
    "blocks": 1,
    "groups": 4,
    "attention_levels": (),
}


def small_dit():
    return DiT(1, 1, dims=1, depth=2, width=16, heads=2)


def small_unet():
    return UNet(1, 1, **SMALL)


def small_denoiser(seed=0, prediction="v", network=small_unet):
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = network()
        for p in network.parameters():
            torch.nn.init.normal_(p, std=0.2)
    return NetworkDenoiser(
        network, ddpm_linear(), predictions.build(prediction), labels.build("time")
    )


def learns(losses, objective, denoiser):
    """The gradients of student and heads, None for those who do not learn in this turn, and the
    loss.
    """
    loss = losses.mean()
    many, everything = (
        len(list(denoiser.parameters())),
        [*denoiser.parameters(), *objective.head.parameters()],
    )
    found = torch.autograd.grad(loss, everything, allow_unused=True)
    return found[:many], found[many:], float(loss.detach())


@pytest.mark.parametrize("network", [small_unet, small_dit])
def test_each_learns_from_its_own_loss_in_its_own_turn(network):
    """The heads from the hinge, then the student from what the heads, as they have become, say of
    the same pictures.
    """
    teacher = small_denoiser(1, network=network).eval().requires_grad_(False)
    student = small_denoiser(2, network=network)
    objective = objectives.build(
        {"name": "adversarial-distillation", "times": "uniform"}, teacher=teacher
    )
    seen, inner = [], objective.head.forward
    objective.head.forward = lambda maps: seen.append(maps) or inner(maps)
    batch = {"x": torch.randn(6, 1, 12, generator=torch.Generator().manual_seed(0))}

    turns = objective(student, batch, range(6), 0, 1)
    for_student, for_heads, loss = learns(next(turns), objective, student)
    real, fake = seen
    assert loss == pytest.approx(
        (relu(1 - inner(real)) + relu(1 + inner(fake))).mean().item(), rel=1e-5
    )
    assert all(g is None for g in for_student)
    assert (
        sum(float(g.abs().max()) > 0 for g in for_heads) >= len(for_heads) - 3
    )  # within the margin the last biases cancel

    with torch.no_grad():
        for p in objective.head.parameters():
            p.mul_(1.5)
    for_student, for_heads, loss = learns(next(turns), objective, student)
    again = seen[2]
    assert all(torch.equal(a, b) for a, b in zip(again, fake, strict=True))
    assert loss == pytest.approx(-inner(fake).mean().item(), rel=1e-5)
    assert next(turns, None) is None
    assert all(g is None for g in for_heads)
    assert max(float(g.abs().max()) for g in for_student) > 0


def test_the_teacher_is_no_part_of_what_learns():
    """Not of what the optimiser moves, even where its weights could learn."""
    teacher, student = small_denoiser(1), small_denoiser(2)
    objective = objectives.build({"name": "adversarial-distillation"}, teacher=teacher)
    learner = Learner(
        student, TrainSettings(steps=2, batch=4, lr=0.1), torch.device("cpu"), objective.head
    )
    before = [p.detach().clone() for p in teacher.parameters()]
    moved = [p.detach().clone() for p in (*student.parameters(), *objective.head.parameters())]
    batch = {"x": torch.randn(4, 1, 12, generator=torch.Generator().manual_seed(0))}
    for step in (1, 2):
        learner.update(lambda step=step: objective(student, batch, range(4), 0, step), 0.1)
    assert all(torch.equal(a, b) for a, b in zip(before, teacher.parameters(), strict=True))
    after = (*student.parameters(), *objective.head.parameters())
    assert sum(not torch.equal(a, b) for a, b in zip(moved, after, strict=True)) > len(moved) // 2


def test_the_student_is_judged_as_it_will_sample():
    """What the loss is made of is what `unfog sample` draws from the same noise in so many
    steps.
    """
    student = small_denoiser(2)
    for segments in (1, 2, 3):
        model, noise = (
            Consistency(segments, 0.5),
            torch.randn(3, 1, 12, generator=torch.Generator().manual_seed(0)),
        )
        grid = grids.build({"name": "angle", "scale": 0.5})(student.process, segments)
        drawn = sample(student, noise, grid, model, randomness=torch.Generator())
        assert torch.equal(generate(student, noise, model, {}).detach(), drawn)


def test_heads_see_maps_of_any_size():
    heads = Heads([8, 12], 2, width=8)
    maps = [torch.randn(3, 8, 2, 1), torch.randn(3, 12, 7, 5)]
    verdict = heads(maps)
    assert verdict.shape == (3, 2)
    alone = heads([x[:1] for x in maps])
    assert torch.allclose(alone, verdict[:1], atol=1e-6)


def test_a_network_without_features_is_refused(tiny):
    with pytest.raises(InputError, match="no features"):
        objectives.build("adversarial-distillation", teacher=tiny.denoiser())


@pytest.mark.slow
def test_two_steps_of_a_student_beat_two_of_its_teacher(tmp_path):
    """Levels of either sign, a third of them below: the teacher's two steps blur the two, the
    student's do not, and keep their shares.
    """
    g = torch.Generator().manual_seed(0)
    sign = torch.where(torch.rand(4096, 1, 1, generator=g) < 1 / 3, -1.0, 1.0)
    x = (0.6 * sign + 0.1 * torch.randn(4096, 1, 1, generator=g)).expand(-1, 1, 8)
    data = ArrayDataset("levels", x.numpy(), {"name": "identity"})
    teacher = small_denoiser(1)
    common = {
        "batch": 32,
        "warmup": 20,
        "decay": "cosine",
        "ema": 0.99,
        "ema_power": 10.0,
        "checkpoint_every": 10_000,
    }
    train(
        teacher,
        objectives.build("denoising"),
        data,
        None,
        TrainSettings(steps=300, lr=3e-3, **common),
        tmp_path / "t",
        {},
        device="cpu",
    )
    teacher.eval().requires_grad_(False)
    student = small_denoiser(1)
    student.load_state_dict(teacher.state_dict())
    section = {"name": "adversarial-distillation", "segments": 2}
    settings = TrainSettings(steps=400, lr=5e-4, betas=(0.0, 0.99), head_rate=5.0, **common)
    train(
        student,
        objectives.build(section, teacher=teacher),
        data,
        None,
        settings,
        tmp_path / "s",
        {},
        device="cpu",
    )
    noise, grid = (
        torch.randn(1000, 1, 8, generator=g),
        grids.build({"name": "angle", "scale": 0.5})(teacher.process, 2),
    )

    def drawn(denoiser, sampler):
        return sample(denoiser.eval(), noise, grid, sampler, randomness=torch.Generator()).flatten(
            1
        )

    truth = x[:1000].flatten(1)
    few, blurred = drawn(student, Consistency(2, 0.5)), drawn(teacher, samplers.build("ddim"))
    assert energy_distance(few, truth) < 0.3 * energy_distance(blurred, truth)
    assert float((few.mean(1) < 0).float().mean()) == pytest.approx(1 / 3, abs=0.1)
