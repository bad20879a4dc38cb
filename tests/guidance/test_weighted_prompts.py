"""Several weighted prompts and a negative one, under Gaussian oracles: the guided mean is affine in
each prompt's, and so exact.
"""

import pytest
import torch
from support.priors import gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import VPLinear
from unfog.guidance.classifier_free import ClassifierFree
from unfog.guidance.weighted_prompts import WeightedPrompts

PROCESS = VPLinear()
PRIORS = [gaussian(PROCESS, 4, seed=s)[0] for s in range(4)]  # the last one is without a prompt
X = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
T = torch.tensor(0.4, dtype=torch.float64)
LEVEL = float(PROCESS.noise_level(T))


class ByPrompt(Denoiser):
    """A Gaussian for each prompt, which is a number in a sequence of one."""

    def __init__(self):
        super().__init__()
        self.process, self.calls = PROCESS, 0

    def forward(self, x_t, t, text=None, text_mask=None):
        self.calls += 1
        if text is None:
            return Posterior(PRIORS[3](x_t, t).mean)
        assert text_mask is None or text_mask.shape == text.shape[:2]
        rows = [PRIORS[int(k)](x_t[i : i + 1], t).mean for i, k in enumerate(text[:, 0])]
        return Posterior(torch.cat(rows))


def prompts(*numbers):
    """Numbers of prompts, the same for each sample, (samples, prompts, 1), with their mask."""
    value = torch.tensor(numbers).view(1, -1, 1).expand(len(X), -1, -1)
    return {"text": value, "text_mask": torch.ones(value.shape, dtype=torch.bool)}


def mean(k):
    return PRIORS[k](X, T).mean


def weighted(*weights):
    return torch.tensor(weights, dtype=torch.float64).expand(len(X), -1)


def test_weighted_prompts_are_their_closed_form():
    w, a, b = 4.0, 0.7, 0.3
    guided = ClassifierFree(WeightedPrompts(ByPrompt(), "text"), w)
    found = guided(X, T, **prompts(0, 2), text_weight=weighted(a, b)).mean
    expected = mean(3) + w * (a * (mean(0) - mean(3)) + b * (mean(2) - mean(3)))
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)


def test_a_sample_has_as_many_prompts_as_it_has():
    denoiser = WeightedPrompts(ByPrompt(), "text")
    value = torch.tensor([[[0], [1]], [[2], [2]], [[1], [0]]])
    mask = torch.ones(3, 2, 1, dtype=torch.bool)
    share = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.2, 0.8]], dtype=torch.float64)
    found = denoiser(X, T, text=value, text_mask=mask, text_weight=share).mean
    expected = [(mean(0)[0] + mean(1)[0]) / 2, mean(2)[1], 0.2 * mean(1)[2] + 0.8 * mean(0)[2]]
    assert torch.allclose(found, torch.stack(expected), rtol=0, atol=1e-10)


@pytest.mark.parametrize("w", [0.0, 0.5, 4.0])
def test_a_negative_prompt_stands_where_the_null_would(w):
    inner = ByPrompt()
    guided = ClassifierFree(inner, w, negative={"text": torch.tensor([[1]])})
    found = guided(X, T, text=torch.tensor([[0]] * 3)).mean
    assert torch.allclose(found, mean(1) + w * (mean(0) - mean(1)), rtol=0, atol=1e-10)
    assert inner.calls == (1 if w == 0 else 2)


def test_negative_and_weighted_prompts_go_together():
    w, a = 3.0, 0.25
    guided = ClassifierFree(
        WeightedPrompts(ByPrompt(), "text"), w, negative={"text": torch.tensor([[1]])}
    )
    found = guided(X, T, **prompts(0, 2), text_weight=weighted(a, 1 - a)).mean
    expected = mean(1) + w * (a * mean(0) + (1 - a) * mean(2) - mean(1))
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)


def test_outside_the_interval_the_weighted_prompts_stand_alone():
    outside, inside = (2 * LEVEL, 9 * LEVEL), (LEVEL / 2, 2 * LEVEL)
    alone = 0.5 * (mean(0) + mean(2))
    for interval, w in ((outside, 1.0), (inside, 4.0)):
        guided = ClassifierFree(WeightedPrompts(ByPrompt(), "text"), 4.0, interval)
        found = guided(X, T, **prompts(0, 2), text_weight=weighted(0.5, 0.5)).mean
        assert torch.allclose(found, mean(3) + w * (alone - mean(3)), rtol=0, atol=1e-10)


def test_rescaling_gives_back_the_spread_of_the_conditional():
    guided = ClassifierFree(ByPrompt(), 6.0, rescale=1.0, negative={"text": torch.tensor([[1]])})
    found = guided(X, T, text=torch.tensor([[0]] * 3)).mean
    assert torch.allclose(found.std(1), mean(0).std(1), rtol=0, atol=1e-10)


def test_without_weights_it_is_the_denoiser_to_the_bit():
    one = {"text": torch.tensor([[2]] * 3)}
    assert torch.equal(
        WeightedPrompts(ByPrompt(), "text")(X, T, **one).mean, ByPrompt()(X, T, **one).mean
    )
