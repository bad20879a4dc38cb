"""Image scores against scikit-image and by hand."""

import numpy as np
import pytest
import torch

from unfog.errors import InputError
from unfog.evaluation.images import coverage, psnr, ssim, ssim_map

metrics = pytest.importorskip("skimage.metrics")


def pair(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    truth = np.cumsum(rng.random(shape), -1)
    truth = truth / truth.max()
    return torch.from_numpy(
        np.clip(truth + 0.1 * rng.standard_normal(shape), 0, 1)
    ), torch.from_numpy(truth)


@pytest.mark.parametrize("space", [(32, 24), (14, 13, 12)])
def test_parity_with_scikit_image(space: tuple[int, ...]) -> None:
    x, truth = pair(3, 1, *space)
    mask = truth > 0.4
    for i in range(3):
        a, b, m = x[i, 0].numpy(), truth[i, 0].numpy(), mask[i, 0].numpy()
        options = {
            "data_range": 1.0,
            "gaussian_weights": True,
            "sigma": 1.5,
            "use_sample_covariance": False,
        }
        mean, full = metrics.structural_similarity(a, b, full=True, **options)
        assert float(ssim(x, truth)[i]) == pytest.approx(mean, abs=1e-6)
        assert float(ssim(x, truth, mask)[i]) == pytest.approx(full[m].mean(), abs=1e-6)
        assert np.abs(ssim_map(x, truth)[i, 0].numpy() - full).max() < 1e-6
        assert float(psnr(x, truth)[i]) == pytest.approx(
            metrics.peak_signal_noise_ratio(b, a, data_range=1.0), abs=1e-6
        )
        assert float(psnr(x, truth, mask)[i]) == pytest.approx(
            metrics.peak_signal_noise_ratio(b[m], a[m], data_range=1.0), abs=1e-6
        )


def test_a_score_is_per_sample_and_scales_with_the_range() -> None:
    x, truth = pair(2, 3, 20, 20)
    for score in (psnr, ssim):
        torch.testing.assert_close(score(x, truth)[1:], score(x[1:], truth[1:]))
        torch.testing.assert_close(score(255 * x, 255 * truth, value_range=255.0), score(x, truth))


def test_what_is_outside_the_mask_does_not_count() -> None:
    x, truth = pair(2, 1, 16, 16)
    mask = torch.zeros(1, 1, 16, 16, dtype=torch.bool)
    mask[..., 3:9, 3:9] = True
    spoiled = torch.where(mask, x, torch.nan)
    torch.testing.assert_close(psnr(spoiled, truth, mask), psnr(x, truth, mask))
    assert psnr(torch.where(mask, truth, x), truth, mask).tolist() == [float("inf")] * 2


def test_coverage_by_hand() -> None:
    truth = torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 1, 4)
    low, high = torch.full_like(truth, 0.5), torch.full_like(truth, 2.0)
    assert coverage(truth, low, high).tolist() == [0.5]
    assert coverage(truth, low, high, truth < 3).tolist() == pytest.approx([2 / 3])


def test_bad_input_is_refused() -> None:
    x, truth = pair(2, 1, 8, 8)
    with pytest.raises(InputError, match="at least 11 pixels"):
        ssim(x, truth)
    with pytest.raises(InputError, match="must both be"):
        psnr(x, truth[:1])
    with pytest.raises(InputError, match="sample 1 is empty"):
        psnr(x, truth, torch.stack([torch.ones(1, 8, 8), torch.zeros(1, 8, 8)]))
    with pytest.raises(InputError, match="three shapes alike"):
        coverage(truth, x, x[:1])
