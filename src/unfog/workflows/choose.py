"""``unfog restore auto``: which shipped prior a scan is for."""

from __future__ import annotations

from pathlib import Path

from unfog.errors import InputError
from unfog.files.formats import read_scan
from unfog.files.scans import NiftiScan
from unfog.runs.folder import priors

AUTO = "auto"
AIR = -500  # Hounsfield units: below it is air, which magnitudes do not reach
PLANES = 32  # of a volume that a prior of volumes takes


def chosen_prior(path: Path) -> tuple[str, str]:
    """The prior for a scan of a head, by what its values and its shape say.

    Args:
        path: A NIfTI volume or a DICOM series.

    Returns:
        The name of a shipped prior, and why it is that one, in a sentence.

    Raises:
        InputError: The file is no scan.
    """
    scan = read_scan(path, 3, None)
    if not isinstance(scan, NiftiScan):
        raise InputError(
            f"auto chooses among priors of scans, and {path.name} is none; name a prior, such as "
            "textures for photographs of surfaces."
        )
    least = float(scan.values.min())
    if least < AIR:
        return "head-ct", f"Values reach down to {least:g}, as air does in CT (Hounsfield units)."
    planes = min(scan.values.shape[2:])
    if "head" in priors() and planes >= PLANES:
        return "head", f"It is a volume of {planes} planes or more of magnitudes of any contrast."
    if "head" in priors():
        why = f"It has {planes} planes, and a prior of volumes takes {PLANES} or more"
    else:
        why = "It holds magnitudes"
    return "t1-slices", f"{why}, so its axial slices are restored by what T1 slices taught."
