"""What a user knows of a scan's noise, in files: volumes without excitation, or a map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.denoising.noise_map import NoiseMap, map_of_noise, whole_map
from unfog.dmri.gradient_files import kept_volumes
from unfog.dmri.gradients import GradientTable
from unfog.dmri.workflows.tables import Tables, checked_series, table_of
from unfog.errors import InputError
from unfog.files.grids import same_grid
from unfog.files.nifti import Volume
from unfog.files.orientation import standing
from unfog.files.volumes import read_volume


@dataclass(frozen=True)
class NoiseFiles:
    """Where the noise of a scan is known from; nowhere by default.

    Args:
        volumes: Volumes of the scan without excitation, counted from 0.
        norf: A file of such volumes on the scan's grid.
        level: A file of the noise's deviation on the scan's grid, up to a factor.
        coils: Channels combined by sum of squares; told from volumes of noise by default.
    """

    volumes: tuple[int, ...] = ()
    norf: Path | None = None
    level: Path | None = None
    coils: int | None = None

    @property
    def files(self) -> tuple[Path | None, ...]:
        """The files among them."""
        return self.norf, self.level

    @property
    def name(self) -> str:
        """What it is called in messages; empty where nothing is known."""
        if self.volumes:
            return f"volumes {', '.join(map(str, self.volumes))}"
        path = self.norf or self.level
        return "" if path is None else path.name

    def split(
        self, dwi: Path, tables: Tables, of_complex: bool = False
    ) -> tuple[Volume, GradientTable, NDArray[Any] | None]:
        """A scan without its volumes of noise, its table, and these volumes.

        Args:
            dwi: The scan.
            tables: Its gradients, which may lack the volumes of noise.
            of_complex: Whether the scan holds complex numbers, of which the magnitudes are read.

        Returns:
            The scan and its table without the volumes to drop, and (X, Y, Z, n) or None.

        Raises:
            InputError: A file cannot be read, or a volume is not there.
        """
        whole = checked_series(dwi, tables if not self.volumes else None, of_complex)
        count = whole.data.shape[3]
        if not self.volumes:
            left = kept_volumes(count, tables.drop)
            return _of(whole, left), table_of(dwi, whole, tables), None
        rest = kept_volumes(count, self.volumes)
        kept = kept_volumes(count, (*self.volumes, *tables.drop))
        noise = whole.data[..., np.array(self.volumes)]
        try:
            # The table of the scan without noise, as it is often written.
            shorter = _of(whole, rest) if not tables.drop else None
            table = table_of(dwi, shorter, tables) if shorter else None
        except InputError:
            table = None
        if table is None:
            dropped = tuple(sorted({*self.volumes, *tables.drop}))
            table = table_of(dwi, whole, replace(tables, drop=dropped))
        return _of(whole, kept), table, noise

    def upright(
        self, stored: Volume, inside: NDArray[np.bool_], noise: NDArray[Any] | None
    ) -> NoiseMap | None:
        """The map on the upright grid of a scan.

        Args:
            stored: The scan as it is stored.
            inside: (X, Y, Z), the head, upright.
            noise: (X, Y, Z, n), volumes of noise as ``split`` gave them.

        Returns:
            The map, above 0; None where nothing is known.

        Raises:
            InputError: A file is not on the scan's grid, or holds no noise.
        """
        if self.norf is not None:
            noise = self._on_grid(self.norf, stored)
        if noise is not None:
            series = noise if noise.ndim == 4 else noise[..., None]
            found = map_of_noise(standing(replace(stored, data=series)).data, self.coils, self.name)
            return found._replace(level=whole_map(found.level, inside, self.name))
        if self.level is None:
            return None
        level = self._on_grid(self.level, stored)
        if level.ndim != 3:
            raise InputError(f"{self.name} is a series; a noise map is one volume.")
        upright = standing(replace(stored, data=level)).data
        return NoiseMap(whole_map(upright, inside, self.name), self.name)

    def _on_grid(self, path: Path, stored: Volume) -> NDArray[np.float32]:
        """The values of a file on the scan's grid."""
        volume, shape = read_volume(path), stored.data.shape[:3]
        if volume.data.shape[:3] != shape or not same_grid(stored.affine, volume.affine, shape):
            raise InputError(
                f"{path.name} is not on the scan's grid (shape or affine differ); give the noise "
                "of this scan."
            )
        return volume.data


def _of(volume: Volume, kept: NDArray[np.int64]) -> Volume:
    """Some of a series' volumes; the series itself where it is all of them."""
    if len(kept) == volume.data.shape[3]:
        return volume
    return replace(volume, data=volume.data[..., kept])
