"""The misfit of denoised images: in closed form on Gaussian priors, and on the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from unfog.builtin import open_run
from unfog.cli.main import app
from unfog.core.codec import Range
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.files.nifti import new_volume, write_nifti
from unfog.physics.smoothing import difference_of_gaussians
from unfog.runs import misfit
from unfog.runs.misfit import BANDS, Spread, by_band, misfit_by_band, misfit_map, misfit_of
from unfog.runs.restore import posterior_mean
from unfog.runs.run import Run
from unfog.runs.uncertainty import interval_scale
from unfog.workflows.fit import LARGEST, Fit

SIDE, IMAGES, SIGMA = 8, 400, 0.1


def covariance() -> torch.Tensor:
    """A stationary covariance on a square, correlated over two pixels."""
    steps = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    place = torch.stack(steps, -1).reshape(-1, 2).double()
    return 0.09 * torch.exp(-torch.cdist(place, place) / 2)


def prior_of(factor: float, centre: float) -> Run:
    """A run whose prior is Gaussian about ``centre``, its covariance times a factor."""
    mean = torch.full((SIDE**2,), centre).double()
    prior = gaussian_denoiser(EDM(), mean, factor * covariance())
    return Run(Path(), {}, prior, Range(-1, 1), (1, SIDE, SIDE), {})  # type: ignore[arg-type]


def stated(factor: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Wiener's filter of that prior, and the trace of its posterior covariance."""
    c = factor * covariance()
    gain = c @ torch.linalg.inv(c + SIGMA**2 * torch.eye(len(c)))
    return gain, SIGMA**2 * gain.trace()


@pytest.mark.parametrize("factor", [1.0, 0.3, 0.05])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_it_is_the_error_over_what_a_gaussian_prior_states(factor: float, shift: float) -> None:
    """Images of one law under priors that are right, too narrow, or about another mean."""
    g = torch.Generator().manual_seed(0)
    truth = gaussian_denoiser(EDM(), torch.full((SIDE**2,), 0.2).double(), covariance())
    x = truth.draw(IMAGES, g).view(-1, 1, SIDE, SIDE)
    y = x + SIGMA * torch.randn(x.shape, generator=g, dtype=x.dtype)
    run = prior_of(factor, 0.2 + shift)
    found = misfit_of(run, y, posterior_mean(run, y, SIGMA), SIGMA)
    # The error of Wiener's filter with another covariance and mean, in closed form.
    gain, variance = stated(factor)
    rest = torch.eye(SIDE**2) - gain
    error = (rest @ covariance() @ rest.T).trace() + SIGMA**2 * (gain @ gain.T).trace()
    error = error + (rest @ torch.full((SIDE**2,), shift).double()).square().sum()
    assert found == pytest.approx(math.sqrt(error / variance), rel=0.15)
    assert (found > 1.25) == (float(error / variance) > 1.25**2)


@pytest.mark.parametrize("factor", [1.0, 0.2])
def test_a_band_has_its_own(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of Wiener's filter in a band of detail over what the prior states of it."""
    monkeypatch.setattr("unfog.runs.misfit.IMAGES", IMAGES)
    g = torch.Generator().manual_seed(1)
    truth = gaussian_denoiser(EDM(), torch.full((SIDE**2,), 0.2).double(), covariance())
    x = truth.draw(IMAGES, g).view(-1, 1, SIDE, SIDE)
    y = x + SIGMA * torch.randn(x.shape, generator=g, dtype=x.dtype)
    run = prior_of(factor, 0.2)
    found = misfit_by_band(run, y, posterior_mean(run, y, SIGMA), SIGMA)
    gain, _ = stated(factor)
    rest, units = torch.eye(SIDE**2) - gain, torch.eye(SIDE**2).double().view(-1, 1, SIDE, SIDE)
    for name, band in BANDS.items():
        b = difference_of_gaussians(units, *band).flatten(1)
        assert torch.allclose(b, b.T)
        error = b @ (rest @ covariance() @ rest.T + SIGMA**2 * gain @ gain.T) @ b.T
        expected = math.sqrt(error.trace() / (SIGMA**2 * b @ gain @ b.T).trace())
        assert found[name] == pytest.approx(expected, rel=0.2)


def test_the_map_is_large_where_the_image_is_unlike_the_prior() -> None:
    """Half of an image varies as the prior says, the other half five times as much."""
    g, run = torch.Generator().manual_seed(2), prior_of(1.0, 0.2)
    truth = gaussian_denoiser(EDM(), torch.zeros(SIDE**2).double(), covariance())
    x = truth.draw(IMAGES, g).view(-1, 1, SIDE, SIDE)
    x[: IMAGES // 2] *= 5
    y = 0.2 + x + SIGMA * torch.randn(x.shape, generator=g, dtype=x.dtype)
    local = misfit_map(run, posterior_mean(run, y, SIGMA), Spread(run, y, SIGMA))
    unlike, like = local[: IMAGES // 2].mean(), local[IMAGES // 2 :].mean()
    assert like < 1.25 < 1.5 < unlike


def test_bands_tell_the_whole_at_no_further_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three products with the covariance, one a band, are all that a scan takes."""
    g, run, products = torch.Generator().manual_seed(3), prior_of(1.0, 0.2), []
    y = 0.3 + 0.3 * torch.randn(16, 1, SIDE, SIDE, generator=g)
    mean = posterior_mean(run, y, SIGMA)
    whole, local = misfit_of(run, y, mean, SIGMA), misfit_map(run, mean, Spread(run, y, SIGMA))
    product = misfit._covariance
    monkeypatch.setattr(misfit, "_covariance", lambda *a: products.append(1) or product(*a))
    spread = Spread(run, y, SIGMA)
    found = by_band(run, mean, spread)
    assert found["whole"] == pytest.approx(whole, rel=1e-5)
    assert torch.allclose(misfit_map(run, mean, spread), local, atol=1e-5)
    assert len(products) == len(BANDS)


def test_fine_detail_alone_which_is_mostly_noise_warns_of_nothing() -> None:
    none = torch.ones(1)
    assert Fit(0.9, {"fine": 3.0, "medium": 1.0, "coarse": None}, none).largest == 1.0
    assert Fit(None, {"fine": None, "medium": 0.0, "coarse": 1.6}, none).largest == 1.6 > LARGEST
    assert Fit(None, dict.fromkeys(BANDS), none).largest is None


def test_images_without_signal_have_none() -> None:
    run = prior_of(1.0, 0.2)
    y = torch.full((16, 1, SIDE, SIDE), -0.9)
    assert misfit_of(run, y, y, SIGMA) is None
    assert misfit_of(run, y[:2] + 1, y[:2] + 1, SIGMA) is None  # 128 values


def slab(tmp_path: Path, change: Any) -> Path:
    """Slices of the template's held-out slab, changed, with noise of deviation 0.1."""
    from unfog.data.builtin.mni import MniT1

    head = MniT1("test", resolution=2).batch([0, 4, 8])["x"].numpy()
    data = np.moveaxis(head[:, 0, ::-1], 0, -1).swapaxes(0, 1)
    noisy = change(data) + 0.1 * np.random.default_rng(0).standard_normal(data.shape)
    volume = new_volume(noisy, np.diag([2.0, 2, 2, 1]))
    return write_nifti(tmp_path / "head.nii", noisy, volume)


@pytest.mark.slow
@pytest.mark.parametrize("unlike", [False, True])
def test_a_head_unlike_the_template_is_said_and_widened(tmp_path: Path, unlike: bool) -> None:
    """Bright where the template is dark, as fluid is on T2; and the template itself."""
    change = (lambda x: np.where(x > 0.05, 1.05 - x, x)) if unlike else (lambda x: x)
    path = slab(tmp_path, change)
    line = f"restore t1-slices {path} --task denoise --noise 0.1 --samples 4 --steps 20"
    result = CliRunner().invoke(app, [*line.split(), "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    own = interval_scale(open_run("t1-slices"), "denoise")
    if unlike:
        assert summary["misfit"] > 1.5
        assert any("unlike those the prior learned" in text for text in summary["warnings"])
        assert summary["std scale"] == pytest.approx(own * summary["misfit"], rel=1e-3)
    else:
        assert 0.9 < summary["misfit"] < 1.25
        assert not any("unlike" in text for text in summary["warnings"])
        assert summary["std scale"] == pytest.approx(own, rel=1e-3)
