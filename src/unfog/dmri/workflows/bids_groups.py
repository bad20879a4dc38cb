"""Which scans of a BIDS data set are processed together, as one series.

Runs of one session that have one phase encoding, readout and contrast on one grid are one
acquisition in several files: more volumes, of which low rank and the prior know more. Scans of
reversed phase encoding are warped the other way, so they are never put together.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.workflows.tables import Phase, Tables, read_series
from unfog.errors import InputError
from unfog.files.bids import Scan
from unfog.files.grids import same_grid
from unfog.files.nifti import Volume, write_nifti
from unfog.files.volumes import is_complex

ENCODING = "PhaseEncodingDirection"
# What must be alike, beside the phase encoding, for signals to be of one kind.
CONTRAST = ("EchoTime", "RepetitionTime", "FlipAngle", "TotalReadoutTime", "EffectiveEchoSpacing")
UNITS = {"rad": "radians", "radians": "radians", "deg": "degrees", "degrees": "degrees"}


@dataclass(frozen=True)
class Group:
    """Scans that are processed as one series, in this order."""

    scans: tuple[Scan, ...]

    @property
    def name(self) -> str:
        """What messages call it: the files' names."""
        return ", ".join(scan.path.name for scan in self.scans)

    def tables(self, options: Tables) -> list[Tables]:
        """The scans' tables, read with the ``options`` that the user gave for all."""
        return [replace(options, bvals=scan.bval, bvecs=scan.bvec) for scan in self.scans]

    def series(self, folder: Path, options: Tables) -> Inputs:
        """The group as one series.

        Args:
            folder: Where to write it, if the group has several scans.
            options: How to read the tables, and volumes of each scan to leave out.

        Returns:
            The files of a scan.

        Raises:
            InputError: A file cannot be read.
        """
        if len(self.scans) == 1:
            [scan], [tables] = self.scans, self.tables(options)
            return Inputs(scan.path, tables, _phase_options(scan), ())
        read = [read_series(*one) for one in zip(self._paths, self.tables(options), strict=True)]
        whole = GradientTable(
            np.concatenate([table.bvals for _, table in read]),
            np.concatenate([table.directions for _, table in read]),
            max(float(table.threshold or 0) for _, table in read),
        )
        first = read[0][0]
        joined = np.concatenate([volume.data for volume, _ in read], -1)
        dwi = write_nifti(folder / "joined.nii", joined, first)
        bvals, bvecs = folder / "joined.bval", folder / "joined.bvec"
        write_fsl(whole, bvals, bvecs, first.affine)
        tables = replace(options, bvals=bvals, bvecs=bvecs, drop=(), threshold=whole.threshold)
        counts = tuple(len(table) for _, table in read)
        phase = self._joined_phase(folder, [volume for volume, _ in read], options.drop)
        return Inputs(dwi, tables, phase, counts)

    @property
    def _paths(self) -> list[Path]:
        return [scan.path for scan in self.scans]

    def _joined_phase(
        self, folder: Path, magnitudes: Sequence[Volume], drop: Sequence[int]
    ) -> dict[str, Any]:
        """The options of the scans' phases, put together in radians; none without phases."""
        parts = []
        for scan, volume in zip(self.scans, magnitudes, strict=True):
            if scan.phase is None:
                return {}
            options = _phase_options(scan)
            phase = Phase(options["phase"], options["phase_unit"])
            parts.append(phase.radians(volume.data.shape, drop))
        joined = np.concatenate(parts, -1)
        path = write_nifti(folder / "phase.nii", joined, magnitudes[0])
        return {"phase": path, "phase_unit": "radians"}


@dataclass(frozen=True)
class Inputs:
    """The files of a series as commands take them.

    Args:
        dwi: The image.
        tables: Its tables.
        phase: The options phase and phase_unit, if there is a phase.
        counts: Volumes of each scan that was put into it; empty for a scan as it is.
    """

    dwi: Path
    tables: Tables
    phase: dict[str, Any]
    counts: tuple[int, ...]


Grouping = Callable[[Sequence[Scan]], list[Group]]


def alone(scans: Sequence[Scan]) -> list[Group]:
    """Each scan by itself, its magnitudes alone."""
    return [Group((replace(scan, phase=None),)) for scan in scans]


def fitting_together(scans: Sequence[Scan]) -> list[Group]:
    """Scans that are one acquisition in several files, with their phases.

    They are of one session, on one grid, of one phase encoding (``PhaseEncodingDirection``, or the
    entity ``dir`` where no sidecar says it) and of one contrast and readout; all have a phase or
    none. A scan whose encoding is told by neither stays alone.

    Args:
        scans: Of any subjects and sessions.

    Returns:
        The groups, in the order of their first scans.
    """
    groups: list[list[Scan]] = []
    for scan in scans:
        for group in groups:
            if _fit(group[0], scan):
                group.append(scan)
                break
        else:
            groups.append([scan])
    return [Group(tuple(group)) for group in groups]


def _fit(one: Scan, other: Scan) -> bool:
    """Whether two scans may be one series."""
    if one.place != other.place or (one.phase is None) != (other.phase is None):
        return False
    encoding = one.sidecar.get(ENCODING), one.entities.get("dir")
    if not any(encoding) or encoding != (other.sidecar.get(ENCODING), other.entities.get("dir")):
        return False
    if any(one.sidecar.get(key) != other.sidecar.get(key) for key in CONTRAST):
        return False
    if is_complex(one.path) or is_complex(other.path):
        return False
    (affine, shape), (affine2, shape2) = _grid(one.path), _grid(other.path)
    return shape == shape2 and same_grid(affine, affine2, shape)


def _grid(path: Path) -> tuple[Any, tuple[int, ...]]:
    """The affine and the shape (X, Y, Z) that a header states."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image: Any = nib.load(path)
    except Exception as error:
        raise InputError(f"{path.name} is no NIfTI image; export it again.") from error
    return image.affine, tuple(image.shape[:3])


def _phase_options(scan: Scan) -> dict[str, Any]:
    """The options phase and phase_unit of a scan, {} without a phase."""
    if scan.phase is None:
        return {}
    unit = UNITS.get(str(scan.phase.sidecar.get("Units", "")).lower())
    return {"phase": scan.phase.path, "phase_unit": unit}
