"""``unfog.Denoiser``: its loss in closed form, and a training loop of six lines that learns what is
known.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unfog.core.process import EDM, RectifiedFlow, VPCosine, ddpm_linear, processes
from unfog.errors import InputError
from unfog.runs.conventions import conventions
from unfog.runs.denoiser import Denoiser
from unfog.runs.sample import sample


class Zero(nn.Module):
    """A network that answers zero."""

    def forward(self, x, label):
        return torch.zeros_like(x)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_loss_of_the_best_edm_network_is_one():
    """For N(0, sigma_data^2) the best network of EDM answers 0: its x_0 is c_skip x, whose error is
    c_out^2 by Karras et al. 2022, so the loss is 1 at every noise level.
    """
    denoiser = Denoiser(Zero(), prediction={"name": "edm", "sigma_data": 0.5})
    loss = denoiser.loss(0.5 * normal(64, 1, 32, 32), torch.Generator().manual_seed(1))
    assert loss.shape == (64,)
    assert float(loss.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize(
    ("process", "prediction", "expected"),
    [("vp-cosine", "noise", 1.0), ("ddpm-linear", "v", None), ("flow", "flow", 1 + 0.25)],
)
def test_the_loss_is_the_power_of_the_target(process, prediction, expected):
    """Zero's loss is E target^2: 1 for noise, alpha^2 + sigma^2 / 4 for v, 1 + 1/4 for flow."""
    denoiser = Denoiser(Zero(), process, prediction)
    loss = denoiser.loss(0.5 * normal(256, 1, 16, 16), torch.Generator().manual_seed(1))
    if expected is None:
        knots = torch.arange(1, 1001, dtype=torch.float64) / 1000
        alpha, sigma = denoiser.scales(knots)
        expected = float((alpha**2 + 0.25 * sigma**2).mean())
    assert float(loss.mean()) == pytest.approx(expected, rel=0.02)


class Perceptron(nn.Module):
    """Two numbers and a label to two numbers."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU())
        self.out = nn.Linear(64, 2)

    def forward(self, x, label):
        told = torch.cat([x.flatten(1), label[:, None]], 1)
        return self.out(self.layers(told)).view_as(x)


def test_a_loop_of_six_lines_learns_two_points():
    """Data at (1, 0) and (-1, 0), spread by .1: samples are there, and not before training."""
    torch.manual_seed(0)
    den = Denoiser(Perceptron(), process="edm", prediction={"name": "edm", "sigma_data": 0.7})
    data = 0.1 * normal(4096, 2, 1) + torch.tensor([1.0, 0.0]).view(2, 1) * torch.where(
        torch.arange(4096) % 2 == 0, 1.0, -1.0
    ).view(-1, 1, 1)

    def stray():
        x = sample(den, (400, 2, 1), steps=18, seed=1)[..., 0]
        return float((torch.stack([x[:, 0].abs() - 1, x[:, 1]], 1)).norm(dim=1).median())

    before = stray()
    optimiser = torch.optim.Adam(den.parameters(), lr=3e-3)
    for _ in range(600):
        loss = den.loss(data[torch.randperm(4096)[:256]]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert before > 0.3
    assert stray() < 0.2
    assert den.training  # sampling put it back


def test_a_sample_depends_on_its_number_alone():
    den = Denoiser(Perceptron(), process="vp-cosine", prediction="v")
    few, many = (sample(den, (n, 2, 1), sampler="ddpm", steps=5, seed=3) for n in (2, 6))
    assert torch.allclose(few, many[:2], atol=1e-6)


@pytest.mark.parametrize("name", processes.names())
def test_every_process_has_conventions_that_work(name):
    if name == "zero-snr":
        den = Denoiser(Zero(), {"name": name}, "v")
    else:
        den = Denoiser(Zero(), name, "x0")
    assert bool(torch.isfinite(den.loss(normal(8, 1, 4, 4))).all())
    assert bool(torch.isfinite(sample(den, (2, 1, 4, 4), sampler="ddim", steps=6)).all())


def test_conventions_are_those_of_the_papers():
    assert conventions(EDM()).grid == {"name": "karras"}
    assert conventions(RectifiedFlow()).times == {"name": "log-normal", "mean": 0.0, "std": 1.0}
    assert conventions(ddpm_linear(steps=50)).times == {"name": "uniform", "steps": 50}
    assert conventions(VPCosine()).label == {"name": "time"}


class Cropped(Zero):
    """A network whose output has another shape."""

    def forward(self, x, label):
        return x[..., 1:]


def test_bad_input_is_one_sentence():
    x = normal(2, 1, 8, 8)
    with pytest.raises(InputError, match=r"The network Cropped gives \(2, 1, 8, 7\)"):
        Denoiser(Cropped()).loss(x)
    with pytest.raises(InputError, match="not finite"):
        Denoiser(Zero()).loss(x / 0)
    with pytest.raises(InputError, match="did you mean 'edm'"):
        Denoiser(Zero(), process="edn")
    with pytest.raises(InputError, match="draws by itself"):
        sample("t1-slices", (2, 1, 8, 8))
