"""Classifier-free guidance on per-class Gaussians, whose guided denoiser is affine and exact."""

import torch
from support.priors import gaussian

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import VPLinear
from unfog.guidance.classifier_free import ClassifierFree, ClassifierFreeEach

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


SPREADS = {"mask": 0.7, "label": 1.3}
EYE = torch.eye(4, dtype=torch.float64)


class TwoGiven(Denoiser):
    """x ~ N(m, S) and c_i = x + e_i, e_i ~ N(0, s_i^2), any of them given: Gaussian, and exact."""

    def __init__(self):
        super().__init__()
        self.process, self.calls = PROCESS, 0
        draw = torch.Generator().manual_seed(5)
        root = torch.randn(4, 4, generator=draw, dtype=torch.float64)
        self.mean = torch.randn(4, generator=draw, dtype=torch.float64)
        self.precision = torch.linalg.inv(root @ root.T + EYE)

    def posterior(self, x_t, t, given):
        """The precision and the mean of x_0 given x_t, where that is not None, and conditions."""
        alpha, sigma = (part.double() for part in (PROCESS.alpha(t), PROCESS.sigma(t)))
        precision, pull = self.precision.clone(), (self.precision @ self.mean).expand(len(X), 4)
        if x_t is not None:
            precision = precision + EYE * (alpha / sigma) ** 2
            pull = pull + x_t * alpha / sigma**2
        for name, value in given.items():
            precision = precision + EYE / SPREADS[name] ** 2
            pull = pull + value / SPREADS[name] ** 2
        return precision, torch.linalg.solve(precision, pull.T).T

    def forward(self, x_t, t, **given):
        self.calls += 1
        return Posterior(self.posterior(x_t, t, given)[1])

    def log_density(self, x_t, t, given):
        """log p(x_t | conditions) of each row, up to a constant."""
        precision, mean = self.posterior(None, t, given)
        cover = torch.linalg.inv(precision) * PROCESS.alpha(t) ** 2
        cover = cover + EYE * PROCESS.sigma(t) ** 2
        off = x_t - PROCESS.alpha(t) * mean
        return -0.5 * (off @ torch.linalg.inv(cover) * off).sum(1)


def test_a_scale_for_each_condition_is_its_closed_form():
    """The score is that of p(x) p(c_1 | x)^w_1 p(c_2 | x, c_1)^w_2, by autograd."""
    inner = TwoGiven()
    c = {name: torch.randn(5, 4, dtype=torch.float64) for name in ("mask", "label")}
    first, x = {"mask": c["mask"]}, X.clone().requires_grad_()
    plain, one, both = (inner.log_density(x, T, given) for given in ({}, first, c))
    density = plain + 2.0 * (one - plain) + 1.5 * (both - one)
    expected = torch.autograd.grad(density.sum(), x)[0]
    guided = ClassifierFreeEach(inner, {"mask": 2.0, "label": 1.5})
    assert torch.allclose(guided.score(X, T, **c), expected, rtol=0, atol=1e-10)
    assert inner.calls == 3


def test_scales_of_one_are_one_conditional_call_and_the_unnamed_has_scale_one():
    inner = TwoGiven()
    c = {name: torch.randn(5, 4, dtype=torch.float64) for name in ("mask", "label")}
    guided = ClassifierFreeEach(inner, {"mask": 1.0, "label": 1.0})
    assert torch.equal(guided(X, T, **c).mean, inner(X, T, **c).mean)
    assert inner.calls == 2
    named, unnamed = (
        ClassifierFreeEach(inner, scales)(X, T, **c).mean
        for scales in ({"mask": 3.0, "label": 1.0}, {"mask": 3.0})
    )
    assert torch.equal(named, unnamed)
    assert not torch.allclose(named, inner(X, T, **c).mean)


class ThreeGiven(TwoGiven):
    """The same, and with a third that the model is always told."""

    def forward(self, x_t, t, **given):
        assert "frames" in given
        return super().forward(x_t, t, **given)


def test_scales_for_two_conditions_beside_one_that_is_always_told():
    """DynamiCrafter's guidance e_u + a (e_image - e_u) + b (e_all - e_image), every e told the
    frames, in closed form.
    """
    inner = ThreeGiven()
    names = {"mask": 0.7, "label": 1.3, "frames": 0.9}
    SPREADS.update(names)
    c = {name: torch.randn(5, 4, dtype=torch.float64) for name in names}
    e_u, e_image, e_all = (
        inner.posterior(X, T, {name: c[name] for name in given})[1]
        for given in (["frames"], ["frames", "mask"], ["frames", "mask", "label"])
    )
    expected = e_u + 2.0 * (e_image - e_u) + 7.5 * (e_all - e_image)
    scales = {"mask": 2.0, "label": 7.5}
    guided = ClassifierFreeEach(inner, scales, always=["frames"])(X, T, **c).mean
    assert torch.allclose(guided, expected, rtol=0, atol=1e-10)
    # Rescaled whole, each sample has the spread of e_all.
    spread = ClassifierFreeEach(inner, scales, rescale=1.0, always=["frames"])(X, T, **c).mean
    assert torch.allclose(spread.std(1), e_all.std(1), rtol=0, atol=1e-10)
    half = ClassifierFreeEach(inner, scales, rescale=0.5, always=["frames"])(X, T, **c).mean
    assert torch.allclose(half, (spread + guided) / 2, rtol=0, atol=1e-10)
    assert inner.calls == 9


def test_a_last_term_of_weight_zero_still_gives_the_spread():
    inner = TwoGiven()
    c = {name: torch.randn(5, 4, dtype=torch.float64) for name in ("mask", "label")}
    guided = ClassifierFreeEach(inner, {"mask": 3.0, "label": 0.0}, rescale=1.0)(X, T, **c).mean
    assert torch.allclose(guided.std(1), inner(X, T, **c).mean.std(1), rtol=0, atol=1e-10)
