"""Where memory runs out: less is done at a time, down to tiles, and the law stays what it was."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch

from unfog.core.codec import Range
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.core.tiles import Tiled
from unfog.errors import InputError
from unfog.evaluation.law import affine_law
from unfog.physics.operators import Identity, Mask
from unfog.posterior.mmps import MMPS
from unfog.runs.memory import Budget, out_of_memory, within_memory
from unfog.runs.restore import Restored, posterior_mean, restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.sampling.ancestral import DDPM
from unfog.sampling.grids import grids

PROCESS, N = EDM(10.0), 40


class Hungry(Denoiser):
    """A denoiser that has memory for ``limit`` numbers at a time, and for pictures of ``width``."""

    process = PROCESS

    def __init__(self, limit: int, width: int = N, error: Exception | None = None) -> None:
        super().__init__()
        self.limit, self.width, self.error, self.sizes = (
            limit,
            width,
            error or MemoryError(),
            list[tuple[int, ...]](),
        )

    def forward(self, x_t, t, **condition):
        if x_t.numel() > self.limit or x_t.shape[2] > self.width:
            raise self.error
        self.sizes.append(tuple(x_t.shape))
        return stationary(x_t.shape[2])(x_t, t)


@cache
def stationary(n: int) -> Denoiser:
    """The exact denoiser of a stationary Gaussian on a line of n pixels."""
    place = torch.arange(n).double()
    return gaussian_denoiser(
        PROCESS,
        torch.full((n,), 0.3).double(),
        0.1 * torch.exp(-(place[:, None] - place).abs() / 0.7),
    )


def run_of(prior: Hungry) -> Run:
    return Run(Path("run"), {}, prior, Range(-1, 1), (1, N), {})  # type: ignore[arg-type]


def restored(limit: int, operator, error: Exception | None = None) -> tuple[Restored, Hungry]:
    prior = Hungry(limit, error=error)
    y = operator(
        0.3
        + 0.3
        * torch.randn(3, 1, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    plan = Plan(DDPM(), grids.build({"name": "karras", "sigma_min": 0.05})(PROCESS, 5), {})
    return restore(run_of(prior), y, operator, 0.2, samples=3, plan=plan, batch=8), prior


@pytest.mark.parametrize(
    "operator",
    [Identity(), Mask((torch.arange(N) % 3 > 0)[None, None])],
    ids=["denoise", "inpaint"],
)
def test_fewer_at_a_time_changes_nothing(operator):
    """9 draws: 8 at a time run out of memory, and so do 4; the mean's 3 images at a time do not fit
    either.
    """
    plenty, _ = restored(10**6, operator)
    scarce, prior = restored(2 * N, operator)
    assert max(size[0] for size in prior.sizes) == 2
    assert {size[2] for size in prior.sizes} == {N}
    assert torch.allclose(scarce.samples, plenty.samples, atol=1e-6)
    assert torch.allclose(scarce.mean, plenty.mean, atol=1e-6)


def test_tiles_give_the_mean_of_the_whole():
    """Denoising, whose mean is exact: within .05 of the deviation that a posterior of independent
    pixels has.
    """
    y = 0.3 + 0.4 * torch.randn(
        3, 1, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    with pytest.warns(UserWarning, match="tiles of 20 pixels"):
        tiled = posterior_mean(run_of(Hungry(N - 1)), y, 0.2)
    gap = tiled - posterior_mean(run_of(Hungry(10**6)), y, 0.2)
    assert 0 < float(gap.square().mean().sqrt()) < 0.05 / (1 / 0.1 + 1 / 0.2**2) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("width", [20, 10])
def test_the_law_in_tiles_is_that_of_the_whole(width):
    """Of what MMPS draws, as halving it once and twice finds memory: its mean within .05 posterior
    deviations, its covariance within .05.
    """
    mask, times = (
        Mask(torch.arange(N) % 3 > 0),
        grids.build({"name": "karras", "sigma_min": 0.05})(PROCESS, 5),
    )
    y = mask(torch.randn(1, 1, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64))

    def law(denoiser):
        return affine_law(
            MMPS(denoiser, mask, y, 0.2, iterations=N, tolerance=0), DDPM(), times, (1, N)
        )

    with pytest.warns(UserWarning, match=f"tiles of {width} pixels"):
        tiled, budget = within_memory(
            lambda budget: law(Tiled(Hungry(10**6, width), budget.tile or N)), Budget(1), (N,)
        )
    assert budget == Budget(1, width)
    whole = law(Hungry(10**6))
    assert float(((tiled[0] - whole[0]) / whole[1].diagonal().sqrt()).square().mean().sqrt()) < 0.05
    assert float((tiled[1] - whole[1]).norm() / whole[1].norm()) < 0.05


@pytest.mark.slow  # torch's checkpoint loads its compiler the first time
def test_differentiated_tiles_keep_nothing_but_their_inputs():
    """Each tile is computed once more for each product, which is the product without tiles of a
    denoiser that knows no neighbours.
    """

    class Pointwise(Denoiser):
        process, calls = PROCESS, 0

        def forward(self, x_t, t, **condition):
            self.calls += 1
            return Posterior(torch.tanh(x_t / (1 + t.view(-1, 1, 1))))

    x, v = (
        torch.randn(1, 1, N, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
        for k in (0, 1)
    )
    prior, t = Pointwise(), torch.tensor(0.3, dtype=torch.float64)
    _, expected = Pointwise().with_covariance(x, t)
    _, product = Tiled(prior, 16, batch=1).with_covariance(x, t)
    assert prior.calls == 4
    for again in (2, 3):
        assert torch.allclose(product(v), expected(v), atol=1e-12)
        assert prior.calls == 4 * again


def test_torch_says_it_in_its_own_words():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 52, dtype=torch.uint8)  # 4 PB
    assert out_of_memory(refused.value)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."))
    assert out_of_memory(MemoryError())
    assert not out_of_memory(
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")
    )


def test_other_errors_are_not_tried_again():
    with pytest.raises(RuntimeError, match="must match"):
        restored(N, Identity(), RuntimeError("The size must match"))


def test_where_nothing_fits_it_says_so():
    with pytest.raises(InputError, match="even for one image of \\(40,\\)"):
        restored(4, Identity())
