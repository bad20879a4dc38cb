"""Predictions: each is its definition, and the rule inverts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.priors import PROCESSES, gaussian

from unfog.core.conditioning import Conditioner
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import EDMF, X0, Flow, Noise, Score, V, predictions
from unfog.core.process import VPLinear

DEFINITIONS = {
    Noise(): lambda x0, n, a, s: n,
    X0(): lambda x0, n, a, s: x0,
    V(): lambda x0, n, a, s: a * n - s * x0,
    Score(): lambda x0, n, a, s: -n / s,
    Flow(): lambda x0, n, a, s: n - x0,
    EDMF(0.5): lambda x0, n, a, s: (
        (x0 - 0.25 * a / (0.25 * a**2 + s**2) * (a * x0 + s * n))
        / (0.5 * s / (0.25 * a**2 + s**2).sqrt())
    ),
}


@pytest.mark.parametrize("prediction", DEFINITIONS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
@settings(max_examples=20, deadline=None)
@given(t=st.floats(0.02, 0.98), seed=st.integers(0, 1000))
def test_definition_and_round_trip(prediction, process, t, seed):
    g = torch.Generator().manual_seed(seed)
    x0, noise = (torch.randn(2, 1, 3, generator=g, dtype=torch.float64) for _ in range(2))
    time = torch.full((2,), t, dtype=torch.float64)
    alpha, sigma = process.alpha(time), process.sigma(time)
    a, s = alpha[0], sigma[0]
    x_t = a * x0 + s * noise
    # v and flow are stated for any alpha and sigma through x_t, so the definition must be met
    # exactly
    scale = 1 + float(s / a)
    out = prediction.from_x0(x0, x_t, alpha, sigma)
    expected = DEFINITIONS[prediction](x0, noise, a, s)
    assert float((out - expected).abs().max()) <= 1e-9 * scale * (
        1 + float(expected.abs().max())
    ) / min(1.0, float(s))
    back = prediction.to_x0(out, x_t, alpha, sigma)
    assert float((back - x0).abs().max()) <= 1e-12 * scale


def test_every_prediction_is_tested():
    """Every one of core's; a modality's own are tested with it."""
    every = {type(predictions.build(name)) for name in predictions.names()}
    assert {type(p) for p in DEFINITIONS} == {
        kind for kind in every if kind.__module__ == EDMF.__module__
    }


@pytest.mark.parametrize(
    "prediction",
    [p for p in DEFINITIONS if not isinstance(p, Noise | Score)],
    ids=lambda p: type(p).__name__,
)
def test_finite_at_zero_snr(prediction):
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    assert all(bool(torch.isfinite(c).all()) for c in prediction.rule(zero, one))


@pytest.mark.parametrize("prediction", list(DEFINITIONS), ids=lambda p: type(p).__name__)
def test_a_network_that_outputs_the_truth_is_the_oracle(prediction):
    """Whatever the parameterisation, the denoiser around a perfect network is the exact one."""
    process = VPLinear()
    oracle, _, _ = gaussian(process, 6)

    class Perfect(torch.nn.Module):
        def forward(self, x, label, context):
            t = (label.double() + 1) / 1000
            alpha, sigma = process.alpha(t), process.sigma(t)
            x_t = x / prediction.input_scale(alpha, sigma)[:, None, None]
            return prediction.from_x0(oracle(x_t, t).mean, x_t, alpha, sigma)

    denoiser = NetworkDenoiser(Perfect(), process, prediction, labels.build("time"), Conditioner())
    x = torch.randn(3, 1, 6, dtype=torch.float64)
    t = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    assert torch.allclose(denoiser(x, t).mean, oracle(x, t).mean, atol=1e-4)  # the label is float32
    assert torch.allclose(denoiser.score(x, t), oracle.score(x, t), atol=1e-3)


def test_edm_by_channel_is_edm_in_each_channel():
    """A standard deviation for each channel: the scalar rule, channel by channel, to x_0, back, and
    on the input.
    """
    data, sigma = [1.5, 0.02, 0.3], torch.tensor([0.01, 0.4], dtype=torch.float64)
    alpha, g = torch.ones_like(sigma), torch.Generator().manual_seed(0)
    out, x = (torch.randn(2, 3, 4, 5, generator=g, dtype=torch.float64) for _ in range(2))
    whole = EDMF(data).to_x0(out, x, alpha, sigma)
    for c, one in enumerate(data):
        assert torch.allclose(
            whole[:, c : c + 1], EDMF(one).to_x0(out[:, c : c + 1], x[:, c : c + 1], alpha, sigma)
        )
        assert torch.allclose(
            EDMF(data).input_scale(alpha, sigma)[:, c], EDMF(one).input_scale(alpha, sigma)
        )
    assert torch.allclose(EDMF(data).from_x0(whole, x, alpha, sigma), out)
