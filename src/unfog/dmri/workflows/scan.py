"""A diffusion scan in files: its volumes, its gradient table and the mask of the head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.checks.warnings import warnings_of
from unfog.dmri.denoising.classical import MP, Denoised
from unfog.dmri.denoising.noise_distribution import NoiseDistribution
from unfog.dmri.denoising.noise_map import (
    NoiseMap,
    denoise_by_map,
    denoise_by_slices,
    over_map,
)
from unfog.dmri.denoising.phase import REAL_PARTS
from unfog.dmri.gradient_files import (
    mrtrix_rows,
    write_fsl,
)
from unfog.dmri.gradients import GradientTable
from unfog.dmri.masks import brain_mask, measured_inside
from unfog.dmri.shells import left_out
from unfog.dmri.workflows.noise_files import NoiseFiles
from unfog.dmri.workflows.tables import Phase, Tables
from unfog.errors import InputError
from unfog.files.grids import same_grid
from unfog.files.mif import MifVolume
from unfog.files.nifti import Volume
from unfog.files.orientation import as_stored, standing
from unfog.files.volumes import read_volume, write_volume
from unfog.progress import Report
from unfog.version import __version__

REFINER = "dmri-refiner"  # the prior for scans after low rank
NAMED = 8  # runs of volumes that a warning names
NOT_KNOWN = NoiseFiles()
PRIOR = "dmri"  # the prior for raw signals, whose noise is white


@dataclass(frozen=True)
class Series:
    """A scan read from its files and turned upright, so that results do not depend on which of the
    48 ways its voxels are stored.

    Args:
        stored: The scan as it is stored.
        volume: The scan turned upright, (X, Y, Z, volumes).
        gradients: Its table, with directions in world axes.
        inside: The head in the upright volume, (X, Y, Z), without voxels that are 0 in every
            volume, which were not measured.
        distribution: Of the noise, where it is known; read from the data otherwise.
        noise_map: Of the noise over space, where it is known.
    """

    stored: Volume
    volume: Volume
    gradients: GradientTable
    inside: NDArray[np.bool_]
    distribution: NoiseDistribution | None = None
    noise_map: NoiseMap | None = None

    @classmethod
    def open(
        cls,
        dwi: Path,
        tables: Tables,
        mask: Path | None = None,
        phase: Phase | None = None,
        known: NoiseFiles = NOT_KNOWN,
    ) -> Series:
        """Read a scan from its files.

        Args:
            dwi: The file, NIfTI or an MRtrix image.
            tables: Its gradients.
            mask: A file of the mask on the scan's grid; the head is found without one.
            phase: The phase of magnitudes, by which they become real parts.
            known: What is known of the noise.

        Returns:
            The scan, upright.

        Raises:
            InputError: A file cannot be read, or the files do not belong together.
        """
        stored, gradients, norf = known.split(dwi, tables, phase is not None and phase.of_complex)
        volume = standing(stored)
        if not volume.data.any():
            raise InputError(
                f"{dwi.name} is empty: every voxel is 0 or not finite; give a scan with signal."
            )
        if mask is None:
            inside = brain_mask(volume, gradients)
        else:
            inside = standing(_mask(mask, stored)).data > 0
        inside = measured_inside(inside, volume.data)
        level = known.upright(stored, inside, norf)
        if phase is None:
            return cls(stored, volume, gradients, inside, noise_map=level)
        drop = (*tables.drop, *known.volumes)
        turned = phase.taken_from(stored, gradients, as_stored(inside, stored), drop)
        return cls(turned, standing(turned), gradients, inside, REAL_PARTS, level)

    def low_rank(
        self,
        coils: int | None,
        unbias: bool,
        report: Report | None = None,
        noise_level: str = MP,
    ) -> Denoised:
        """The scan denoised by low rank, with its noise.

        Args:
            coils: Channels combined by sum of squares; read from the air if None.
            unbias: Whether what noise adds to magnitudes is taken away.
            report: Called as ``report(done, total)``.
            noise_level: How noise is estimated, one of ``NOISE_LEVELS``.

        Returns:
            The upright result.
        """
        options: dict[str, Any] = {"unbias": unbias, "distribution": self.distribution}
        options |= {"noise_level": noise_level, "report": report}
        data, gradients, inside = self.volume.data, self.gradients, self.inside
        if self.noise_map is None:
            return denoise_by_slices(data, gradients, inside, coils=coils, **options)
        return denoise_by_map(data, gradients, self.noise_map, inside, coils=coils, **options)

    def like(self, data: NDArray[Any]) -> Volume:
        """Upright ``data`` (X, Y, Z[, T]) as a volume on this scan's grid."""
        return replace(self.volume, data=np.asarray(data, dtype=np.float32))

    def write(
        self, folder: Path, maps: Mapping[str, Volume], gradients: GradientTable | None = None
    ) -> list[str]:
        """Write upright volumes laid out as the scan is stored and in its format.

        Args:
            folder: Where to.
            maps: The volumes by their files' names.
            gradients: The table that series get with them in an MRtrix image; the scan's by
                default.

        Returns:
            The files' names.
        """
        like = self.stored
        if isinstance(like, MifVolume):
            like = replace(like, scheme=mrtrix_rows(gradients or self.gradients))
        return [
            write_volume(folder, name, as_stored(volume.data, self.stored), like).name
            for name, volume in maps.items()
        ]

    def write_table(self, stem: Path, gradients: GradientTable) -> None:
        """Write FSL's two files, ``stem`` with .bval and .bvec, for volumes stored as the scan."""
        bvals, bvecs = stem.with_suffix(".bval"), stem.with_suffix(".bvec")
        write_fsl(gradients, bvals, bvecs, self.stored.affine)

    def summary(self, denoised: Denoised, **options: Any) -> dict[str, Any]:
        """The part of a summary.json that all commands on scans share.

        Args:
            denoised: The result of low rank, with the noise it estimated.
            **options: The options the scan was processed with.

        Returns:
            Its volumes, shells and voxels, the options, its noise, and its warnings.
        """
        volume, gradients, inside = self.volume, self.gradients, self.inside
        if self.noise_map is not None:
            ratio = over_map(denoised.sigma, self.noise_map, inside)
            options |= {"noise map": self.noise_map.name, "noise over the map": round(ratio, 4)}
        if denoised.slices is not None:
            options |= {"noise by slice": denoised.slices.summary}
        return {
            "input": volume.path.name if volume.path else "",
            "unfog": __version__,
            "volumes": len(gradients),
            "b0 volumes": int(gradients.b0.sum()),
            "shells": sizes(gradients),
            "voxels": int(inside.sum()),
            "coils": denoised.coils,
            "bias removed": denoised.unbiased,
            **options,
            "noise": float(np.median(denoised.sigma[inside])),
            "noise correlation": [round(float(rho), 3) for rho in denoised.noise.correlation[:, 0]],
            "components": denoised.noise.components.axes.shape[1],
            "warnings": [
                *volume.notes,
                *gradients.notes,
                *denoised.notes,
                *warnings_of(volume.data, gradients, inside, volume.affine, denoised.noise),
            ],
        }


def left_out_warning(gradients: GradientTable, least: int, consequence: str) -> str | None:
    """A sentence about the volumes in no shell of ``least`` directions; None where all are in one.

    Args:
        gradients: The scan's table.
        least: Directions that a shell must have.
        consequence: What became of these volumes, the end of the sentence.
    """
    volumes = left_out(gradients, least)
    if not len(volumes):
        return None
    return (
        f"{len(volumes)} volumes ({named_volumes(volumes)}, counted from 0) are in no shell of "
        f"{least} directions or more: {consequence}."
    )


def named_volumes(volumes: NDArray[np.int64]) -> str:
    """Ascending numbers of volumes as text, runs of them as 3 or 5-9, the first ``NAMED`` runs."""
    runs = np.split(volumes, np.flatnonzero(np.diff(volumes) != 1) + 1)
    texts = [f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs]
    return ", ".join(texts[:NAMED]) + (" and others" if len(texts) > NAMED else "")


def sizes(gradients: GradientTable) -> dict[str, int]:
    """The number of directions of each shell, by its b-value as text."""
    return {f"{b:.0f}": len(volumes) for b, volumes in gradients.shells().items()}


def _mask(path: Path, volume: Volume) -> Volume:
    """A mask read from a file; `InputError` unless it is on the grid of ``volume`` and not
    empty.
    """
    mask = read_volume(path)
    shape = mask.data.shape
    if shape != volume.data.shape[:3] or not same_grid(volume.affine, mask.affine, shape):
        raise InputError(
            f"{path.name} is not on the scan's grid (shape or affine differ); make the mask on it."
        )
    if not (mask.data > 0).any():
        raise InputError(f"{path.name} is empty; mark the voxels to denoise with values above 0.")
    return mask
