"""Factors on intervals, learned on raw data simulated from images: with the images' own Gaussian
prior there is nothing to mend.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from unfog.core.codec import Range
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.errors import InputError
from unfog.physics.kspace_masks import random_lines
from unfog.physics.linear import Operator, adjoint_error
from unfog.runs.run import Run
from unfog.runs.simulated import simulated_ct, simulated_mri
from unfog.runs.uncertainty import calibrate_uncertainty, interval_scale

SIDE, IMAGES, DRAWS = 8, 24, 16
SIMULATED = {"mri": lambda run: simulated_mri(run, 2, 4), "ct": lambda run: simulated_ct(run, 4)}


def law() -> tuple[torch.Tensor, torch.Tensor]:
    """A stationary Gaussian on a square, correlated over two pixels."""
    place = (
        torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"), -1)
        .reshape(-1, 2)
        .double()
    )
    return torch.full((SIDE**2,), 0.4).double(), 0.09 * torch.exp(-torch.cdist(place, place) / 2)


@pytest.fixture
def gaussian_run(tmp_path: Path) -> Callable[[float], Run]:
    """A run that knows the law of the data, its covariance times a factor; the data lie in
    ``held-out.npy``.
    """
    mean, covariance = law()
    np.save(
        tmp_path / "held-out.npy",
        gaussian_denoiser(EDM(), mean, covariance)
        .draw(IMAGES, torch.Generator().manual_seed(0))
        .view(-1, 1, SIDE, SIDE),
    )
    sampling = {"sampler": "calibrated-draws", "steps": 4, "grid": "karras"}

    def made(factor: float = 1.0) -> Run:
        prior = gaussian_denoiser(EDM(), mean, factor * covariance)
        return Run(tmp_path, {"sampling": sampling}, prior, Range(-1, 1), (1, SIDE, SIDE), {})  # type: ignore[arg-type]

    return made


@pytest.mark.slow
@pytest.mark.parametrize("task", ["mri", "ct"])
def test_an_exact_prior_needs_no_factor_but_that_of_few_draws(
    gaussian_run: Callable[[float], Run], task: str
) -> None:
    """Student's: sqrt(1 + 1 / K) t(.95; K - 1) / 1.645 for K draws, here 1.10."""
    run = gaussian_run(1.0)
    data = run.path / "held-out.npy"
    found = calibrate_uncertainty(
        run, data, task, SIMULATED[task](run), 0.05, images=IMAGES, samples=DRAWS
    )
    assert found["scale"] == pytest.approx(1.10, abs=0.12)
    assert found["covered after"] == pytest.approx(0.9, abs=0.01)
    assert interval_scale(run, task) == found["scale"]
    assert json.loads((run.path / "uncertainty" / f"{task}.json").read_text())["noise"] == 0.05


@pytest.mark.slow
def test_a_prior_too_sure_of_itself_gets_a_factor(gaussian_run: Callable[[float], Run]) -> None:
    """Half the deviation where the prior decides makes the factor a larger one, with which the
    interval covers what it says.
    """
    run = gaussian_run(0.25)
    found = calibrate_uncertainty(
        run,
        run.path / "held-out.npy",
        "mri",
        SIMULATED["mri"](run),
        0.05,
        images=IMAGES,
        samples=DRAWS,
    )
    assert found["scale"] > 1.3
    assert found["covered before"] < 0.8
    assert found["covered after"] == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("task", ["mri", "ct"])
def test_what_is_simulated_is_linear_and_leaves_out_what_is_not_measured(
    gaussian_run: Callable[[float], Run], task: str
) -> None:
    operator: Operator = SIMULATED[task](gaussian_run(1.0))
    x = torch.randn(
        2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    assert adjoint_error(operator, x.shape, torch.Generator().manual_seed(1)) < 1e-6
    y = operator(x)
    assert y.shape == ((2, 8, SIDE, SIDE) if task == "mri" else (2, 1, 4, SIDE))
    if task == "mri":
        assert int((y != 0).any(3).all(1)[0].sum()) == SIDE // 2
        assert float(y.square().sum()) < float(
            x.square().sum()
        )  # a share of the lines, by coils that share one image


def test_lines_are_as_many_as_asked_with_the_middle_whole() -> None:
    for rows, factor, centre in ((96, 4, 8), (96, 8, 6), (8, 4, 0), (8, 1, 2)):
        mask = random_lines(rows, 5, factor, centre)[0, 0]
        assert int(mask.all(1).sum()) == int(mask.any(1).sum()) == rows // factor
        middle = slice(rows // 2 - centre // 2, rows // 2 + centre // 2 + 1)
        assert bool(mask[middle].all())
    assert not torch.equal(random_lines(96, 5, 4, 8, seed=0), random_lines(96, 5, 4, 8, seed=1))
    with pytest.raises(InputError, match="less than the 9 of the middle"):
        random_lines(16, 4, 2, 8)


def test_what_cannot_be_simulated_is_refused() -> None:
    def run(shape: tuple[int, ...]) -> Run:
        return Run(Path("run"), {}, None, None, shape, {})  # type: ignore[arg-type]

    with pytest.raises(InputError, match="square images"):
        simulated_ct(run((1, 8, 6)), 10)
    for shape in ((3, 8, 8), (1, 8, 8, 8)):
        with pytest.raises(InputError, match="one channel and two dimensions"):
            simulated_mri(run(shape), 4, 8)
