"""Low light and HDR in natural units against a prior that is known: exposures hidden from the call
are found within 5 %.
"""

import pytest
import torch

from unfog.core.codec import Range
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import EDM
from unfog.physics.exposure import Exposure
from unfog.physics.operators import BlockAverage, Points
from unfog.runs.low_light import low_light
from unfog.runs.run import Run

SHAPE = (1, 32, 32)
PATTERN = torch.sin(torch.arange(1024) / 5.0)[None]


class Patterned(Denoiser):
    """Independent pixels about a pattern, on the model's scale."""

    def __init__(self):
        super().__init__()
        self.process = EDM()
        self.oracle = MixtureDenoiser(
            self.process, torch.ones(1), PATTERN, torch.full((1, 1024), 0.03)
        )

    def forward(self, x_t, t, **condition):
        return Posterior(self.oracle(x_t, t).mean)


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path, {"sampling": {"steps": 40}}, Patterned(), Range(0, 100), SHAPE, {})


@pytest.fixture
def truth(run):
    return 50 + 50 * run.denoiser.oracle.draw(2, torch.Generator().manual_seed(5)).view(2, *SHAPE)


def test_a_dark_picture_is_relit(run, truth):
    y = 0.2 * truth + 3 + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(6))
    found = low_light(run, [y], samples=2)
    line = Exposure.fitted(found.mean, y)
    assert float((line.factor / 0.2 - 1).abs().max()) < 0.05
    assert float((line.offset / 3 - 1).abs().max()) < 0.05 * 10 / 3  # 0.5 of a range of 20
    assert float((found.mean - truth).square().mean().sqrt()) < 0.1 * float(
        (y - truth).square().mean().sqrt()
    )


def test_a_wrong_start_is_forgotten(run, truth):
    """f = 1 where it is 0.2, and m = 0, on the model's scale: the likelihood leads to the same
    exposure, and to the same picture.
    """
    y = 0.2 * truth + 3 + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(6))
    wrong = low_light(
        run,
        [y],
        start=lambda y: Exposure(torch.full((len(y),), 50.0), torch.full((len(y),), 50.0)),
        samples=2,
    )
    right = low_light(run, [y], samples=2)
    assert float((Exposure.fitted(wrong.mean, y).factor / 0.2 - 1).abs().max()) < 0.05
    assert float((wrong.mean - right.mean).abs().mean()) < 0.02 * float(truth.std())


@pytest.mark.parametrize(
    ("operator", "unseen"),
    [(Points(torch.arange(1024).view(32, 32) % 7 > 1), 2 / 7), (BlockAverage(2), 3 / 4)],
    ids=["holes", "coarse"],
)
def test_a_joint_task_is_restored_on_the_runs_own_grid(run, truth, operator, unseen):
    """What is not seen is off by the prior's spread and by that of the mean of 2 samples, whose
    ancestral steps lose some of it.
    """
    y = 0.2 * operator(truth) + 3
    found = low_light(
        run,
        [y + 0.1 * torch.randn(y.shape, generator=torch.Generator().manual_seed(6))],
        operator,
        samples=2,
    )
    assert found.mean.shape == truth.shape
    assert float((Exposure.fitted(operator(found.mean), y).factor / 0.2 - 1).abs().max()) < 0.05
    assert float((found.mean - truth).square().mean()) == pytest.approx(
        50**2 * 0.03 * unseen * (1 + 1 / 2), rel=0.2
    )


@pytest.mark.slow
def test_exposures_that_saturate_give_more_than_each(run, truth):
    noise = torch.randn(3, *truth.shape, generator=torch.Generator().manual_seed(6))
    shots = [
        (f * truth + m + 3 * e).clamp(0, 100)
        for (f, m), e in zip([(0.4, 30), (0.8, 10), (1.6, -20)], noise, strict=True)
    ]
    error = [
        float((low_light(run, some, samples=2).mean - truth).square().mean().sqrt())
        for some in (shots, *([s] for s in shots))
    ]
    assert error[0] < 0.8 * min(error[1:])


def test_a_sample_does_not_depend_on_the_batch(run, truth):
    together, apart = (
        low_light(run, [0.2 * truth], samples=2, steps=3, batch=b).samples for b in (4, 3)
    )
    assert torch.allclose(together, apart, atol=1e-3)
