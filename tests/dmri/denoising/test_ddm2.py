"""DDM^2: what predicts a volume is never itself, the residuals shuffled are those inside, and a
noisy phantom comes nearer to its truth.
"""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from support.commands import invoke
from support.rings import make_ring, with_noise

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.process import EDM
from unfog.core.random import generator
from unfog.dmri import harmonics
from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.denoising.ddm2 import (
    OTHERS,
    Settings,
    Shuffled,
    Slices,
    ddm2,
    from_others,
    neighbours,
)
from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.phantom import real_gradients
from unfog.errors import InputError
from unfog.files.nifti import new_volume, write_nifti
from unfog.training.objectives.times import Stratified


class Keep(Denoiser):
    """Gives x_t back, and remembers it."""

    def __init__(self):
        super().__init__()
        self.process = EDM(0.3)

    def forward(self, x_t, t, **condition):
        self.seen = x_t
        return Posterior(x_t)


def slices(volumes=9):
    source = generator(0, "slices")
    y = torch.rand(2, volumes, 10, 10, generator=source)
    inside = torch.zeros(2, 10, 10, dtype=torch.bool)
    inside[:, 2:8, 3:9] = True
    nearest = np.array([[(v + k) % volumes for k in range(1, 7)] for v in range(volumes)])
    return y, inside, nearest


def test_neighbours_are_the_nearest_axes_of_the_shell():
    directions = np.concatenate([np.zeros((1, 3)), harmonics.fibonacci(60).numpy()])
    table = GradientTable(np.r_[0, np.full(30, 1000), np.full(30, 2000)], directions)
    weighted, nearest = neighbours(table)
    assert list(weighted) == list(range(1, 61))
    for k, others in enumerate(nearest):
        shell = np.flatnonzero((np.arange(60) < 30) == (k < 30))
        apart = axis_angle(directions[1:][shell], directions[1 + k])
        assert k not in others
        np.testing.assert_allclose(
            axis_angle(directions[1:][others], directions[1 + k]),
            np.sort(apart)[1 : OTHERS + 1],
            atol=1e-5,
        )
    with pytest.raises(InputError, match="b = 2000 has 6 directions, and DDM2 needs 7"):
        neighbours(table[np.r_[0:37]])


def test_the_first_stage_sees_the_others_alone():
    y, inside, nearest = slices()
    batch = Slices(y, nearest, inside).batch([3, 11])
    np.testing.assert_array_equal(batch["x"], torch.stack([y[0, 3], y[1, 2]])[:, None])
    np.testing.assert_array_equal(
        batch["others"], torch.stack([y[0, [4, 5, 6, 7, 8, 0]], y[1, [3, 4, 5, 6, 7, 8]]])
    )
    expected = [
        ((y[z, nearest[v]].mean(0) - y[z, v])[inside[z]] ** 2).mean() for z, v in ((0, 3), (1, 2))
    ]
    np.testing.assert_allclose(from_others(Keep(), batch, [3, 11], 0, 1), expected, rtol=1e-5)


def test_shuffled_noise_is_of_the_residuals_inside():
    """Whatever lies outside leaves no trace; each sample draws its own; noise has the level of its
    time.
    """
    y, inside, nearest = slices()
    first = y + 0.1 * torch.randn(y.shape, generator=generator(1, "first"))
    other = torch.where(inside[:, None], first, 99.0)
    found = []
    for answer in (first, other):
        keep, data = Keep(), Slices(y, nearest, inside, answer)
        Shuffled()(keep, data.batch([0, 4, 12]), [0, 4, 12], 0, 7)
        found.append((keep.seen - data.batch([0, 4, 12])["first"])[:, 0])
    assert torch.equal(found[0][:, inside[0]], found[1][:, inside[0]])
    residual = (y - first)[0, 0][inside[0]]
    values = (residual - residual.mean()) / residual.std()
    drawn = found[0][0].flatten() / (0.3 * Stratified()(0, 7, [0, 4, 12])[0])
    assert float((drawn[:, None] - values).abs().min(1).values.max()) < 1e-4
    assert not torch.equal(found[0][0], found[0][1])


@pytest.mark.slow
def test_a_noisy_phantom_comes_nearer_to_its_truth():
    gradients, sigma = real_gradients(), 0.06
    clean = make_ring(gradients, (16, 16, 3)).signal
    y = with_noise(clean, sigma)
    inside = np.ones(clean.shape[:3], bool)
    inside[0, 0] = False
    told = []
    found = ddm2(
        y,
        gradients,
        inside,
        Settings(steps=300, channels=16, down=5),
        report=lambda *at: told.append(at),
    )
    weighted = ~gradients.b0

    def error(signal):
        return float(np.sqrt(np.mean((signal - clean)[inside][:, weighted] ** 2)))

    assert error(found.first) < 0.6 * error(y)
    assert error(found.signal) < 0.85 * error(y)
    assert (
        sigma < found.levels.min() <= found.levels.max() < 1.3 * sigma
    )  # the residual is the noise and Phi's own error
    np.testing.assert_array_equal(found.signal[..., ~weighted], y[..., ~weighted])
    np.testing.assert_array_equal(found.signal[~inside], y[~inside])
    assert told[-1] == (606, 606)


@pytest.mark.slow
def test_from_files_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gradients, affine = real_gradients()[:30], np.diag([2.0, 2, 2, 1])
    y = with_noise(1000 * make_ring(gradients, (12, 12, 5)).signal, 40.0)
    write_nifti("dwi.nii.gz", y, new_volume(y, affine))
    write_fsl(gradients, "dwi.bval", "dwi.bvec", affine)
    line = "dmri denoise dwi.nii.gz --bvals dwi.bval --bvecs dwi.bvec --method ddm2 --steps 10"
    for out in ("one", "two"):
        assert invoke(f"{line} --out {out}")[0] == 0
    summary = json.loads(Path("one/summary.json").read_text())
    assert (summary["method"], summary["steps"]) == ("ddm2", 10)
    read = {path.name[:-7]: nib.load(path).get_fdata() for path in Path("one").glob("*.nii.gz")}
    assert read.keys() == {"dwi_denoised", "first_stage", "noise", "residual", "mask"}
    np.testing.assert_allclose(read["dwi_denoised"] + read["residual"], y, atol=0.1)
    assert (
        Path("one/dwi_denoised.nii.gz").read_bytes() == Path("two/dwi_denoised.nii.gz").read_bytes()
    )
    status, _, stderr = invoke(f"{line} --prior none --out three")
    assert (status, stderr) == (
        2,
        "unfog: The method ddm2 takes no --prior, --phase, --norf, --noise-map, --acqp, --index or "
        "--noise-level; leave it out.\n",
    )
    assert not Path("three").exists()
