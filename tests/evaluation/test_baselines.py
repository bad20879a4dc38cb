"""Baselines: each finds what its method must find, at the PSNR it says."""

import numpy as np
import pytest
import torch

from unfog.errors import InputError, MissingExtra
from unfog.evaluation import baselines
from unfog.evaluation.images import psnr

pytest.importorskip("skimage")

N, H, W = 2, 24, 32


def blocks() -> tuple[baselines.Array, baselines.Array]:
    """Flat discs on a flat ground, and a mask around them."""
    y, x = np.mgrid[:H, :W]
    radius = np.hypot(y - H / 2, x - W / 2)
    image = np.where(radius < 8, 0.8, 0.3)
    return np.stack([image, image[:, ::-1] * 0.9]), np.broadcast_to(radius < 11, (N, H, W))


def score(x: baselines.Array, truth: baselines.Array, mask: baselines.Array) -> float:
    tensors = [torch.from_numpy(np.ascontiguousarray(v))[:, None] for v in (x, truth, mask)]
    return float(psnr(*tensors).mean())


@pytest.mark.parametrize("rician", [False, True])
def test_the_best_denoiser_gains_and_reports_its_own_score(rician: bool) -> None:
    truth, mask = blocks()
    real, imaginary = 0.1 * np.random.default_rng(0).standard_normal((2, N, H, W))
    noisy = np.hypot(truth + real, imaginary) if rician else truth + real
    best = baselines.best_denoiser(noisy, truth, mask, 0.1)
    assert best.psnr == pytest.approx(score(best.restored, truth, mask))
    assert best.psnr > score(np.clip(noisy, 0, 1), truth, mask) + 5
    assert best.restored.shape == truth.shape
    assert (best.params["bias"] != "kept") == rician


def test_total_variation_closes_a_hole_in_a_flat_image() -> None:
    truth = np.full((1, H, W), 0.4)
    hole = np.zeros((H, W), bool)
    hole[8:16, 8:20] = True
    image = np.where(hole, 0, truth)
    start = np.where(hole, 1.0, image)
    name, params, restored = list(baselines._total_variation_inpainted(start, hole[None]))[-1]
    assert (name, params) == ("total variation", {"iterations": 1000})
    np.testing.assert_allclose(restored, truth, atol=1e-4)
    np.testing.assert_array_equal(restored[:, ~hole], start.astype(np.float32)[:, ~hole])


def test_divergence_is_minus_the_adjoint_of_the_gradient() -> None:
    rng = np.random.default_rng(0)
    u, p = rng.standard_normal((N, H, W)), rng.standard_normal((2, N, H, W))
    assert (baselines._gradient(u) * p).sum() == pytest.approx(
        -(u * baselines._divergence(p)).sum()
    )


def test_the_best_inpainter_is_scored_in_the_hole_and_biharmonic_continues_a_plane() -> None:
    y, x = np.mgrid[:H, :W]
    truth = np.stack([(y + x) / (H + W), (y + 2 * x) / (H + 2 * W)])
    hole = np.zeros((H, W), bool)
    hole[6:14, 8:18] = True
    mask = np.ones((N, H, W), bool)
    best = baselines.best_inpainter(np.where(hole, 0, truth), hole, truth, mask)
    assert best.name == "biharmonic"
    assert best.psnr == pytest.approx(
        score(best.restored, truth, np.broadcast_to(hole, truth.shape))
    )
    assert best.psnr > 60


def test_back_projection_reproduces_what_was_measured() -> None:
    truth, mask = blocks()
    low = halved(truth)
    candidates = baselines._upsampled(low, 2)
    misfits = {
        (name, params["back-projections"]): np.abs(halved(x) - low).max()
        for name, params, x in candidates
    }
    for name in ("bicubic", "spline"):
        assert misfits[name, 0] > 1e-3
        assert misfits[name, 32] < 1e-8
    assert baselines.best_upsampler(low, 2, truth, mask).psnr > score(
        low.repeat(2, 1).repeat(2, 2), truth, mask
    )


def halved(x: baselines.Array) -> baselines.Array:
    return x.reshape(N, H // 2, 2, W // 2, 2).mean((2, 4))


def test_bad_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, mask = blocks()
    with pytest.raises(InputError, match="times 3"):
        baselines.best_upsampler(truth[:, ::2, ::2], 3, truth, mask)
    monkeypatch.setitem(__import__("sys").modules, "skimage", None)
    with pytest.raises(MissingExtra, match=r"unfog\[demo\]"):
        baselines.best_denoiser(truth, truth, mask, 0.1)
