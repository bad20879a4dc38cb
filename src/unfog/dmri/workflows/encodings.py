"""Which volumes of a scan have one phase encoding, as FSL's eddy is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.gradient_files import kept_volumes, read_numbers
from unfog.errors import InputError

WHAT = "the file that eddy takes"


@dataclass(frozen=True)
class Encodings:
    """FSL's two files of phase encodings; none by default.

    Args:
        acqp: A row of four numbers an encoding: its direction, and the readout time in seconds.
        index: The number of a row, counted from 1, for each volume.
    """

    acqp: Path | None = None
    index: Path | None = None

    def groups(self, volumes: int, drop: Sequence[int] = ()) -> NDArray[np.int64] | None:
        """The group of each volume. Rows that say the same are one group, and others are others.

        Args:
            volumes: Of the scan as it was acquired.
            drop: These of them are left out.

        Returns:
            (volumes that are left,), numbers from 0 on; None where there are no files.

        Raises:
            InputError: One file is missing, or they do not fit together or the scan.
        """
        if self.acqp is None and self.index is None:
            return None
        if self.acqp is None or self.index is None:
            missing = "--acqp" if self.acqp is None else "--index"
            raise InputError(f"Phase encodings are told by --acqp and --index; give {missing} too.")
        rows = read_numbers(self.acqp, WHAT)
        vectors = rows[:, :3]
        if rows.shape[1] != 4 or not np.isfinite(rows).all() or not vectors.any(1).all():
            raise InputError(
                f"{self.acqp.name} has to hold four numbers in each row, a direction that is not "
                "0 0 0 and the readout time; give the file that eddy takes."
            )
        index = read_numbers(self.index, WHAT).ravel()
        if len(index) != volumes:
            raise InputError(
                f"{self.index.name} holds {len(index)} numbers and the scan has {volumes} volumes; "
                "give one for each volume."
            )
        if (bad := ~np.isin(index, np.arange(1, len(rows) + 1))).any():
            first = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"{self.index.name} names row {index[first]:g} for volume {first}, and "
                f"{self.acqp.name} has rows 1 to {len(rows)}; correct one of them."
            )
        kinds = np.unique(rows, axis=0, return_inverse=True)[1].ravel()
        found = kinds[index.astype(int) - 1][kept_volumes(volumes, drop)]
        return np.asarray(np.unique(found, return_inverse=True)[1].ravel(), dtype=np.int64)
