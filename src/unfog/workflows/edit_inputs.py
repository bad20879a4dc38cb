"""What ``unfog edit`` is given: options that go with its method, the mask, the second
picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.formats import read_scan
from unfog.files.scans import Scan, require_same_grid
from unfog.runs.run import Run, data_range, require_pixels


def check_options(
    method: str,
    before: Sequence[str],
    after: Sequence[str],
    guidance: float | None,
    mask: Path | None,
    sampler: str | None,
) -> None:
    """``InputError`` for an option that means nothing to the method."""
    if guidance is not None and not after:
        raise InputError("Guidance needs something to guide towards; give --to too.")
    if method != "inversion" and before:
        raise InputError(
            f"What the input shows is not asked for {method}; leave --from out, or take --method "
            "inversion."
        )
    if method in ("inversion", "interpolate") and (mask is not None or sampler is not None):
        raise InputError(
            "Inversion and interpolation change the whole input, by DDIM; leave --mask and "
            "--sampler out, or take --method sdedit."
        )
    if method in ("inpaint", "texture") and mask is None:
        raise InputError(f"For {method}, give --mask: a file that is 0 where the input stays.")


def check_ends(method: str, other: Path | None, swatch: Path | None) -> None:
    """``InputError`` for a second picture that is missing or means nothing to the method."""
    for option, given, user in (("other", other, "interpolate"), ("swatch", swatch, "texture")):
        if given is not None and method != user:
            raise InputError(f"--{option} is for --method {user}; leave it out.")
        if given is None and method == user:
            raise InputError(f"For {user}, give --{option}: a picture.")


def second_picture(run: Run, path: Path | None) -> Tensor | None:
    """A second picture (n, channels, *space) in the run's units; None where there is none."""
    if path is None:
        return None
    scan = read_scan(path, len(run.shape) - 1, run.shape[0])
    offset, scale = scan.units(*data_range(run))
    return (torch.from_numpy(scan.values).float() - offset) / scale


def where_edited(run: Run, method: str, mask: Path, scan: Scan) -> Tensor:
    """Where the input may change, of a file that is 0 where it stays: (1 or n, 1 or channels,
    *space) bool.
    """
    if method == "sdedit":
        require_pixels(
            run,
            "keeping a part of the input",
            "leave --mask out, or fill it in by unfog restore --task inpaint",
        )
    where, x = read_scan(mask, len(run.shape) - 1, None), scan.values
    edited = where.values != 0
    same_size = edited.shape[2:] == x.shape[2:]
    if not same_size or edited.shape[1] not in (1, x.shape[1]) or len(edited) not in (1, len(x)):
        raise InputError(
            f"{mask.name} gives {edited.shape} and the input {x.shape}; make the mask on "
            "the input's grid."
        )
    require_same_grid(mask, where, scan)
    if edited.all() or not edited.any():
        raise InputError(
            f"{mask.name} is {'0 nowhere' if edited.all() else '0 everywhere'}; it is 0 where "
            "the input stays, and there alone."
        )
    return torch.from_numpy(edited)
