"""FA and MD of a denoised scan, for the page: ``python -m unfog.lab.maps`` in a job's folder.

They lie in ``maps`` beside the result, which stays as the command wrote it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unfog.dmri.gradient_files import read_fsl
from unfog.dmri.tensor import determines_tensor, fit_tensors
from unfog.files.volumes import read_volume, write_volume
from unfog.lab.alone import alone
from unfog.lab.job import RESULT
from unfog.lab.results import MAPS


def write_maps(folder: Path) -> list[Path]:
    """Write FA and MD of the first denoised scan of a job.

    Args:
        folder: The job's.

    Returns:
        The files; none where the table determines no tensor.

    Raises:
        InputError: The scan or its table cannot be read.
    """
    scans = sorted((folder / RESULT).rglob("*dwi_denoised.nii*")) or sorted(
        (folder / RESULT).rglob("*_desc-denoised_dwi.nii*")
    )
    if not scans:
        return []
    scan = read_volume(scans[0])
    stem = scans[0].with_name(scans[0].name.split(".")[0])
    bvals, bvecs = stem.with_suffix(".bval"), stem.with_suffix(".bvec")
    table = read_fsl(bvals, bvecs, scan.affine, scan.data.shape[3])
    if not determines_tensor(table):
        return []
    space = scan.data.shape[:3]
    mask = sorted(scans[0].parent.glob("*mask.nii*"))
    inside = read_volume(mask[0]).data > 0 if mask else np.ones(space, bool)
    tensors = fit_tensors(scan.data[inside], table)
    (folder / MAPS).mkdir(exist_ok=True)
    written = []
    for name, values in (("fa", tensors.fa), ("md", tensors.md)):
        whole = np.zeros(space, np.float32)
        whole[inside] = values
        written.append(write_volume(folder / MAPS, name, whole, scan))
    return written


if __name__ == "__main__":
    alone(lambda: write_maps(Path()))
