"""Losses at the oracle of a Gaussian: their value is its closed form, and their gradient
vanishes.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unfog.core.bound import density, prior_term
from unfog.core.bridge import Bridge
from unfog.core.conditioning import Context
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.core.shapes import expand
from unfog.core.variance import LearnedRange
from unfog.errors import InputError
from unfog.training.objectives.denoising import (
    DenoisingObjective,
    denoising,
    hybrid,
    learned_weight,
    objectives,
    variational,
    variational_continuous,
)
from unfog.training.objectives.losses import Denoising, weights
from unfog.training.objectives.times import times
from unfog.training.objectives.variational import Continuous
from unfog.training.objectives.weighting import LogVariance

SPREAD, D = 0.5, 36
# of the data, in bits per dimension
ENTROPY = 0.5 * math.log(2 * math.pi * math.e * SPREAD**2) / math.log(2)
STEPS = 20


class Oracle(nn.Module):
    """Knows noise and variance of x_0 ~ N(0, SPREAD^2), each shifted by a parameter that is 0."""

    def __init__(self, process, learned=None):
        super().__init__()
        self.process, self.learned = process, learned
        self.mean_shift, self.v_shift = (
            nn.Parameter(torch.zeros(1, 6, 6).double()),
            nn.Parameter(torch.zeros(1, 6, 6).double()),
        )

    def forward(self, x_t, t, context: Context):
        t = t.double()
        if self.learned is not None:
            t = (
                t * self.learned.steps
            ).round() / self.learned.steps  # the label is told in float32
        alpha, sigma = self.process.alpha(t), self.process.sigma(t)
        power = alpha**2 * SPREAD**2 + sigma**2
        noise = expand(sigma / power, x_t) * x_t + self.mean_shift
        if self.learned is None:
            return noise
        return torch.cat(
            [noise, (self.v(t, SPREAD**2 * sigma**2 / power) + self.v_shift).expand_as(noise)], 1
        )

    def v(self, t, variance):
        """v of a step whose variance is the true one, small + gain^2 Var(x_0 | x_t)."""
        s = (t - 1 / self.learned.steps).clamp(min=0)
        s[s < 1e-9] = 0
        bridge = Bridge.of(self.process, t, s)
        second = Bridge.of(
            self.process, *torch.tensor([2 / self.learned.steps, 1 / self.learned.steps]).double()
        )
        low, high = torch.where(s > 0, bridge.small, second.small).log(), bridge.large.log()
        return (2 * ((bridge.small + bridge.x0_gain**2 * variance).log() - low) / (high - low) - 1)[
            :, None, None, None
        ]


def oracle(name, steps=None):
    process = processes.build(name)
    learned = None if steps is None else LearnedRange(steps)
    return NetworkDenoiser(
        Oracle(process, learned),
        process,
        predictions.build("noise"),
        lambda process, t: t,
        variance=learned,
    )


def data(n):
    return SPREAD * torch.randn(
        n, 1, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


TABLE = {"name": "ddpm-linear", "steps": STEPS, "beta_start": 0.005, "beta_end": 0.9}


def posterior_variance(process, t):
    alpha, sigma = process.alpha(t), process.sigma(t)
    return SPREAD**2 * sigma**2 / (alpha**2 * SPREAD**2 + sigma**2)


def compare(objective, denoiser, wanted):
    """Each sample's loss has the mean ``wanted(t)`` bits per dimension and its own prior term: to
    four standard errors, and these small.
    """
    n, x = 2000, data(2000)
    with torch.no_grad():
        losses = objective(denoiser, {"x": x}, range(n), 0, 1)
    t = objective.times(objective.uniforms(0, 1, range(n)), denoiser.process)
    bits = wanted(t) + prior_term(denoiser.process, x, torch.ones(()).double()) / (D * math.log(2))
    ratio = losses / bits - 1
    error = float(ratio.std()) / math.sqrt(n)
    assert error < 0.02
    assert abs(float(ratio.mean())) < 4 * error


def prior(process):
    """The mean of the prior term in bits per dimension."""
    return 0.5 * SPREAD**2 / float(process.noise_level(torch.ones(()).double())) ** 2 / math.log(2)


def test_the_bound_of_a_table_is_the_entropy_at_the_oracle():
    """With its true variance v the reverse chain is exact: a step costs log(v / small) / 2, the
    last the entropy of N(., v).
    """
    denoiser = oracle(TABLE, STEPS)
    process = denoiser.process

    def wanted(t):
        s = torch.where(t > 1.5 / STEPS, t - 1 / STEPS, 0)
        bridge = Bridge.of(process, t, s)
        v = bridge.small + bridge.x0_gain**2 * posterior_variance(process, t)
        nats = 0.5 * torch.where(s > 0, (v / bridge.small).log(), (2 * math.pi * math.e * v).log())
        return STEPS * nats / math.log(2)

    knots = torch.arange(1, STEPS + 1).double() / STEPS
    assert float(wanted(knots).mean()) + prior(process) == pytest.approx(ENTROPY, abs=1e-4)
    compare(variational(STEPS, "posterior", "density"), denoiser, wanted)


def test_the_bound_of_a_table_is_the_evaluations():
    """The mean over every knot of the loss is the bound that ``evaluation`` sums along the grid."""
    from unfog.evaluation.variational import variational_bound
    from unfog.sampling.ancestral import large

    denoiser, x = oracle(TABLE, STEPS), data(64)
    knots = torch.arange(STEPS, 0, -1).double() / STEPS
    objective = variational(STEPS, "large", "bins")
    with torch.no_grad():
        found = []
        for t in knots:
            fixed = DenoisingObjective(lambda u, process, t=t: t.expand(len(u)), objective.loss)
            found.append(fixed(denoiser, {"x": x}, range(64), 0, 1))
    grid = torch.cat([knots, torch.zeros(1).double()])
    summed = variational_bound(
        denoiser,
        x,
        grid,
        large,
        randomness=torch.Generator().manual_seed(5),
        decoder=objective.loss.decoder,
    )
    mine, theirs = float(torch.stack(found).mean()), float(summed.mean()) / (D * math.log(2))
    assert mine == pytest.approx(theirs, rel=0.01)  # the noise differs


@pytest.mark.parametrize("process", ["vp-linear", "ve", "sub-vp"])
def test_the_bound_in_continuous_time_is_the_entropy_at_the_oracle(process):
    """Down to ``start`` the reversed diffusion is exact, and so is the last step with its true
    variance.
    """
    denoiser, start = oracle(process), 0.05
    process = denoiser.process
    last = posterior_variance(process, torch.tensor(start, dtype=torch.float64))

    def wanted(t):
        rate = (
            -0.5
            * torch.autograd.functional.jvp(
                lambda time: process.log_snr(time).exp(), t, torch.ones_like(t)
            )[1]
        )
        nats = torch.where(
            t > start,
            rate * posterior_variance(process, t),
            0.5 * (2 * math.pi * math.e * last).log() / start,
        )
        return nats / math.log(2)

    even = start + (1 - start) * (torch.arange(200_000).double() + 0.5) / 200_000
    whole = (
        (1 - start) * float(wanted(even).mean())
        + start * float(wanted(torch.tensor([start], dtype=torch.float64)))
        + prior(process)
    )
    assert whole == pytest.approx(ENTROPY, abs=1e-4)
    loss = Continuous(start, lambda bridge, posterior, x_t: last.expand_as(x_t), density)
    compare(DenoisingObjective(variational_continuous(start).times, loss), denoiser, wanted)


def test_the_gradient_of_the_bound_vanishes_at_the_oracle():
    denoiser = oracle(TABLE, STEPS)
    variational(STEPS, "posterior", "density")(
        denoiser, {"x": data(4000)}, range(4000), 0, 1
    ).mean().backward()
    at = [
        abs(float(p.grad.mean())) for p in (denoiser.network.mean_shift, denoiser.network.v_shift)
    ]
    for p in denoiser.parameters():
        p.grad, p.data = None, p.data + 0.5
    variational(STEPS, "posterior", "density")(
        denoiser, {"x": data(4000)}, range(4000), 0, 1
    ).mean().backward()
    off = [
        abs(float(p.grad.mean())) for p in (denoiser.network.mean_shift, denoiser.network.v_shift)
    ]
    assert at[0] < 0.1 * off[0]
    assert at[1] < 0.1 * off[1]


def test_hybrid_teaches_the_mean_by_the_simple_loss_and_the_variance_by_the_bound():
    batch, grads = {"x": data(64)}, []
    simple, both = (
        denoising(times={"name": "uniform", "steps": STEPS}),
        hybrid(STEPS, scale=0.7, decoder="density"),
    )
    bound = variational(STEPS, "posterior", "density")
    for objective in (simple, both, bound):
        denoiser = oracle(TABLE, STEPS)
        for p in denoiser.parameters():
            p.data += 0.1
        loss = objective(denoiser, batch, range(64), 0, 1)
        loss.mean().backward()
        grads.append(
            (denoiser.network.mean_shift.grad, denoiser.network.v_shift.grad, loss.detach())
        )
    (mean, none, value), (same, v, total), (_, wanted, bits) = grads
    assert torch.equal(mean, same)
    assert none is None or not none.any()
    assert torch.allclose(v, 0.7 * wanted, rtol=1e-12)
    assert torch.allclose(total, value + 0.7 * bits)
    with pytest.raises(InputError, match="learned variance"):
        both(oracle("ddpm-linear"), batch, range(64), 0, 1)


def test_hybrid_learns_again_from_below_its_range():
    """Where v < -1 the step's variance is under the least possible one, and the loss still says
    which way is up.
    """
    denoiser = oracle(TABLE, STEPS)
    denoiser.network.v_shift.data -= 3.0
    hybrid(STEPS, decoder="density")(denoiser, {"x": data(256)}, range(256), 0, 1).mean().backward()
    assert bool((denoiser.network.v_shift.grad < 0).all())
    with torch.no_grad():
        assert bool((denoiser(data(4), torch.tensor(0.5).double()).variance >= 0).all())


def test_first_loss_of_an_untrained_variance_is_moderate():
    """The first step's range is that of the second, as in the paper's code: else v = 0 there means
    a variance near 1e-12.
    """
    process = processes.build("ddpm-cosine")

    class Zero(nn.Module):
        def forward(self, x_t, t, context):
            return torch.zeros_like(x_t).repeat(1, 2, 1, 1)

    denoiser = NetworkDenoiser(
        Zero(),
        process,
        predictions.build("noise"),
        lambda process, t: t,
        variance=LearnedRange(1000),
    )
    losses = hybrid(1000)(denoiser, {"x": data(1000).float().clamp(-1, 1)}, range(1000), 0, 1)
    assert float(losses.mean()) < 2


def test_score_matching_is_one_on_the_noise_whatever_is_predicted():
    """sigma^2 |score error|^2 by the definition of each prediction."""
    process = processes.build("ve")
    t, x = torch.tensor([0.2, 0.5, 0.9]).double(), data(3)
    for name in ("noise", "score", "x0", "v", "flow", "edm"):
        prediction = predictions.build(name)

        class Off(nn.Module):
            def forward(self, scaled, label, context):
                return torch.zeros_like(scaled)

        denoiser = NetworkDenoiser(Off(), process, prediction, lambda process, t: t)
        objective = DenoisingObjective(
            lambda u, process: t, Denoising(weights.build("score-matching"))
        )
        example = objective.example(denoiser, x, range(3), 0, 1)
        sigma = expand(process.sigma(t), x)
        wrong = denoiser.score(example.x_t, t) + example.noise / sigma
        wanted = (sigma * wrong).square().flatten(1).mean(1)
        assert torch.allclose(objective(denoiser, {"x": x}, range(3), 0, 1), wanted, rtol=1e-9)


def test_the_log_variance_that_the_learned_weight_settles_at_is_the_loss_of_each_level():
    """For the ideal denoiser and x0 prediction that is ln Var(x_0 | x_t): the gradient to u
    vanishes there, and the head finds it.
    """
    process = processes.build("edm")

    class Mean(nn.Module):
        def forward(self, x_t, t, context):
            variance = process.sigma(t.double()) ** 2
            return expand(SPREAD**2 / (SPREAD**2 + variance), x_t) * x_t

    denoiser = NetworkDenoiser(Mean(), process, predictions.build("x0"), lambda process, t: t)
    objective = learned_weight({"name": "log-normal", "mean": -0.7, "std": 1.0}, channels=32)
    optimizer = torch.optim.LBFGS(
        objective.head.parameters(), max_iter=80, line_search_fn="strong_wolfe"
    )
    x = data(1500)
    plain = denoising({"name": "log-normal", "mean": -0.7, "std": 1.0})
    assert torch.equal(
        objective(denoiser, {"x": x}, range(1500), 0, 1),
        plain(denoiser, {"x": x}, range(1500), 0, 1),
    )  # u starts at 0

    example, u = objective.example(denoiser, x, range(1500), 0, 1), objective.head.head
    with torch.no_grad():
        out = denoiser.output(example.x_t, example.t, Context())

    def closure():
        optimizer.zero_grad()
        loss = objective.loss(denoiser, example, out).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    level = torch.linspace(-2.2, 0.8, 9).exp().double()
    wanted = (SPREAD**2 * level**2 / (SPREAD**2 + level**2)).log()
    assert torch.allclose(u(level).double(), wanted, atol=0.1)


def test_the_learned_weight_scales_the_gradient_of_the_network():
    denoiser = oracle("vp-linear")
    denoiser.network.mean_shift.data += 0.2
    objective = learned_weight({"name": "log-normal", "mean": 0.0, "std": 1.0})
    head: LogVariance = objective.head.head
    nn.init.constant_(head.linear.bias, 1.7)
    u = float(head(torch.ones(1).double()).detach())
    x = {"x": data(16)}
    weighted = torch.autograd.grad(
        objective(denoiser, x, range(16), 0, 1).mean(), denoiser.network.mean_shift
    )[0]
    plain = torch.autograd.grad(
        denoising({"name": "log-normal", "mean": 0.0, "std": 1.0})(
            denoiser, x, range(16), 0, 1
        ).mean(),
        denoiser.network.mean_shift,
    )[0]
    assert torch.allclose(weighted, plain * math.exp(-u), rtol=1e-6)


def test_geometric_times_are_the_levels():
    process, levels = (
        processes.build("ve"),
        times.build({"name": "geometric", "count": 10, "low": 0.01, "high": 40.0}),
    )
    u = torch.cat([torch.tensor([2.0**-53, 1 - 2.0**-53]), (torch.arange(10) + 0.5) / 10]).double()
    found = process.noise_level(levels(u, process))
    wanted = torch.logspace(math.log10(0.01), math.log10(40.0), 10, dtype=torch.float64)
    assert torch.allclose(found, torch.cat([wanted[[0, -1]], wanted]), rtol=1e-9)


def test_log_normal_times_of_a_rectified_flow_are_logit_normal():
    u = torch.linspace(0.01, 0.99, 9).double()
    found = times.build({"name": "log-normal", "mean": 0.3, "std": 0.8})(u, processes.build("flow"))
    assert torch.allclose(torch.logit(found), 0.3 + 0.8 * torch.special.ndtri(u), rtol=1e-9)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"name": "variational", "variance": "small"}, "above zero"),
        ({"name": "variational", "steps": 0}, "from 1 to"),
        ({"name": "variational-continuous", "start": 0.0}, "0 < start < 1"),
        ({"name": "hybrid", "scale": 0.0}, "scale above 0"),
        ({"name": "hybrid", "decoder": "bin"}, "did you mean 'bins'"),
        ({"name": "learned-weight", "channels": 0}, "from 1 to"),
        ({"name": "denoising", "times": {"name": "geometric", "count": 1}}, "count >= 2"),
        ({"name": "denoising", "times": {"name": "floored", "start": 1.0}}, "0 < start < 1"),
    ],
)
def test_bad_objectives_are_one_sentence(config, words):
    with pytest.raises(InputError) as error:
        objectives.build(config)
    assert words in str(error.value)


@pytest.mark.parametrize("name", ["score-matching", "min-snr", "p2"])
def test_a_weight_on_x0_is_the_same_for_outputs_scaled_by_channel(name):
    """Weights stand on the error of x_0 or of the noise: how each channel's output is scaled must
    not change them.
    """

    class Says(nn.Module):
        def forward(self, x, label, context):
            return x

    g, process = torch.Generator().manual_seed(0), processes.build("edm")
    x0, losses = torch.randn(3, 2, 4, 4, generator=g, dtype=torch.float64), []
    weight = weights.build(name)
    for data in (0.5, [0.5, 0.5]):
        denoiser = NetworkDenoiser(
            Says(),
            process,
            predictions.build({"name": "edm", "sigma_data": data}),
            lambda process, t: t,
        )
        losses.append(
            denoising(times={"name": "log-normal"}, weight=name)(
                denoiser, {"x": x0}, [0, 1, 2], 0, 1
            )
        )
    assert torch.allclose(losses[0], losses[1])
    objective = denoising(times={"name": "log-normal"})
    denoiser.prediction = predictions.build({"name": "edm", "sigma_data": [1.5, 0.1]})
    example = objective.example(denoiser, x0, [0, 1, 2], 0, 1)
    a, _ = denoiser.prediction.rule(*denoiser.scales(example.t))
    wrong = example.target + 1 / a[..., None, None]  # every x_0 off by one
    snr = denoiser.process.log_snr(example.t).exp()
    expected = {"score-matching": snr, "min-snr": snr.clamp(max=5), "p2": snr / (1 + snr)}[name]
    assert torch.allclose(Denoising(weight)(denoiser, example, wrong), expected, rtol=1e-6)
