"""Autoguidance, classifier guidance, rescaling and thresholding against closed forms."""

import pytest
import torch
from support.priors import PROCESSES, gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import VPLinear
from unfog.errors import InputError
from unfog.guidance.autoguidance import Autoguidance
from unfog.guidance.classifier import ClassifierGuided
from unfog.guidance.classifier_free import ClassifierFree
from unfog.guidance.thresholding import DynamicThreshold, StaticThreshold

PROCESS = VPLinear()
GOOD, BAD = (gaussian(PROCESS, 4, seed=s)[0] for s in (0, 1))
X, T = (
    torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    torch.tensor(0.4, dtype=torch.float64),
)


class Fixed(Denoiser):
    """The same estimate whatever comes; its double with a condition."""

    def __init__(self, mean):
        super().__init__()
        self.process, self.mean = PROCESS, mean

    def forward(self, x_t, t, label=None):
        return Posterior(self.mean if label is None else label)


def test_autoguidance_is_its_closed_form():
    guided = Autoguidance(GOOD, BAD, 2.5)
    assert torch.allclose(
        guided.score(X, T), 2.5 * GOOD.score(X, T) - 1.5 * BAD.score(X, T), rtol=0, atol=1e-10
    )
    assert torch.equal(Autoguidance(GOOD, BAD, 1.0)(X, T).mean, GOOD(X, T).mean)


@pytest.mark.parametrize("process", PROCESSES, ids=lambda p: type(p).__name__)
def test_a_perfect_classifier_makes_the_conditional_model(process):
    """Of a mixture's components as classes, log p(k | x_t) is known, and so is the score at any
    scale.
    """
    parts = [gaussian(process, 3, seed=s) for s in (0, 1)]
    weights = torch.tensor([0.3, 0.7]).double()
    both = MixtureDenoiser(
        process, weights, torch.stack([p[1] for p in parts]), torch.stack([p[2] for p in parts])
    )
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for k, (part, _, _) in enumerate(parts):

        def classifier(x, t, k=k, part=part):
            return weights[k].log() + part.log_density(x, t) - both.log_density(x, t)

        assert torch.allclose(
            ClassifierGuided(both, classifier)(x, T).mean, part(x, T).mean, rtol=0, atol=1e-10
        )
        guided = ClassifierGuided(both, classifier, 3.0).score(x, T)
        assert torch.allclose(
            guided, 3 * part.score(x, T) - 2 * both.score(x, T), rtol=0, atol=1e-10
        )
        spreads = [
            denoiser.with_covariance(x, T)[1](x)
            for denoiser in (ClassifierGuided(both, classifier), part)
        ]
        assert torch.allclose(*spreads, rtol=0, atol=1e-10)


def test_rescaling_restores_the_spread_of_the_conditional_model():
    plain, conditional = (
        torch.randn(3, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
        for k in range(2)
    )
    guided = [
        ClassifierFree(Fixed(plain), 4.0, rescale=share)(plain, T, label=conditional).mean
        for share in (0.0, 0.7, 1.0)
    ]
    spread = [g.flatten(1).std(1) for g in guided]
    expected = conditional.flatten(1).std(1)
    assert torch.allclose(guided[0], plain + 4 * (conditional - plain), atol=1e-12)
    assert torch.allclose(spread[2], expected, rtol=1e-12)
    assert torch.allclose(spread[1], 0.3 * spread[0] + 0.7 * expected, rtol=1e-12)
    assert torch.allclose(guided[1], 0.3 * guided[0] + 0.7 * guided[2], rtol=1e-12)
    with pytest.raises(InputError, match="between 0 and 1"):
        ClassifierFree(GOOD, 2.0, rescale=1.5)


def test_dynamic_threshold_is_its_closed_form_where_the_quantile_is_three():
    """|D| = 0, .03, ..., 3: of these 101 values the 0.9 quantile is 2.7; the sample within range
    stays as it is.
    """
    ramp = torch.arange(101, dtype=torch.float64) * 0.03
    signs = torch.where(torch.arange(101) % 2 == 0, 1.0, -1.0).double()
    mean = torch.stack([ramp * signs, 0.3 * ramp * signs])
    out = DynamicThreshold(Fixed(mean), 0.9)(mean, T).mean
    assert torch.allclose(out[0], (ramp / 2.7).clamp(max=1) * signs, atol=1e-12)
    assert torch.allclose(out[1], mean[1], atol=1e-12)
    top = DynamicThreshold(Fixed(mean), 1.0)(mean, T).mean
    assert torch.allclose(top[0], mean[0] / 3, atol=1e-12)
    assert torch.allclose(StaticThreshold(Fixed(mean))(mean, T).mean, mean.clamp(-1, 1))
    with pytest.raises(InputError, match="quantile"):
        DynamicThreshold(GOOD, 0.0)
