"""Classifier-free guidance on per-class Gaussians, whose guided denoiser is affine and exact."""

import torch
from support.priors import gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import VPLinear
from unfog.guidance.classifier_free import ClassifierFree

PROCESS = VPLinear()
CLASSES = [gaussian(PROCESS, 4, seed=s)[0] for s in range(3)]


class PerClass(Denoiser):
    """A Gaussian for each class; without a class, the first Gaussian of all."""

    def __init__(self):
        super().__init__()
        self.process, self.calls = PROCESS, 0

    def forward(self, x_t, t, label=None):
        self.calls += 1
        return Posterior(CLASSES[0 if label is None else label](x_t, t).mean)


X, T = torch.randn(5, 4, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)


def test_scale_one_is_conditional_and_zero_unconditional_to_the_bit():
    denoiser = PerClass()
    assert torch.equal(ClassifierFree(denoiser, 1.0)(X, T, label=2).mean, CLASSES[2](X, T).mean)
    assert torch.equal(ClassifierFree(denoiser, 0.0)(X, T, label=2).mean, CLASSES[0](X, T).mean)
    assert denoiser.calls == 2


def test_guided_score_is_its_closed_form():
    w = 3.5
    expected = (1 - w) * CLASSES[0].score(X, T) + w * CLASSES[2].score(X, T)
    assert torch.allclose(
        ClassifierFree(PerClass(), w).score(X, T, label=2), expected, rtol=0, atol=1e-10
    )


def test_outside_the_interval_the_conditional_stands_alone():
    level = float(PROCESS.noise_level(T))
    guided = ClassifierFree(PerClass(), 3.0, interval=(2 * level, 10 * level))
    assert torch.equal(guided(X, T, label=1).mean, CLASSES[1](X, T).mean)
    inside = ClassifierFree(PerClass(), 3.0, interval=(0.5 * level, 10 * level))
    assert not torch.allclose(inside(X, T, label=1).mean, CLASSES[1](X, T).mean)
