"""Raw data of scanners as measurements of images: k-space of MRI (``--task mri``) and sinograms of
CT (``--task ct``).

An .npz or .h5 file holds arrays by name; a .npy holds the first alone.

    mri   kspace           complex (coils, *space) or (slices, coils, *space), zero frequency in
                           the middle; or (*space) of one coil; or with the axes of ``--axes``;
                           fastMRI's and ISMRMRD's files say theirs
          mask             not 0 where k-space was measured, (*space), or (columns) for whole
                           lines; else where k-space is not 0
          sensitivities    complex (coils, *space) or (slices, coils, *space); else from the middle
                           of k-space (``physics.coils``)
    ct    sinogram         (angles, detectors) or (slices, angles, detectors)
          angles           (angles), degrees
          radius, opening  of a fan beam: from source to centre in pixels, and degrees
          scale            what a pixel of value 1 adds to a ray that crosses it (1)
          deviation        of each ray's noise, shaped as the sinogram or one view of it, where
                           rays differ

The image is real: a magnitude for MRI, attenuation for CT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.errors import InputError
from unfog.files.axes import arranged
from unfog.files.extent import brightest
from unfog.files.raw import Planes, Raw, read_raw
from unfog.files.scans import ArrayScan
from unfog.physics.coils import self_calibrated
from unfog.physics.fourier import ComplexOf, Fourier, SliceCoils, to_real
from unfog.physics.linear import Operator, require_adjoint
from unfog.physics.noise import estimate_edge_sigma, estimate_ray_sigma
from unfog.physics.operators import Mask, Weights
from unfog.physics.radon import FanBeam, ParallelBeam
from unfog.runs.run import Run, data_range
from unfog.workflows.problem import InverseProblem
from unfog.workflows.tasks import Options, Task

Array = NDArray[Any]


def measured_kspace(
    run: Run, paths: Sequence[Path], task: Task, options: Options
) -> InverseProblem:
    """k-space of one coil or several, lines of which may be missing.

    Args:
        run: The prior.
        paths: The one input file.
        task: The task.
        options: ``mask`` and ``sensitivities``, files that are used in place of the input's arrays;
            ``axes``, those of its k-space.

    Returns:
        The problem.

    Raises:
        InputError: A file cannot be read, or its arrays do not fit each other or the run.
    """
    return _checked(run, task, _mri, paths[0], options)


def measured_sinogram(
    run: Run, paths: Sequence[Path], task: Task, options: Options
) -> InverseProblem:
    """A sinogram of parallel or fan-beam rays.

    Args:
        run: The prior.
        paths: The one input file.
        task: The task.
        options: Of no meaning here.

    Returns:
        The problem.

    Raises:
        InputError: A file cannot be read, or its arrays do not fit each other or the run.
    """
    return _checked(run, task, _ct, paths[0], options)


Reader = Callable[[Run, Path, Options], InverseProblem]


def _checked(run: Run, task: Task, read: Reader, path: Path, options: Options) -> InverseProblem:
    """The problem that ``read`` reads, the adjoint of its operator tested by the dot product."""
    if run.shape[0] != 1:
        raise InputError(
            f"{task.name} makes images of one channel, and {run.name} has {run.shape[0]}."
        )
    problem = read(run, path, options)
    require_adjoint(problem.operator, problem.operator.adjoint(problem.y[:1]).shape)
    return problem


def _mri(run: Run, path: Path, options: Options) -> InverseProblem:
    """y = M F S x: coil maps S, the Fourier transform F and the mask M of what was measured."""
    dims, raw = len(run.shape) - 1, _kspace(run, path, options.axes)
    for name, file in (("mask", options.mask), ("sensitivities", options.sensitivities)):
        if file is not None:
            raw[name] = _named(read_raw(file, name), file, name)
    kspace = _named(raw, path, "kspace")
    if kspace.dtype.kind != "c" or not dims <= kspace.ndim <= dims + 2 or not kspace.any():
        raise InputError(
            f"{path.name} has k-space {kspace.shape} {kspace.dtype}; give complex numbers "
            f"(coils, *space) or (slices, coils, *space) with {dims} axes of space, not all zero, "
            "or name its axes with --axes."
        )
    stack = kspace.reshape((1,) * (dims + 2 - kspace.ndim) + kspace.shape)
    whole = torch.from_numpy(stack).to(torch.complex64)
    mask = _lines(raw, path, whole)
    whole = whole * mask
    maps, warnings = _maps(raw, path, whole)
    coils = SliceCoils(maps) @ ComplexOf()
    y = to_real(whole)
    # Coils combined by their maps, S^T F^-1 y / sum |S|^2, give the image's units.
    power = maps.abs().square().sum(1, keepdim=True)
    combined = coils.adjoint(Fourier().adjoint(y)) / power.clamp(min=1e-6)
    scale = _unit(combined, data_range(run)[1])
    images = np.zeros((len(y), 1, *y.shape[2:]), np.float32)
    target = ArrayScan(images, dims if len(y) == 1 else dims + 2)
    operator = Mask(mask) @ Fourier() @ coils
    noise = _median(estimate_edge_sigma)
    return InverseProblem(y / scale, operator, 0.0, scale, target, noise, scale, warnings)


def _kspace(run: Run, path: Path, axes: str | None) -> Raw:
    """The arrays of a file, their axes in order; ``InputError`` where a file of planes meets a
    run of volumes.
    """
    raw = read_raw(path, "kspace", as_stored=axes is not None)
    dims = len(run.shape) - 1
    if isinstance(raw, Planes) and dims != 2:
        raise InputError(
            f"{path.name} holds k-space of planes, and {run.name} makes images of {dims} axes; "
            "give a prior of planes."
        )
    if axes is None:
        return raw
    if isinstance(raw, Planes):
        raise InputError(f"{path.name} is ISMRMRD, which says its axes; leave --axes out.")
    return arranged(path, raw, axes, dims)


def _lines(raw: Raw, path: Path, kspace: Tensor) -> Tensor:
    """The mask of where k-space was measured, (1, 1, *space), or (slices, 1, *space) where that
    differs from image to image.
    """
    space = kspace.shape[2:]
    if "mask" not in raw:
        each = kspace.abs().sum(1, keepdim=True) > 0
        together = each.any(0, keepdim=True)
        filled = each[each.flatten(1).any(1)]
        return together if bool((filled == together).all()) else each
    mask = torch.from_numpy(raw["mask"]) != 0
    if mask.shape not in (space, space[-1:]):
        raise InputError(
            f"{path.name} has a mask {tuple(mask.shape)} for k-space of {tuple(space)}; give one "
            "of that shape, or of its lines."
        )
    if not bool(mask.any()):
        raise InputError(
            f"The mask of {path.name} is zero everywhere, so nothing was measured; it is not 0 "
            "where k-space was."
        )
    return mask.expand(space)[None, None]


def _maps(raw: Raw, path: Path, kspace: Tensor) -> tuple[Tensor, list[str]]:
    """The coils' maps (slices or 1, coils, *space), and a note where they were estimated."""
    if "sensitivities" not in raw:
        note = (
            "The coils' sensitivities were found from the middle of k-space; give "
            "--sensitivities where they are known."
        )
        return torch.stack([self_calibrated(one) for one in kspace]), [note]
    maps = torch.from_numpy(raw["sensitivities"]).to(torch.complex64)
    if maps.shape not in (kspace.shape, kspace.shape[1:]):
        raise InputError(
            f"{path.name} has sensitivities {tuple(maps.shape)} for k-space "
            f"{tuple(kspace.shape)}; give a map for every coil."
        )
    return maps.reshape(-1, *kspace.shape[1:]), []


def _unit(image: Tensor, high: float) -> float:
    """What 1 of the model's data is in the image's units: 1 where the image's largest value is
    within a quarter of the data's.
    """
    top = brightest(image.abs().numpy())
    if not top > 0:
        raise InputError("The image of this k-space is empty; give k-space that holds its middle.")
    return 1.0 if abs(top / high - 1) <= 0.25 else top / high


def _ct(run: Run, path: Path, options: Options) -> InverseProblem:
    """y = R x: line integrals along the rays, divided by their noise where that is stated."""
    raw = read_raw(path, "sinogram")
    sinogram, angles = (_named(raw, path, name) for name in ("sinogram", "angles"))
    views = sinogram.shape[-2:]  # (angles, detectors)
    real = "c" not in (sinogram.dtype.kind, angles.dtype.kind)
    if not real or sinogram.ndim not in (2, 3) or angles.shape != views[:1]:
        raise InputError(
            f"{path.name} has a sinogram {sinogram.shape} {sinogram.dtype} and angles "
            f"{angles.shape}; give real numbers "
            "(angles, detectors), one angle for each row."
        )
    operator = _beam(run, raw, path, sinogram, torch.from_numpy(angles).double())
    scale = _number(raw, path, "scale", 1.0)
    integrals = sinogram.astype(np.float32) / np.float32(scale)
    y = torch.from_numpy(integrals).reshape(-1, 1, *views)
    size = run.shape[-1]
    images = np.zeros((len(y), 1, size, size), np.float32)
    target = ArrayScan(images, 2 if sinogram.ndim == 2 else 4)
    if "deviation" not in raw:
        return InverseProblem(y, operator, 0.0, 1.0, target, _median(estimate_ray_sigma), scale)
    deviation = raw["deviation"]
    positive = deviation.dtype.kind in "iuf" and (deviation > 0).all()
    if deviation.shape != views or not positive:
        raise InputError(
            f"{path.name} has a deviation {deviation.shape}; give a number above zero for every "
            f"ray {views}."
        )
    # Each ray over its own deviation: the noise is then white, of deviation 1.
    white = Weights(torch.from_numpy(scale / deviation.astype(np.float64))[None, None])
    return InverseProblem(white(y), white @ operator, 0.0, 1.0, target, lambda y: 1.0, 1.0)


def _beam(run: Run, raw: Raw, path: Path, sinogram: Array, angles: Tensor) -> Operator:
    """The rays: a fan beam where the file states its radius or opening, else parallel."""
    size, detectors = run.shape[-1], sinogram.shape[-1]
    if run.shape[1:] != (size, size):
        raise InputError(f"CT needs a run of square images, and {run.name} makes {run.shape[1:]}.")
    if "radius" in raw or "opening" in raw:
        radius, opening = (_number(raw, path, name) for name in ("radius", "opening"))
        return FanBeam(angles, size, radius, detectors, opening)
    if detectors != size:
        raise InputError(
            f"{path.name} has {detectors} detectors for images of {size} x {size}; parallel rays "
            "are one pixel apart."
        )
    return ParallelBeam(angles, size)


def _named(raw: Raw, path: Path, name: str) -> Array:
    """The array of that name; ``InputError`` where the file holds none."""
    if name not in raw:
        raise InputError(
            f"{path.name} holds no {name!r} (it holds: {', '.join(raw) or 'nothing'}); save it "
            "in an .npz or .h5 with that name."
        )
    return raw[name]


def _number(raw: Raw, path: Path, name: str, default: float | None = None) -> float:
    """The one positive number of that name, or the default where the file holds none."""
    use_default = name not in raw and default is not None
    value = np.asarray(default) if use_default else _named(raw, path, name)
    if value.size != 1 or value.dtype.kind not in "iuf" or not float(value.reshape(())) > 0:
        raise InputError(
            f"{path.name} has {name} {value.shape} {value.dtype}; give one number above zero."
        )
    return float(value.reshape(()))


def _median(estimate: Callable[[Tensor], Tensor]) -> Callable[[Tensor], float]:
    """An estimator of one number for a stack: the median of those of its images."""
    return lambda y: float(estimate(y).median())
