"""Windows of a prior that is known exactly: what comes after given frames and what lies between
them has the exact conditional law, by the network's own knowledge and by posterior methods.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.errors import InputError
from unfog.runs.sample import Plan
from unfog.sampling import grids, samplers
from unfog.video import given
from unfog.video.given import GivenFrames, drawn_frames, known
from unfog.video.longer import Filler, extended, hierarchical, interpolated
from unfog.video.operators import EveryFrame, FrameAverage
from unfog.video.oracle import ar1_covariance, ar1_denoiser, conditional

SIDE, RHO, LENGTH = 3, 0.9, 1.5
TOLD = GivenFrames(1, 0.4, 0.5)


class Knowing(Denoiser):
    """The exact denoiser of the field given frames, in place of a network that was taught them:
    what is known has no noise, so the posterior is that of the others given it. Its state is what
    is left of the clip: the noise of x_t is as large as each place's own deviation.
    """

    def __init__(self, process, frames):
        super().__init__()
        self.process = process
        self.covariance = ar1_covariance(frames, SIDE, RHO, LENGTH)

    def forward(self, x_t, t, **condition):
        alpha, sigma = (float(v) for v in self.scales(t))
        given = condition.get("given")
        given = torch.zeros_like(x_t).repeat(1, 2, 1, 1, 1) if given is None else given
        residual = TOLD.residual(given.double())
        deviation, guess = residual.deviation[0].flatten(), residual.guess.flatten(1)
        mask = deviation == 0
        mean, covariance = conditional(self.covariance, mask, guess[:, mask])
        # x_t = alpha x_0 + sigma deviation n, in clips.
        rest = (alpha * guess + deviation * x_t.double().flatten(1))[:, ~mask]
        noise = torch.diag((sigma * deviation[~mask]) ** 2)
        gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + noise)
        out = guess.clone()
        out[:, ~mask] = mean + (rest - alpha * mean) @ gain.T
        return Posterior(residual.of(out.view(x_t.shape)).to(x_t.dtype))


def plan(process, sampler="heun", steps=40):
    return Plan(samplers.build(sampler), grids.build("karras")(process, steps), {})


def filler(frames=5, method="given", steps=40):
    process = EDM(80.0)
    denoiser = (
        Knowing(process, frames) if method == "given" else ar1_denoiser(process, frames, SIDE)
    )
    return Filler(denoiser, plan(process, steps=steps), frames, method=method, known=TOLD)


def clips(count, frames, seed=0):
    """Exact draws of the field, (count, 1, frames, SIDE, SIDE)."""
    g = torch.Generator().manual_seed(seed)
    covariance = ar1_covariance(frames, SIDE, RHO, LENGTH)
    root = torch.linalg.cholesky(covariance + 1e-9 * torch.eye(len(covariance)))
    z = torch.randn(count, len(covariance), generator=g, dtype=torch.float64)
    return (z @ root.T).view(count, 1, frames, SIDE, SIDE).float()


def correlation(clips, lag):
    """The correlation of values ``lag`` frames apart."""
    a, b = clips[:, :, lag:], clips[:, :, : clips.shape[2] - lag]
    return float((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt())


def test_the_field_is_autoregressive():
    """Given the frame before, the ones before that say nothing more."""
    covariance = ar1_covariance(4, SIDE, RHO, LENGTH)
    n = SIDE * SIDE
    past = torch.zeros(4 * n, dtype=torch.bool)
    past[: 3 * n] = True
    values = torch.randn(2, 3 * n, dtype=torch.float64)
    mean, spread = conditional(covariance, past, values)
    assert torch.allclose(mean, RHO * values[:, 2 * n :], atol=1e-6)
    assert torch.allclose(spread, (1 - RHO**2) * covariance[:n, :n], atol=1e-6)


@pytest.mark.parametrize("method", ["given", "mmps"])
def test_an_extension_has_the_exact_conditional_mean_and_spread(method):
    """Many draws after one start: of the next frames, mean and variance."""
    start = clips(1, 2).expand(400, -1, -1, -1, -1)
    found = extended(filler(method=method), start, 5, range(400))
    assert torch.equal(found[:, :, :2], start)
    last = start[0, 0, 1]
    for k in range(1, 4):
        frame = found[:, 0, 1 + k]
        # Three standard errors of 400 draws.
        expected = 1 - RHO ** (2 * k)
        slack = 3 * (expected / 400) ** 0.5 + 0.02
        assert float((frame.mean(0) - RHO**k * last).abs().max()) < slack
        assert float(frame.var(0).mean()) == pytest.approx(expected, rel=0.15)


def test_reconstruction_guidance_pulls_the_next_frames_to_the_given_ones():
    """It is no exact posterior, but far nearer to it than the prior without what is given."""
    start = clips(1, 2, seed=3).expand(200, -1, -1, -1, -1)
    found = extended(filler(method="reconstruction"), start, 5, range(200))
    last, mean = start[0, 0, 1], found[:, 0, 2].mean(0)
    assert float((mean - RHO * last).norm()) < 0.35 * float((RHO * last).norm())


def test_long_clips_keep_the_law_of_time():
    """Four windows on: variance 1 and correlation rho^lag, as in the field; known frames stay."""
    start = clips(300, 3, seed=1)
    found = extended(filler(6), start, 24, range(300), overlap=2)
    late = found[:, :, 12:]
    # Two standard errors of about 400 independent numbers.
    assert float(late.var()) == pytest.approx(1, abs=0.14)
    for lag in (1, 3, 6):
        assert correlation(late, lag) == pytest.approx(RHO**lag, abs=0.07)
    assert torch.equal(found[:, :, :3], start)


def test_interpolation_has_the_exact_conditional_law():
    """Frames between given ones: mean by the bridge of an autoregression, and its variance."""
    whole = clips(1, 9, seed=2)
    keys = whole[:, :, ::2].expand(500, -1, -1, -1, -1)
    found = interpolated(filler(5), keys, 2, range(500))
    assert found.shape[2] == 9
    assert torch.equal(found[:, :, ::2], keys)
    weight = RHO / (1 + RHO**2)
    for t in (1, 3, 7):
        expected = weight * (whole[0, 0, t - 1] + whole[0, 0, t + 1])
        assert float((found[:, 0, t].mean(0) - expected).abs().max()) < 0.12
        variance = float(found[:, 0, t].var(0).mean())
        assert variance == pytest.approx(1 - 2 * RHO**2 / (1 + RHO**2), rel=0.15)


def test_coarse_to_fine_clips_have_the_law_of_time():
    """Keys two frames apart are a field of correlation rho^2, so the model of the slow rate is
    that; here one that knows both by its frame rate.
    """

    class TwoRates(Denoiser):
        def __init__(self, process):
            super().__init__()
            self.process, self.fast, self.slow = process, Knowing(process, 5), Knowing(process, 5)
            self.slow.covariance = ar1_covariance(5, SIDE, RHO**2, LENGTH)

        def forward(self, x_t, t, **condition):
            fps = float(condition.pop("fps").flatten()[0])
            return (self.fast if fps == 8 else self.slow)(x_t, t, **condition)

    process = EDM(80.0)
    two = Filler(TwoRates(process), plan(process), 5, fps=8.0, method="given", known=TOLD)
    found = hierarchical(two, (1, SIDE, SIDE), 14, 2, range(300))
    assert found.shape == (300, 1, 14, SIDE, SIDE)
    assert float(found.var()) == pytest.approx(1, abs=0.14)
    for lag in (1, 2, 4):
        assert correlation(found, lag) == pytest.approx(RHO**lag, abs=0.06)


def test_a_clip_depends_on_its_number_alone():
    start = clips(3, 2)
    some = filler(steps=4)
    whole = extended(some, start, 9, [0, 1, 2])
    assert torch.allclose(extended(some, start[1:2], 9, [1]), whole[1:2], atol=1e-5)
    again = extended(replace(some, seed=1), start, 9, [0, 1, 2])
    assert float((again - whole).abs().max()) > 0.1


def test_wrong_lengths_are_refused():
    some, start = filler(), clips(1, 2)
    with pytest.raises(InputError, match="extended to more"):
        extended(some, start, 2, [0])
    with pytest.raises(InputError, match="share from 1"):
        extended(some, start, 9, [0], overlap=5)
    with pytest.raises(InputError, match="2 or more given"):
        interpolated(some, start[:, :, :1], 2, [0])
    with pytest.raises(InputError, match="factor"):
        interpolated(some, start, 7, [0])


def test_training_knows_some_frames_of_a_clip_and_never_all():
    masks = torch.stack([drawn_frames(8, torch.Generator().manual_seed(k)) for k in range(400)])
    assert not bool(masks.all(1).any())
    first = (masks.long().cumprod(1).sum(1) == masks.sum(1)) & masks.any(1)
    assert 0.35 < float(first.double().mean()) < 0.75
    ends = masks[:, 0] & masks[:, -1] & (masks.sum(1) == 2)
    assert 0.1 < float(ends.double().mean()) < 0.3
    assert bool((~drawn_frames(1, torch.Generator())).all())


def test_known_frames_are_shown_and_others_are_not():
    x = torch.randn(2, 1, 4, 3, 3)
    condition = GivenFrames(1, 0.4, 0.5)
    streams = [torch.Generator().manual_seed(k) for k in range(2)]
    value, _ = condition.derive(x, streams)
    mask = (value[:, 1:] == 1).float()
    assert torch.equal(value[:, :1] * mask, x * mask)
    # What is not known is in no part of it.
    assert torch.equal(known(x * mask + 9 * (1 - mask), mask), value)
    keep = torch.tensor([True, False])
    context = condition(value, keep, x)
    assert torch.equal(context.spatial[0], value[0])
    assert float(context.spatial[1].abs().sum()) == 0
    with pytest.raises(InputError, match="channels"):
        condition.embed(known(x, mask)[:, :1])


@pytest.mark.parametrize("operator", [EveryFrame(2, 6), EveryFrame(3, 6), FrameAverage(3)])
def test_operators_along_time_have_their_adjoint_and_inverse(operator):
    x = torch.randn(2, 1, 6, 3, 3, dtype=torch.float64)
    y = torch.randn_like(operator(x))
    assert float((operator(x) * y).sum()) == pytest.approx(float((x * operator.adjoint(y)).sum()))
    assert torch.allclose(operator(operator.pseudo_inverse(y)), y)


def test_what_is_known_is_filled_in_between_and_about_it() -> None:
    """By numpy's interpolation in time, which holds the ends; 0 where nothing is known."""
    clip = torch.randn(4, 2, 7, 1, 1, generator=torch.Generator().manual_seed(0))
    rows = [[1, 0, 0, 1, 0, 1, 0], [0, 0, 1, 0, 0, 0, 0], [0] * 7, [1] * 7]
    there = torch.tensor(rows).bool().view(4, 1, 7, 1, 1)
    out, distance = given.filled(clip, there)
    for n, row in enumerate(rows):
        at = np.flatnonzero(row)
        for channel in range(2):
            x = clip[n, channel, :, 0, 0].numpy()
            expected = np.interp(np.arange(7), at, x[at]) if len(at) else np.zeros(7)
            assert np.allclose(out[n, channel, :, 0, 0].numpy(), expected, atol=1e-6)
    value = given.known(clip, there)
    assert torch.equal(value[:, :2], out)
    assert torch.equal(value[:, 2:] == 1, there)
    expected = [0, 2 / 3, 2 / 3, 0, 0.5, 0, 1]
    assert distance[0].flatten().tolist() == pytest.approx(expected)
    assert bool(distance[2].isinf().all())
    assert float(value[2, 2].abs().max()) == 0


def test_what_is_left_of_a_clip_gives_it_back_in_its_own_deviation() -> None:
    """A random walk: its deviation grows with the root of the distance, of a bridge as well."""
    steps = torch.randn(512, 1, 9, 2, 2, generator=torch.Generator().manual_seed(0))
    walks = steps.cumsum(2) + 9 * torch.randn(512, 1, 1, 2, 2)
    law = given.law_of(walks)
    assert law["power"] == pytest.approx(0.5, abs=0.05)
    assert law["deviation"] * float(walks.std()) == pytest.approx(1, rel=0.1)
    condition = GivenFrames(1, **law)
    value, _ = condition.derive(walks, [torch.Generator().manual_seed(k) for k in range(512)])
    residual = condition.residual(value)
    r = residual.of(walks)
    assert torch.allclose(residual.clip(r), walks, atol=1e-4)
    unknown = residual.deviation > 0
    assert float(r[unknown].std()) == pytest.approx(float(walks.std()), rel=0.1)
    assert float(r[~unknown].abs().max()) == 0
