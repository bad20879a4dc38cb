"""The average over half turns: its group, its exact equivariance, and that it leaves an exact
posterior mean as it is.
"""

from __future__ import annotations

import torch

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.dmri import harmonics
from unfog.dmri.denoising.half_turns import HALF_TURNS, OverHalfTurns, turned

X = torch.randn(2, 16, 4, 6, 5, generator=torch.Generator().manual_seed(0))
T = torch.tensor(0.1, dtype=torch.float64)


class Lopsided(Denoiser):
    """Looks to one side and along one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.process = EDM(4.0)

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, **condition: object) -> Posterior:
        return Posterior(
            x_t * torch.linspace(0, 1, x_t.shape[2])[:, None, None] + x_t.roll(1, 3).flip(1)
        )


def test_they_are_a_group_of_symmetries() -> None:
    known = {tuple(turn.flatten().tolist()) for turn in HALF_TURNS}
    assert {tuple((a @ b).flatten().tolist()) for a in HALF_TURNS for b in HALF_TURNS} == known
    assert all(float(torch.linalg.det(turn)) == 1 for turn in HALF_TURNS)


def test_turning_a_shell_turns_the_function_it_stands_for() -> None:
    """At the voxel that p moves to, the value in the direction that u turns to is what it was at p
    along u.
    """
    u = harmonics.fibonacci(40)
    for turn in harmonics.octahedral()[3::7]:
        moved = turned(X.double(), turn)
        before = torch.einsum("bcxyz,nc->bnxyz", X[:, 1:].double(), harmonics.design(u, 4))
        after = torch.einsum("bcxyz,nc->bnxyz", moved[:, 1:], harmonics.design(u @ turn.T, 4))
        torch.testing.assert_close(after, harmonics.turn_volume(before, turn))
        torch.testing.assert_close(moved[:, 0], harmonics.turn_volume(X[:, 0].double(), turn))
        torch.testing.assert_close(turned(moved, turn.T), X.double())


def test_half_turns_of_the_scan_half_turn_the_answer() -> None:
    average, lopsided = OverHalfTurns(Lopsided()), Lopsided()
    for turn in HALF_TURNS[1:]:
        torch.testing.assert_close(
            average(turned(X, turn), T).mean, turned(average(X, T).mean, turn)
        )
        assert not torch.allclose(
            lopsided(turned(X, turn), T).mean, turned(lopsided(X, T).mean, turn), atol=0.1
        )


def test_an_answer_that_knows_no_turn_stays() -> None:
    class Shrink(Lopsided):
        def forward(self, x_t: torch.Tensor, t: torch.Tensor, **condition: object) -> Posterior:
            return Posterior(0.3 * x_t)

    torch.testing.assert_close(OverHalfTurns(Shrink())(X, T).mean, 0.3 * X)
