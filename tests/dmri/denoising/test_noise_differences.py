"""Noise from differences within shells: exact where the signal is smooth in direction, and as
robust as a cut of components.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import invoke
from support.rings import make_ring, with_noise

from unfog.dmri import harmonics
from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.noise_differences import can_take_differences, estimate_by_differences
from unfog.dmri.denoising.noise_level import estimate_noise
from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.rician import magnitude_mean, variance_share
from unfog.dmri.simulation.phantom import real_gradients
from unfog.files.nifti import new_volume, write_nifti

SHAPE = (20, 20, 6)
INSIDE = torch.ones(SHAPE, dtype=torch.bool)


def shells(directions: int, *bvals: float) -> GradientTable:
    """Six volumes at b = 0, and so many directions at each b."""
    axes = harmonics.fibonacci(2 * directions).numpy()[:directions]
    rows = [np.zeros((6, 3)), *(axes for _ in bvals)]
    return GradientTable(np.append(np.zeros(6), np.repeat(bvals, directions)), np.concatenate(rows))


@pytest.mark.parametrize("directions", [20, 30, 64])
def test_signals_of_order_4_leave_the_noise_alone(directions: int) -> None:
    """Gaussian noise on signals within the harmonics is found to its own sampling error, whatever
    the signal is; without noise nothing is found.
    """
    table = shells(directions, 1000.0)
    matrix = harmonics.design(torch.from_numpy(table.directions[6:]), 4).float()
    numbers = torch.Generator().manual_seed(0)
    signal = 50 * torch.randn(*SHAPE, 15, generator=numbers) @ matrix.T
    signal = torch.cat([signal.new_full((*SHAPE, 6), 9.0), signal], -1)
    noisy = signal + 2 * torch.randn(signal.shape, generator=numbers)
    found = estimate_by_differences(noisy, INSIDE, table)
    assert float((found.level / 2 - 1).square().mean().sqrt()) < 0.03
    assert float((found.level / 2 - 1).mean().abs()) < 0.01
    assert float(estimate_by_differences(signal, INSIDE, table).level.max()) < 1e-3


def test_three_shells_at_low_snr() -> None:
    """Where weak signals' magnitudes vary less than strong ones, the law of one noise fails and
    differences do not: the level is within 2 %. ``denoise`` divides volumes by their own noise, so
    by either its sigma is within 2 % too.
    """
    table = shells(28, 1000.0, 2000.0, 3000.0)
    clean, sigma = make_ring(table, SHAPE).signal, 0.15
    data = with_noise(clean, sigma)
    truth = sigma * np.sqrt(variance_share(magnitude_mean(clean, sigma), sigma).mean(-1))
    law = estimate_noise(torch.from_numpy(data), INSIDE).level.numpy() / truth
    ours = estimate_by_differences(torch.from_numpy(data), INSIDE, table).level.numpy() / truth
    assert abs(ours.mean() - 1) < 0.02
    assert abs(law.mean() - 1) > 2 * abs(ours.mean() - 1)
    for name in ("mp", "differences"):
        found = denoise(data, table, noise_level=name).sigma
        assert abs(np.median(found) / sigma - 1) < 0.02


def test_what_whole_volumes_share_is_not_noise() -> None:
    """Every other volume shifted by a voxel: the axes that stand out are left out."""
    table = real_gradients()
    clean = make_ring(table, SHAPE).signal.copy()
    clean[..., ::2] = np.roll(clean[..., ::2], 1, 1)
    data = torch.from_numpy(with_noise(clean, 0.05))
    level = estimate_by_differences(data, INSIDE, table).level
    assert abs(float(level.mean()) / 0.05 - 1) < 0.03


def test_few_directions_have_no_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below 20 the law is the default, and differences are refused in one sentence."""
    monkeypatch.chdir(tmp_path)
    table = shells(12, 1000.0)
    assert not can_take_differences(table)
    data = with_noise(make_ring(table, (10, 10, 6)).signal, 0.05)
    assert denoise(data, table).noise.method == "mp"
    write_nifti("dwi.nii", data, new_volume(data, np.diag([2.0, 2, 2, 1])))
    write_fsl(table, "b", "v", np.diag([2.0, 2, 2, 1]))
    line = "dmri denoise dwi.nii --bvals b --bvecs v --prior none --out out --noise-level"
    status, _, err = invoke(f"{line} differences")
    assert (status, err.count("\n")) == (2, 1)
    assert "20 directions" in err
    assert not Path("out").exists()
    assert invoke(f"{line} mp")[0] == 0
