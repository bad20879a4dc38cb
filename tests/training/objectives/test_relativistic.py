"""The relativistic game: its penalties against gradients by hand, its turns, its equilibrium."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unfog.networks.generator import VAE, Upward
from unfog.training.objectives.evidence import Evidence
from unfog.training.objectives.relativistic import Relativistic, with_slope


class Quadratic(nn.Module):
    """D(x) = sum a x^2 + b x, whose gradient is 2 a x + b."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(0.7)), nn.Parameter(torch.tensor(-0.2))

    def forward(self, x: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor:
        return (self.a * x**2 + self.b * x).flatten(1).sum(1)


def test_the_penalty_and_its_gradient_are_those_by_hand() -> None:
    critic, x = Quadratic(), torch.tensor([[1.0, 2.0], [0.5, -1.0]])
    verdict, steep = with_slope(critic, x)
    slope = 2 * 0.7 * x - 0.2
    torch.testing.assert_close(steep, slope.square().sum(1))
    torch.testing.assert_close(verdict, (0.7 * x**2 - 0.2 * x).sum(1))
    steep.sum().backward()
    # d/da sum (2 a x + b)^2 = sum 4 x (2 a x + b); d/db = sum 2 (2 a x + b).
    assert float(critic.a.grad) == pytest.approx(float((4 * x * slope).sum()), rel=1e-5)
    assert float(critic.b.grad) == pytest.approx(float((2 * slope).sum()), rel=1e-5)


def turns(gamma: float):
    torch.manual_seed(0)
    generator = Upward((2,), 3, 8, [1], 1)
    objective = Relativistic((2,), gamma, 8, [1], 1)
    x = torch.randn(5, 2)
    return generator, objective, x, objective(generator, {"x": x}, range(5), 0, 1)


def test_each_turn_teaches_its_own_side() -> None:
    generator, objective, _, losses = turns(1.0)
    first = next(losses)
    first.mean().backward()
    assert all(p.grad is None for p in generator.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in objective.head.parameters())
    objective.head.zero_grad(set_to_none=True)
    second = next(losses)
    second.mean().backward()
    assert all(p.grad is None for p in objective.head.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in generator.parameters())
    assert next(losses, None) is None


def test_the_losses_are_the_two_sides_of_one_game() -> None:
    _, _, _, losses = turns(0.0)
    first, second = next(losses), next(losses)  # the critic was not updated in between
    # f(t) - f(-t) = t and f(t) + f(-t) >= 2 log 2.
    assert bool((first + second >= 2 * math.log(2) - 1e-6).all())
    difference = first - second
    torch.testing.assert_close(first, torch.nn.functional.softplus(difference))


def test_the_generator_faces_the_critic_as_it_has_become() -> None:
    _, objective, _, losses = turns(0.0)
    first = next(losses)
    with torch.no_grad():
        for p in objective.head.parameters():
            p.zero_()  # a critic that says 0 of everything
    torch.testing.assert_close(next(losses), torch.full_like(first, math.log(2)))


def test_the_weight_of_the_divergence_rises_to_beta() -> None:
    torch.manual_seed(0)
    model, x = VAE((2,), 3, 8, [1]), torch.randn(4, 2)
    plain = Evidence((2,), 0.0)(model, {"x": x}, range(4), 0, 5)
    full = Evidence((2,), 2.0)(model, {"x": x}, range(4), 0, 5)
    half = Evidence((2,), 2.0, rise=10)(model, {"x": x}, range(4), 0, 5)
    torch.testing.assert_close(half, (plain + full) / 2)
    assert bool((full > plain).all())


@pytest.mark.slow
def test_the_game_finds_a_gaussian() -> None:
    """Mean and deviation of two coordinates, from a generator that begins elsewhere."""
    torch.manual_seed(0)
    generator, objective = Upward((2,), 4, 32, [1], 1), Relativistic((2,), 0.1, 32, [1], 1)
    both = [
        torch.optim.Adam(part.parameters(), 2e-3, (0.0, 0.99))
        for part in (objective.head, generator)
    ]
    mean, std = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 1.0])
    for step in range(1, 601):
        x = mean + std * torch.randn(64, 2)
        for optimizer, losses in zip(
            both, objective(generator, {"x": x}, range(64), 0, step), strict=True
        ):
            optimizer.param_groups[0]["lr"] = 4e-3 * (1 - step / 601)
            optimizer.zero_grad(set_to_none=True)
            losses.mean().backward()
            optimizer.step()
    with torch.no_grad():
        drawn = generator(torch.randn(4000, 4))
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.25, rtol=0)
    torch.testing.assert_close(drawn.std(0), std, atol=0.3, rtol=0)
