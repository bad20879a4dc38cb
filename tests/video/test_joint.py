"""Clips and pictures jointly: the loss of a still is that of its frames, and only spatial weights
learn from it.
"""

import pytest
import torch

from unfog.core.conditioning import Conditioner
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import log_sigma_label
from unfog.core.prediction import predictions
from unfog.core.process import EDM
from unfog.errors import InputError
from unfog.networks import SpaceTimeUNet
from unfog.training.objectives import objectives
from unfog.training.objectives.objective import given as given_conditions
from unfog.video.frame_rate import FrameRate
from unfog.video.given import GivenFrames
from unfog.video.joint import _frame_by_frame

TIMES = {"name": "log-normal", "mean": -0.6, "std": 1.4}


def model():
    torch.manual_seed(0)
    network = SpaceTimeUNet(
        1,
        1,
        channels=8,
        multipliers=(1, 2),
        blocks=1,
        attention_levels=(1,),
        groups=4,
        vector_width=32,
        spatial_channels=2,
    )
    for p in network.parameters():
        torch.nn.init.normal_(p, 0, 0.1)
    parts = {"fps": FrameRate(32), "given": GivenFrames(1, 0.5, 0.6)}
    prediction = predictions.build({"name": "edm", "sigma_data": 0.5})
    return NetworkDenoiser(network, EDM(), prediction, log_sigma_label(), Conditioner(parts))


def objective(stills, drop=None):
    chances = {"fps": 0.0, "given": 0.0} if drop is None else drop
    section = {"name": "joint-denoising", "times": TIMES, "stills": stills}
    return objectives.build(section, drop=chances)


def batch(count=6, frames=4):
    x = torch.randn(count, 1, frames, 8, 8, generator=torch.Generator().manual_seed(0))
    return {"x": x, "fps": torch.full((count, 1), 8.0)}


def test_without_stills_and_known_frames_it_is_denoising():
    drop = {"fps": 0.0, "given": 1.0}
    found = objective(0.0, drop)(model(), batch(), range(6), 0, 1)
    plain = objectives.build({"name": "denoising", "times": TIMES}, drop=drop)
    assert torch.allclose(found, plain(model(), batch(), range(6), 0, 1), atol=1e-5)


def test_where_frames_are_known_it_is_denoising_of_what_is_left():
    denoiser, some = model(), batch()
    found = objective(0.0)(denoiser, some, range(6), 0, 1)
    values = given_conditions(denoiser, some, range(6), 0, 1)
    residual = denoiser.conditioner.parts["given"].residual(values["given"])
    inner = objective(0.0).denoising
    example = inner.example(denoiser, residual.of(some["x"]), range(6), 0, 1, residual.space)
    out = denoiser.output(example.x_t, example.t, denoiser.conditioner(example.x_t, values))
    error = ((out - example.target) * (residual.deviation > 0)).square().mean((1, 2, 3, 4))
    assert torch.allclose(found, error, rtol=1e-5)
    # What is known is known: neither noise nor loss is there.
    there = (residual.deviation == 0).expand_as(example.x_t)
    assert bool(there.any())
    assert float(example.x_t[there].abs().max()) == 0


def test_a_still_teaches_nothing_of_time_and_a_clip_does():
    for stills, learns in ((1.0, False), (0.0, True)):
        denoiser = model()
        objective(stills)(denoiser, batch(), range(6), 0, 1).mean().backward()
        grads = {name: p.grad for name, p in denoiser.network.named_parameters()}
        moved = [
            grad is not None and bool(grad.abs().sum() > 0)
            for name, grad in grads.items()
            if ".temporal." in name
        ]
        assert all(moved) if learns else not any(moved)
        assert bool(grads["enter.weight"].abs().sum() > 0)


def test_stills_are_chosen_by_seed_step_and_sample():
    some = objective(0.5)
    chosen = some.chosen(batch(), range(6), 0, 1)
    assert 0 < int(chosen.sum()) < 6
    assert torch.equal(some.chosen(batch(2), [4, 5], 0, 1), chosen[4:])
    marked = {**batch(), "still": torch.tensor([True] * 6)}
    assert bool(objective(0.0).chosen(marked, range(6), 0, 1).all())
    # Those that are clips have the loss that they have without stills.
    both = objective(0.5)(model(), batch(), range(6), 0, 1)
    clips = objective(0.0)(model(), batch(), range(6), 0, 1)
    assert torch.allclose(both[~chosen], clips[~chosen], atol=1e-5)
    assert float((both - clips)[chosen].detach().abs().min()) > 1e-5


def test_frames_of_a_still_do_not_know_each_other():
    """The loss of a still is the mean over its frames, each by itself."""
    x = batch(1)
    denoiser, whole = model(), objective(1.0)
    other = {**x, "x": x["x"].clone()}
    other["x"][:, :, 3] += 0.5
    first, second = (whole.denoising.example(denoiser, b["x"], [0], 0, 1) for b in (x, other))
    context = denoiser.conditioner(first.x_t, {})
    a, b = (_frame_by_frame(denoiser, e, context) for e in (first, second))
    assert torch.allclose(a[:, :, :3], b[:, :, :3], atol=1e-5)
    assert float((a - b)[:, :, 3].detach().abs().max()) > 1e-3


def test_a_share_that_is_none_is_refused():
    with pytest.raises(InputError, match="from 0 to 1"):
        objective(1.5)
