"""What goes with a diffusion scan in files of its own: its gradient table, and its phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.denoising.phase import in_radians, real_parts
from unfog.dmri.gradient_files import from_mrtrix, kept_volumes, read_fsl, read_mrtrix
from unfog.dmri.gradients import GradientTable
from unfog.errors import InputError
from unfog.files.mif import SUFFIXES, MifVolume
from unfog.files.nifti import Volume, read_angle, read_magnitude
from unfog.files.volumes import is_complex, read_volume
from unfog.progress import Report


@dataclass(frozen=True)
class Tables:
    """The files of a scan's gradient table as the command line names them: FSL's two or MRtrix's
    one.

    Args:
        bvals: FSL's b-values.
        bvecs: FSL's directions.
        grad: MRtrix's table, in place of the two.
        layout: How ``bvecs`` lies: in "rows" or "columns"; "auto" tells by the shape.
        prefix: The beginning of the options that name the files, for error messages.
        threshold: Up to this b a volume counts as b = 0; told from the table by default.
        drop: Volumes to leave out of scan and table, counted from 0.
    """

    bvals: Path | None = None
    bvecs: Path | None = None
    grad: Path | None = None
    layout: str = "auto"
    prefix: str = ""
    threshold: float | None = None
    drop: tuple[int, ...] = ()

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files that are named."""
        return self.bvals, self.bvecs, self.grad

    @property
    def given(self) -> bool:
        """Whether any file of a table is named."""
        return any(self.files)

    def read(self, affine: NDArray[np.float64], volumes: int | None = None) -> GradientTable:
        """Read the table of a scan.

        Args:
            affine: The scan's, (4, 4).
            volumes: The number of its volumes, which the table must have too; None for any.

        Returns:
            The table, with directions in world axes.

        Raises:
            InputError: Files are missing, damaged or of both kinds.
        """
        if self.grad is not None:
            if self.bvals or self.bvecs:
                raise InputError(
                    f"Give --{self.prefix}grad, or --{self.prefix}bvals and "
                    f"--{self.prefix}bvecs, but not both."
                )
            return read_mrtrix(self.grad, volumes, self.threshold, self.drop)
        if self.bvals is None or self.bvecs is None:
            raise InputError(
                f"A scan needs its gradients: give --{self.prefix}bvals and "
                f"--{self.prefix}bvecs, or --{self.prefix}grad."
            )
        return read_fsl(
            self.bvals, self.bvecs, affine, volumes, self.layout, self.threshold, self.drop
        )


def read_series(dwi: Path, tables: Tables) -> tuple[Volume, GradientTable]:
    """A scan and its gradient table, without the volumes to drop; a bad table is refused before a
    large scan is read. An MRtrix image has its table with it, unless another is given.
    """
    volume = checked_series(dwi, tables)
    gradients = table_of(dwi, volume, tables)
    if tables.drop:
        kept = kept_volumes(volume.data.shape[3], tables.drop)
        volume = replace(volume, data=volume.data[..., kept])
    return volume, gradients


def checked_series(dwi: Path, tables: Tables | None, of_complex: bool = False) -> Volume:
    """A series of volumes, of the magnitudes ``of_complex`` ones if it is that; `InputError` where
    it is none, or beforehand where ``tables`` of a file of their own are bad.
    """
    if tables is not None and not (dwi.name.endswith(SUFFIXES) and not tables.given):
        tables.read(np.eye(4))
    volume = read_magnitude(dwi) if of_complex else read_volume(dwi)
    if volume.data.ndim != 4:
        raise InputError(
            f"{dwi.name} has one volume; a diffusion scan is a series of them, so give the whole."
        )
    return volume


def table_of(dwi: Path, volume: Volume, tables: Tables) -> GradientTable:
    """The table of a series of volumes: its own, or that of files, without the volumes to drop."""
    if isinstance(volume, MifVolume) and not tables.given:
        return _own_table(dwi, volume, tables)
    return tables.read(volume.affine, volume.data.shape[3])


def _own_table(dwi: Path, volume: MifVolume, tables: Tables) -> GradientTable:
    """The table that an MRtrix image has with it."""
    if volume.scheme is None:
        raise InputError(
            f"{dwi.name} has no dw_scheme with it; give --grad, or --bvals and --bvecs."
        )
    count = volume.data.shape[3]
    return from_mrtrix(dwi, volume.scheme, count, tables.threshold, tables.drop)


@dataclass(frozen=True)
class Phase:
    """The phase of a scan's magnitudes, in a file on their grid, or that of complex numbers.

    Args:
        path: The file.
        unit: Of its values: radians, degrees or 4096; told from their range by default.
        report: Called as ``report(done, total)``, counting planes.
        of_complex: Whether the file is the scan itself, of complex numbers.
    """

    path: Path
    unit: str | None = None
    report: Report | None = None
    of_complex: bool = False

    @classmethod
    def of(cls, dwi: Path, phase: Path | None, unit: str | None) -> Phase | None:
        """The phase of a scan.

        Args:
            dwi: The scan; one of complex numbers has its own.
            phase: The file of the phase, if there is one.
            unit: Of the values in it.

        Returns:
            The phase; None where there is none.

        Raises:
            InputError: Complex numbers come with another phase, or a unit without a phase.
        """
        if is_complex(dwi):
            if phase is not None or unit is not None:
                raise InputError(
                    f"{dwi.name} holds complex numbers, which have their own phase; leave --phase "
                    "and --phase-unit out."
                )
            return cls(dwi, "radians", of_complex=True)
        if phase is None and unit is not None:
            raise InputError("--phase-unit is of a phase; give --phase too.")
        return None if phase is None else cls(phase, unit)

    @property
    def name(self) -> str:
        """What it is called in a summary."""
        return f"{self.path.name}, complex" if self.of_complex else self.path.name

    def taken_from(
        self,
        magnitudes: Volume,
        gradients: GradientTable,
        inside: NDArray[np.bool_],
        drop: Sequence[int] = (),
    ) -> Volume:
        """The real parts of a scan.

        Args:
            magnitudes: The scan as it is stored, without the volumes to drop.
            gradients: Its table.
            inside: (X, Y, Z), the head.
            drop: Volumes that were left out of it, which the phase still has.

        Returns:
            The real parts on the grid of the magnitudes.

        Raises:
            InputError: The phase is of another scan, or its unit is not told.
        """
        angle = self.radians(magnitudes.data.shape, drop)
        y = (magnitudes.data * np.exp(1j * angle)).astype(np.complex64)
        return replace(magnitudes, data=real_parts(y, gradients, inside, self.report))

    def radians(self, shape: tuple[int, ...], drop: Sequence[int] = ()) -> NDArray[np.float32]:
        """The phase in radians.

        Args:
            shape: Of the magnitudes without the volumes to drop, (X, Y, Z, volumes).
            drop: These volumes, which the phase still has.

        Returns:
            (X, Y, Z, volumes).

        Raises:
            InputError: The phase is of another scan, or its unit is not told.
        """
        phase = (read_angle(self.path) if self.of_complex else read_volume(self.path)).data
        if drop and phase.ndim == 4:
            phase = phase[..., kept_volumes(phase.shape[3], drop)]
        if phase.shape != shape:
            raise InputError(
                f"{self.path.name} has the shape {phase.shape} and the magnitudes have {shape}; "
                "give the phase of the same volumes."
            )
        return in_radians(phase, self.unit, self.path.name)
