"""What tests of several rooms start from: a NIfTI volume with everything a header can say, and a
tiny run trained through the command line.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.pipelines import pipelines  # noqa: F401  (a fixture)
from support.text_models import clip_folder, t5_folder  # noqa: F401  (fixtures)
from typer.testing import CliRunner

from unfog.cli.main import app


@pytest.fixture(autouse=True)
def no_progress_of_slow_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands within this process print no line of progress just because the machine is busy."""
    monkeypatch.setattr("unfog.progress.FIRST", 600.0)


TINY = ["--set", "training.batch=4", "--set", "network.channels=8", "--set", "network.groups=4"]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An EDM of 8 x 8 digits; what it learned does not matter."""
    folder = tmp_path_factory.mktemp("cli") / "digits"
    result = CliRunner().invoke(
        app,
        [
            "train",
            "edm",
            "--data",
            "digits",
            "--out",
            str(folder),
            "--steps",
            "2",
            *TINY,
            "--set",
            "training.warmup=500",
        ],
    )
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def image() -> nib.Nifti1Image:
    """An oblique volume (6, 5, 4) of int16 with a slope, units, codes and free text."""
    affine = np.array([[-1.5, 0.1, 0, 20], [0.1, 1.25, 0.2, -30], [0, -0.2, 2.0, 5], [0, 0, 0, 1]])
    data = np.arange(120, dtype=np.int16).reshape(6, 5, 4)
    made = nib.Nifti1Image(data, affine)
    made.set_qform(affine, code=1)
    made.set_sform(made.get_qform(), code=2)
    made.header.set_xyzt_units("mm", "sec")
    made.header["descrip"] = b"JANE DOE 1970"
    return made


@pytest.fixture
def nifti(image: nib.Nifti1Image, tmp_path: Path) -> Path:
    """The volume as a .nii.gz."""
    path = tmp_path / "head.nii.gz"
    image.to_filename(path)
    return path


@pytest.fixture
def plain(image: nib.Nifti1Image, tmp_path: Path) -> Path:
    """The volume as a .nii."""
    path = tmp_path / "head.nii"
    image.to_filename(path)
    return path
