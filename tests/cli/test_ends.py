"""Scans without signal, and values at the ends of float32: refused, and nothing written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import invoke

from unfog.builtin import open_run
from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.errors import InputError
from unfog.files.nifti import new_volume, write_nifti
from unfog.workflows.sample import write_samples


@pytest.mark.filterwarnings("ignore:.*non-finite voxels")
@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_diffusion_scan_without_signal_is_refused(tmp_path: Path, value: float) -> None:
    y = np.full((6, 6, 3, 10), value, np.float32)
    write_nifti(tmp_path / "dwi.nii", y, new_volume(y, np.eye(4)))
    bvals, bvecs = tmp_path / "dwi.bval", tmp_path / "dwi.bvec"
    write_fsl(real_gradients()[:10], bvals, bvecs, np.eye(4))
    out = tmp_path / "out"
    line = f"dmri denoise {tmp_path}/dwi.nii --bvals {bvals} --bvecs {bvecs} --out {out}"
    status, _, err = invoke(f"{line} --prior none")
    assert status == 2
    assert "dwi.nii is empty: every voxel is 0 or not finite" in err
    assert not out.exists()


@pytest.mark.parametrize("value", [0.0, np.nan])
@pytest.mark.filterwarnings("ignore:.*non-finite voxels")
def test_a_volume_without_signal_is_not_restored(tmp_path: Path, run: Path, value: float) -> None:
    y = np.full((8, 8, 2), value, np.float32)
    write_nifti(tmp_path / "head.nii", y, new_volume(y, np.eye(4)))
    out = tmp_path / "out"
    status, _, err = invoke(f"restore {run} {tmp_path}/head.nii --task denoise --out {out}")
    assert (status, "empty" in err, out.exists()) == (2, True, False)


def test_no_infinite_deviation_is_written(tmp_path: Path, run: Path) -> None:
    y = np.random.default_rng(0).uniform(0, 3e38, (8, 8, 2)).astype(np.float32)
    write_nifti(tmp_path / "head.nii", y, new_volume(y, np.eye(4)))
    out, task = tmp_path / "out", "--task denoise --noise 1e38 --samples 2 --steps 2"
    status, _, err = invoke(f"restore {run} {tmp_path}/head.nii {task} --out {out}")
    assert (status, out.exists()) == (2, False)
    assert "head.nii is not finite" in err or "not finite" in err
    # Far from the ends all is as it was.
    write_nifti(tmp_path / "low.nii", y / 1e30, new_volume(y, np.eye(4)))
    task = task.replace("1e38", "1e8")
    assert invoke(f"restore {run} {tmp_path}/low.nii {task} --out {out}")[0] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite_are_not_written(
    tmp_path: Path, run: Path, value: float
) -> None:
    x = torch.zeros(2, *open_run(run).shape)
    x[1, 0, 0] = value
    with pytest.raises(InputError, match="not finite"):
        write_samples(open_run(run), tmp_path, x)
    assert not list(tmp_path.iterdir())
    write_samples(open_run(run), tmp_path, torch.zeros_like(x))
    assert (tmp_path / "samples.npy").is_file()
