"""The loss is what the mathematics says it is."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unfog.core.conditioning import Context
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.training.objectives.denoising import denoising, objectives
from unfog.training.objectives.losses import weights
from unfog.training.objectives.times import times, uniforms

SPREAD = 0.5  # standard deviation of the data, and EDM's sigma_data


def ideal(process_name, prediction_name):
    """The best denoiser for data N(0, SPREAD^2): its network knows the posterior mean in closed
    form.
    """
    process, prediction = processes.build(process_name), predictions.build(prediction_name)

    class Ideal(nn.Module):
        def forward(self, scaled, t, context: Context):
            alpha, sigma = process.alpha(t.double()), process.sigma(t.double())
            x_t = scaled / expand(prediction.input_scale(alpha, sigma), scaled)
            mean = expand(alpha * SPREAD**2 / (alpha**2 * SPREAD**2 + sigma**2), x_t) * x_t
            return prediction.from_x0(mean, x_t, alpha, sigma)

    return NetworkDenoiser(Ideal(), process, prediction, lambda process, t: t)


def data(samples, shape=(1, 6, 6)):
    return SPREAD * torch.randn(
        samples, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )


def expected(denoiser, t, weight):
    """w var(x_0 | x_t) / a^2: what the posterior leaves unknown, on the output's scale."""
    a, _ = denoiser.prediction.rule(*denoiser.scales(t))
    return weight(denoiser.process.log_snr(t), a) * variance(denoiser, t) / a**2


def variance(denoiser, t):
    """Of x_0 given x_t."""
    alpha, sigma = denoiser.scales(t)
    return SPREAD**2 * sigma**2 / (alpha**2 * SPREAD**2 + sigma**2)


@pytest.mark.parametrize("weight", ["simple", "min-snr", "p2"])
@pytest.mark.parametrize("prediction", ["noise", "x0", "v", "flow", "edm"])
@pytest.mark.parametrize("process", ["vp-linear", "ddpm-cosine"])
def test_loss_of_the_ideal_denoiser_is_its_closed_form(process, prediction, weight):
    denoiser, n = ideal(process, prediction), 1500
    objective = denoising(times={"name": "log-normal", "mean": -0.5, "std": 0.7}, weight=weight)
    loss = objective(denoiser, {"x": data(n)}, range(n), 0, 1)
    t = objective.times(objective.uniforms(0, 1, range(n)), denoiser.process)
    wanted = expected(denoiser, t, objective.loss.weight)
    # The loss of a sample is wanted * chi^2_36 / 36, so the mean of the ratio has the standard
    # deviation sqrt(2 / 36 n) = 0.6 %; the network is told its time in float32, which costs less.
    assert float((loss / wanted).mean()) == pytest.approx(1, abs=0.03)


def test_edm_loss_is_one_at_every_level_for_its_own_spread():
    denoiser = ideal("edm", "edm")
    objective = denoising(times="log-normal")
    t = objective.times(objective.uniforms(0, 1, range(64)), denoiser.process)
    assert torch.allclose(
        expected(denoiser, t, objective.loss.weight), torch.ones(64, dtype=torch.float64), rtol=1e-9
    )


@pytest.mark.parametrize("process", ["vp-linear", "ddpm-linear", "ddpm-cosine", "vp-cosine"])
def test_target_of_noise_prediction_is_the_noise(process):
    denoiser = ideal(process, "noise")
    for steps, x0 in ((None, data(32)), (1000, data(32).float())):
        example = denoising(times={"name": "uniform", "steps": steps}).example(
            denoiser, x0, range(32), 0, 1
        )
        low = float(denoiser.process.sigma(example.t).min())
        assert float((example.target - example.noise).abs().max()) <= (
            1e-12 if x0.dtype == torch.float64 else 3e-7
        ), low


def test_min_snr_and_p2_in_their_papers_own_form():
    log_snr = torch.linspace(-8, 8, 9, dtype=torch.float64)
    snr = log_snr.exp()
    # |a| of noise and v where alpha^2 + sigma^2 = 1
    for_noise, for_v = (snr.rsqrt(), (1 + snr).rsqrt())
    assert torch.allclose(weights.build("min-snr")(log_snr, for_noise), snr.clamp(max=5) / snr)
    assert torch.allclose(weights.build("min-snr")(log_snr, for_v), snr.clamp(max=5) / (snr + 1))
    assert torch.allclose(weights.build("p2")(log_snr, for_noise), 1 / (1 + snr))


def test_draws_do_not_depend_on_the_batch():
    denoiser, objective, x = ideal("vp-linear", "noise"), denoising(draws="independent"), data(8)
    small, large = (objective.example(denoiser, x[:n], range(n), 3, 7) for n in (4, 8))
    assert torch.equal(small.noise, large.noise[:4])
    assert torch.equal(small.x_t, large.x_t[:4])
    swapped = objective.example(denoiser, x[[5, 2]], [5, 2], 3, 7)
    assert torch.equal(swapped.noise, large.noise[[5, 2]])
    assert not torch.equal(objective.example(denoiser, x, range(8), 3, 8).noise, large.noise)
    twice = objective.example(denoiser, x[[5, 5]], [5, 5], 3, 7).noise
    assert torch.equal(twice[0], large.noise[5])
    assert not torch.equal(*twice)


@pytest.mark.parametrize(("process", "prediction"), [("edm", "edm"), ("vp-linear", "v")])
def test_given_noise_that_is_white_has_the_loss_of_drawn_noise(process, prediction):
    denoiser, x, objective = ideal(process, prediction), data(8), denoising(times="log-normal")
    example = objective.example(denoiser, x, range(8), 0, 1)
    noisy = example.x_t / expand(denoiser.process.alpha(example.t), x)
    batch = {
        "x": x,
        "noisy": noisy,
        "level": denoiser.process.noise_level(example.t),
        "inside": torch.ones_like(x),
    }
    found = objectives.build("given-noise")
    assert torch.allclose(
        found(denoiser, batch, range(8), 0, 1),
        objective(denoiser, {"x": x}, range(8), 0, 1),
        rtol=1e-6,
    )
    half = torch.zeros_like(x)
    half[..., :3] = 1
    noisy[..., 3:] = 1e3
    squares = (denoiser(example.x_t, example.t).mean - x).square()[..., :3].flatten(1).mean(1)
    scale = expected(denoiser, example.t, weights.build("simple")) / variance(
        denoiser, example.t
    )  # from x_0 to the output
    assert torch.allclose(
        found(denoiser, {**batch, "noisy": noisy, "inside": half}, range(8), 0, 1),
        scale * squares,
        rtol=1e-5,
    )
    with pytest.raises(InputError, match="noise of their own"):
        found(denoiser, {"x": x}, range(8), 0, 1)


def test_conditions_are_dropped_as_often_as_asked(tiny):
    objective = denoising(times="log-normal", drop={"label": 0.3})
    kept = torch.stack([objective.drop.keep(range(16), 0, step)["label"] for step in range(200)])
    assert float(kept.double().mean()) == pytest.approx(0.7, abs=0.03)
    denoiser, batch = (
        tiny.denoiser().eval(),
        {"x": torch.zeros(4, 1, 8, 8), "label": torch.tensor([0, 1, 2, 0])},
    )
    hidden = denoising(times="log-normal", drop={"label": 1.0})
    other = {**batch, "label": torch.tensor([2, 2, 1, 1])}
    assert torch.equal(*(hidden(denoiser, b, range(4), 0, 1) for b in (batch, other)))
    shown = denoising(times="log-normal")
    assert not torch.equal(*(shown(denoiser, b, range(4), 0, 1) for b in (batch, other)))
    with pytest.raises(InputError, match="no condition 'label'"):
        shown(denoiser, {"x": batch["x"]}, range(4), 0, 1)


def test_bad_configs_are_refused():
    for config in (
        {"times": "sometimes"},
        {"drop": {"label": 2}},
        {"weight": {"name": "p2", "gama": 1}},
        {"time": "uniform"},
    ):
        with pytest.raises(InputError):
            objectives.build({"name": "denoising", **config})


@given(st.integers(0, 99), st.integers(1, 99), st.integers(1, 40))
def test_stratified_numbers_fall_one_into_each_stratum(seed, step, batch):
    u = uniforms.build("stratified")(seed, step, range(batch))
    assert (
        sorted((u * batch).floor().long().tolist()) == list(range(batch))
        or float((u * batch).frac().min()) < 1e-9
    )
    assert bool(((u > 0) & (u < 1)).all())


@pytest.mark.parametrize("name", ["stratified", "independent"])
def test_times_have_their_distribution(name):
    draw = uniforms.build(name)
    u = torch.cat([draw(0, step, range(8)) for step in range(1, 1001)]).sort().values
    even = (torch.arange(8000, dtype=torch.float64) + 0.5) / 8000
    assert float((u - even).abs().max()) < 1.63 / math.sqrt(
        8000
    )  # Kolmogorov-Smirnov at 1 %; the seed is fixed
    process = processes.build("edm")
    level = process.noise_level(
        times.build({"name": "log-normal", "mean": -0.8, "std": 1.5})(u, process)
    ).log()
    assert float(level.mean()) == pytest.approx(-0.8, abs=0.05)
    assert float(level.std()) == pytest.approx(1.5, abs=0.05)


def test_discrete_times_are_the_knots():
    process, knots = processes.build("ddpm-linear"), times.build({"name": "uniform", "steps": 1000})
    u = torch.cat(
        [torch.tensor([2.0**-53, 1 - 2.0**-53]), (torch.arange(1000) + 0.5) / 1000]
    ).double()
    assert torch.equal(
        knots(u, process) * 1000, torch.tensor([1.0, 1000.0, *range(1, 1001)]).double()
    )


def test_classes_of_a_mask_are_dropped_one_by_one_and_alike_in_any_batch():
    drop = denoising(times="log-normal", drop={"tissue": [0.2, 0.3, 0.0]}).drop
    kept = torch.stack([drop.keep(range(16), 0, step)["tissue"] for step in range(200)])
    whole = kept[..., 1]  # never dropped by itself
    assert float(whole.double().mean()) == pytest.approx(0.8, abs=0.03)
    assert float(kept[..., 0][whole].double().mean()) == pytest.approx(0.7, abs=0.03)
    assert not bool(kept[..., 0][~whole].any())
    alone = [drop.keep([sample], 0, 7)["tissue"] for sample in range(16)]
    assert torch.equal(torch.cat(alone), kept[7])
    with pytest.raises(InputError, match="probability"):
        denoising(times="log-normal", drop={"tissue": [0.1, 1.5]})
