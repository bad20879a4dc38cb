"""Consistency: nothing to learn at the exact consistency function, and a small network that learns
one.
"""

from __future__ import annotations

import pytest
import torch
from support.priors import ExactJump, energy_distance, gaussian, mixture
from torch import nn

from unfog.core.denoiser import Denoiser, NetworkDenoiser, Posterior
from unfog.core.prediction import predictions
from unfog.core.process import EDM, RectifiedFlow, VPLinear, ddpm_linear
from unfog.data.dataset import ArrayDataset
from unfog.errors import InputError
from unfog.sampling.grids import angle, grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers
from unfog.training.loop import train
from unfog.training.objectives.consistency import Knots, descents, through
from unfog.training.objectives.denoising import objectives
from unfog.training.settings import TrainSettings


class Scaled(NetworkDenoiser):
    """A denoiser times (1 + gain), the one thing to learn, which is 0 where the denoiser is
    right.
    """

    def __init__(self, exact):
        super().__init__(
            nn.Identity(), exact.process, predictions.build("x0"), lambda process, t: t
        )
        self.exact, self.gain = exact, nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x_t, t, **condition):
        posterior = self.exact(x_t, t)
        return type(posterior)(posterior.mean * (1 + self.gain))


def loss_and_gradient(process, segments, knots, reach, n=256):
    oracle, _, _ = gaussian(process, 3)
    student = Scaled(ExactJump(oracle, segments))
    settings = {"segments": segments, "knots": knots, "reach": reach, "huber": 1.0}
    objective = objectives.build({"name": "consistency-distillation", **settings}, teacher=oracle)
    x0 = oracle.draw(n, torch.Generator().manual_seed(0))
    loss = objective(student, {"x": x0}, range(n), 0, 1).mean()
    (gradient,) = torch.autograd.grad(loss, student.gain)
    return float(loss.detach()), abs(float(gradient))


@pytest.mark.parametrize(("segments", "reach"), [(1, 1), (2, 1), (2, 3), (2, 99)])
@pytest.mark.parametrize(
    "process", [VPLinear(), EDM(), RectifiedFlow()], ids=lambda p: type(p).__name__
)
def test_the_exact_consistency_function_is_a_fixed_point(process, segments, reach):
    """Its loss and gradient are the solver's error: of order 2, so a squared error of order 4."""
    (coarse, steep), (fine, flat) = (
        loss_and_gradient(process, segments, knots, reach) for knots in (16, 32)
    )
    assert fine < 1e-5
    assert flat < 2e-3
    assert coarse / fine > 2**3
    assert steep / flat > 2**1.5


def test_another_function_is_not():
    """The mean of x_0 is the fixed point of no segment but the last few knots: the loss sees it,
    and so does the gradient.
    """
    oracle, _, _ = gaussian(VPLinear(), 3)
    objective = objectives.build({"name": "consistency-distillation", "huber": 1.0}, teacher=oracle)
    student, x0 = Scaled(oracle), oracle.draw(256, torch.Generator().manual_seed(0))
    assert float(objective(student, {"x": x0}, range(256), 0, 1).detach().mean()) > 0.01


def test_training_with_one_knot_is_denoising():
    """From one knot above the end the line through x_0 lands on x_0: the loss of the posterior mean
    is its known variance.
    """
    process, n = VPLinear(), 4000
    oracle, _, _ = gaussian(process, 2)
    objective = objectives.build(
        {"name": "consistency-training", "first": 1, "last": 1, "huber": 1e3}, process=process
    )
    x0 = oracle.draw(n, torch.Generator().manual_seed(0))
    # sqrt(e + c^2) - c = e / 2c
    loss = objective(Scaled(oracle), {"x": x0}, range(n), 0, 1).detach().mean() * 2e3
    one = torch.ones((), dtype=torch.float64)
    variance = oracle(
        torch.zeros(1, 2, dtype=torch.float64), one
    ).variance.mean()  # a Gaussian's does not depend on x_t
    assert float(loss) == pytest.approx(float(variance), rel=0.06)


def test_through_is_the_inverse_of_a_straight_step():
    from unfog.sampling.ode import straight

    g = torch.Generator().manual_seed(0)
    x_t, x0 = (torch.randn(4, 2, generator=g, dtype=torch.float64) for _ in range(2))
    t, s = torch.tensor([1.0, 0.9, 0.5, 0.1]).double(), torch.tensor([0.5, 0.0, 0.3, 0.05]).double()
    for process in (VPLinear(), EDM(), RectifiedFlow()):
        assert torch.allclose(
            through(process, x_t, straight(process, x_t, x0, t, s), t, s), x0, atol=1e-9
        )


def test_a_teacher_that_is_blind_at_the_noisy_end_is_not_asked_there():
    """Whatever it says at t = 1 the way down is the same, and keeps the law: the covariance of x_s
    is the forward process's.
    """
    process = VPLinear()
    oracle, _, covariance = gaussian(process, 2)

    class Blind(Denoiser):
        def forward(self, x_t, t, **condition):
            mean = oracle(x_t, t).mean
            return Posterior(torch.where(t.view(-1, 1) < 1, mean, 1e3))

    blind, g, n = Blind(), torch.Generator().manual_seed(0), 20_000
    blind.process = process
    t, between, s = (v.repeat(n) for v in angle(0.5)(process, 24)[:3, None])
    x0 = oracle.draw(n, g)
    x_t = process.alpha(t)[:, None] * x0 + process.sigma(t)[:, None] * torch.randn(
        n, 2, generator=g, dtype=torch.float64
    )
    down = [
        descents.build("flow-from-data", teacher=teacher)(x0, x_t, t, between, s, {})
        for teacher in (blind, oracle)
    ]
    assert torch.equal(*down)
    alpha, sigma = process.alpha(s[0]), process.sigma(s[0])
    wanted = alpha**2 * covariance + sigma**2 * torch.eye(2, dtype=torch.float64)
    assert torch.allclose(down[0].T.cov(), wanted, rtol=0.04, atol=0.03)
    flow = descents.build("flow", teacher=blind)(x0, x_t, t, between, s, {})
    assert float((flow - down[0]).abs().max()) > 1


def test_knots_double():
    knots = Knots(2, 12, 10)
    assert [knots(step) for step in (1, 10, 11, 21, 31, 10**9)] == [2, 2, 4, 8, 12, 12]


def test_conditions_are_dropped_alike_for_teacher_and_student(tiny):
    """With every class hidden the class does not matter, on any of the ways down; shown, it
    does.
    """
    for reach in (1, 4):
        teacher, student = tiny.denoiser().eval(), tiny.denoiser().eval()
        batch = {"x": torch.zeros(8, 1, 8, 8), "label": torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])}
        other = {**batch, "label": torch.tensor([2, 2, 1, 1, 0, 0, 2, 2])}
        for drop, same in ((1.0, True), (0.0, False)):
            section = {
                "name": "consistency-distillation",
                "knots": 4,
                "reach": reach,
                "drop": {"label": drop},
            }
            objective = objectives.build(section, teacher=teacher)
            assert (
                torch.equal(*(objective(student, b, range(8), 0, 1) for b in (batch, other)))
                is same
            )


@pytest.mark.parametrize(
    "change",
    [
        {"knots": 0},
        {"reach": 0},
        {"huber": 0.0},
        {"segments": 0},
        {"scale": -1.0},
        {"drop": {"label": 2}},
    ],
)
def test_bad_objectives_are_refused(change):
    oracle, _, _ = gaussian(VPLinear(), 2)
    with pytest.raises(InputError):
        objectives.build({"name": "consistency-distillation", **change}, teacher=oracle)(
            Scaled(oracle), {"x": torch.zeros(2, 2).double()}, range(2), 0, 1
        )


class Perceptron(nn.Module):
    """x_t (batch, 2, 1) and the label to the output."""

    def __init__(self, width=96):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(4, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, x, label, context):
        clock = torch.stack([torch.sin(3 * label), torch.cos(3 * label)], 1)
        return self.layers(torch.cat([x.flatten(1), clock], 1)).view(x.shape)


def learned(oracle, folder, reach=4, steps=1500):
    """A perceptron distilled into two steps from the exact denoiser of a mixture."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        student = NetworkDenoiser(
            Perceptron(), oracle.process, predictions.build("v"), lambda process, t: t
        )
    data = ArrayDataset(
        "mixture",
        oracle.draw(4096, torch.Generator().manual_seed(1)).float()[..., None],
        {"name": "identity"},
    )
    section = {
        "name": "consistency-distillation",
        "segments": 2,
        "knots": 4,
        "reach": reach,
        "scale": 1.5,
    }
    settings = TrainSettings(
        steps=steps, batch=128, lr=4e-3, warmup=50, decay="cosine", ema=0.99, checkpoint_every=steps
    )
    train(
        student,
        objectives.build(section, teacher=oracle),
        data,
        None,
        settings,
        folder,
        {},
        device="cpu",
    )
    return student.eval()


@pytest.mark.slow
def test_two_steps_of_a_student_beat_two_of_its_teacher(tmp_path):
    """They lie far nearer to the law than the exact denoiser's two DDIM steps, and the modes have
    their weights.
    """
    oracle = mixture(ddpm_linear(), k=3)
    student, noise = (
        learned(oracle, tmp_path / "run"),
        torch.randn(2000, 2, 1, generator=torch.Generator().manual_seed(2)),
    )
    truth = oracle.draw(2000, torch.Generator().manual_seed(3)).float()

    def drawn(denoiser, sampler, grid):
        times = grids.build(grid)(oracle.process, 2)
        return sample(
            denoiser, noise, times, samplers.build(sampler), randomness=torch.Generator()
        ).flatten(1)

    few = drawn(
        student,
        {"name": "consistency", "segments": 2, "scale": 1.5},
        {"name": "angle", "scale": 1.5},
    )
    teachers = [
        energy_distance(drawn(oracle, "ddim", grid), truth)
        for grid in ({"name": "angle", "scale": 1.5}, "trailing")
    ]
    assert energy_distance(few, truth) < 0.2 * min(teachers)
    shares = torch.bincount(torch.cdist(few, oracle.means.float()).argmin(1), minlength=3) / len(
        few
    )
    assert float((shares - oracle.weights).abs().max()) < 0.05
