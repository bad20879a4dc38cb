"""k-space of planes is for priors of planes, and ISMRMRD needs no names of its axes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from unfog.errors import InputError
from unfog.workflows.raw import measured_kspace
from unfog.workflows.tasks import Options, task_named

VOLUMES: Any = SimpleNamespace(shape=(1, 8, 8, 8), name="deep")
PLANES: Any = SimpleNamespace(shape=(1, 8, 8), name="flat")
KSPACE = np.ones((3, 8, 8), np.complex64)


def fastmri(path: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path / "fast.h5", "w") as file:
        file["kspace"], file["ismrmrd_header"] = KSPACE, "<?xml version='1.0'?>"
    return path / "fast.h5"


def ismrmrd(path: Path) -> Path:
    pytest.importorskip("ismrmrd")
    from files.test_raw import ismrmrd_file

    return ismrmrd_file(path / "scan.h5", np.ones((3, 2, 6, 16), np.complex64), [0, 3])


@pytest.mark.parametrize("make", [fastmri, ismrmrd])
def test_slices_are_no_coils_of_a_volume(tmp_path: Path, make: Any) -> None:
    with pytest.raises(InputError, match=r"holds k-space of planes, and deep makes .* 3 axes"):
        measured_kspace(VOLUMES, [make(tmp_path)], task_named("mri"), Options())


def test_ismrmrd_says_its_axes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="says its axes; leave --axes out"):
        measured_kspace(
            PLANES, [ismrmrd(tmp_path)], task_named("mri"), Options(axes="rows,columns")
        )


def test_other_axes_are_refused_with_the_option(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 2, 2, 8, 8), np.complex64))
    with pytest.raises(InputError, match=r"a\.npy has k-space .* or name its axes with --axes"):
        measured_kspace(PLANES, [tmp_path / "a.npy"], task_named("mri"), Options())
