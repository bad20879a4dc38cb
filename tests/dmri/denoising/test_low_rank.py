"""Low rank: the theory's errors, recovered; the laws' constants; patches that add up."""

from __future__ import annotations

import math

import pytest
import torch

from unfog.core.random import generator
from unfog.dmri.denoising.low_rank import (
    denoise_matrices,
    global_pca,
    hard_threshold,
    local_svd,
    marchenko_pastur,
    optimal_shrinkage,
)


def spiked(m: int, n: int, values: list[float], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A matrix with these singular values over sqrt n, and itself with unit noise."""
    g = generator(seed)
    u = torch.linalg.qr(torch.randn(m, len(values), generator=g, dtype=torch.float64)).Q
    v = torch.linalg.qr(torch.randn(n, len(values), generator=g, dtype=torch.float64)).Q
    x = math.sqrt(n) * u * torch.tensor(values, dtype=torch.float64) @ v.T
    return x, x + torch.randn(m, n, generator=g, dtype=torch.float64)


def test_shrinkage_errs_as_the_theory_says() -> None:
    """Gavish & Donoho 2017: a spike s > beta^1/4 leaves an error of s^2 (1 - c^2), c^2 what noise
    keeps of both singular vectors.
    """
    values, small, beta = [4.0, 2.0, 1.2], 200, 0.25
    x, y = spiked(small, 800, values)
    found, expected = denoise_matrices(y[None], optimal_shrinkage)
    kept = [(1 - beta / s**4) ** 2 / ((1 + beta / s**2) * (1 + 1 / s**2)) for s in values]
    theory = sum(s**2 * (1 - c2) for s, c2 in zip(values, kept, strict=True)) / small
    assert float((found[0] - x).square().mean()) == pytest.approx(theory, rel=0.05)
    assert float(expected[0]) == pytest.approx(theory, rel=0.05)
    hard, _ = denoise_matrices(y[None], hard_threshold)
    assert theory < float((hard[0] - x).square().mean()) < float((y - x).square().mean()) / 20


def test_both_ways_of_a_matrix_agree() -> None:
    _, y = spiked(27, 60, [3.0, 1.5])
    a, error = denoise_matrices(y[None], optimal_shrinkage)
    b, same = denoise_matrices(y.T[None], optimal_shrinkage)
    torch.testing.assert_close(a[0], b[0].T)
    torch.testing.assert_close(error, same)


def test_square_matrices_are_cut_at_four_over_root_three() -> None:
    y = torch.tensor([2.3, 4 / math.sqrt(3) - 1e-6, 4 / math.sqrt(3) + 1e-6])
    assert hard_threshold(y.double(), 1.0).tolist() == pytest.approx([0, 0, float(y[2])])
    assert optimal_shrinkage(
        torch.tensor([1.99, 2.5, 1e6], dtype=torch.float64), 1.0
    ).tolist() == pytest.approx([0, 1.5, 1e6])


def test_noise_alone_leaves_nothing() -> None:
    y = torch.randn(50, 27, 60, generator=generator(0))
    assert float(denoise_matrices(y, hard_threshold)[0].square().mean()) < 0.02


@pytest.mark.parametrize(("rank", "samples"), [(0, 4000), (5, 4000), (5, 200)])
def test_the_law_counts_components_and_finds_the_noise(rank: int, samples: int) -> None:
    g = generator(1)
    signal = torch.randn(samples, rank, generator=g) @ (3 * torch.randn(rank, 60, generator=g))
    y = signal + 0.5 * torch.randn(samples, 60, generator=g)
    values = torch.linalg.eigvalsh(y.T @ y / samples)
    found, variance = marchenko_pastur(values[None], samples)
    assert int(found[0]) == rank
    assert float(variance[0].sqrt()) == pytest.approx(0.5, rel=0.05)


def test_global_components_keep_the_signal() -> None:
    g = generator(2)
    signal = 7 + torch.randn(5000, 4, generator=g, dtype=torch.float64) @ torch.randn(
        4, 40, generator=g, dtype=torch.float64
    )
    y = signal + 0.1 * torch.randn(5000, 40, generator=g, dtype=torch.float64)
    parts = global_pca(y)
    assert parts.axes.shape == (40, 4)
    whole = parts.whole(parts.scores(y))
    assert float((whole - signal).square().mean()) == pytest.approx(0.1**2 * 4 / 40, rel=0.1)
    assert float(parts.residual.mean().sqrt()) == pytest.approx(0.1, rel=0.01)


def test_what_is_low_rank_in_every_patch_is_left_alone() -> None:
    """Strong and noise-free: the shrinkage does not bite, and patches add up to what they were cut
    from, edges too.
    """
    x, y, z = torch.meshgrid(*(torch.arange(float(n)) for n in (6, 7, 5)), indexing="ij")
    signal = 1e4 * torch.stack([x, y + x, z - 2 * y, x + z], -1).double()
    found, error = local_svd(signal, torch.ones(6, 7, 5, dtype=torch.bool), hard_threshold)
    torch.testing.assert_close(found, signal, rtol=0, atol=1e-3)
    assert error.shape == (6, 7, 5)


def test_only_patches_about_marked_voxels_count() -> None:
    y = torch.randn(9, 8, 7, 20, generator=generator(3))
    inside = torch.zeros(9, 8, 7, dtype=torch.bool)
    inside[4, 4, 3] = True
    steps: list[tuple[int, int]] = []
    found, error = local_svd(
        y, inside, optimal_shrinkage, lambda done, total: steps.append((done, total))
    )
    changed = (found != y).any(-1)
    assert int(changed.sum()) == 27
    assert bool(changed[3:6, 3:6, 2:5].all())
    assert bool((error[~changed] == 1).all())
    assert steps == [(k, 7) for k in range(1, 8)]


@pytest.mark.parametrize("shape", [(1, 8, 7), (8, 1, 1), (2, 2, 2), (3, 3, 3)])
def test_thin_volumes(shape: tuple[int, int, int]) -> None:
    y = torch.randn(*shape, 12, generator=generator(4))
    found, error = local_svd(y, torch.ones(shape, dtype=torch.bool), optimal_shrinkage)
    assert bool(torch.isfinite(found).all())
    assert bool(torch.isfinite(error).all())


def test_the_error_of_a_patch_with_its_mean_kept() -> None:
    g = generator(5)
    signal = torch.randn(400, 27, 3, generator=g) @ (2 * torch.randn(3, 16, generator=g))
    y = signal + torch.randn(400, 27, 16, generator=g)
    mean = y.mean(1, keepdim=True)
    found, error = denoise_matrices(y - mean, optimal_shrinkage)
    actual = (found + mean - signal).square().mean()
    assert float(actual) == pytest.approx(float(error.mean()) + 1 / 27, rel=0.1)
