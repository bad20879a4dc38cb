"""What a run or a file is, in words and numbers; nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from unfog.errors import InputError
from unfog.files.nifti import read_nifti
from unfog.files.numpy_files import read_array
from unfog.files.pictures import read_image
from unfog.runs.run import Run, priors
from unfog.training.checkpoint import fault, newest_verified


def inspect_path(path: Path) -> dict[str, Any]:
    """A description of a run's folder, a shipped prior, or a .nii, .nii.gz, .png or .npy file."""
    if path.is_dir() or (not path.exists() and str(path) in priors()):
        return _run(path)
    if not path.is_file():
        raise InputError(f"There is no file or run {path}.")
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        return _nifti(path)
    if name.endswith(".png"):
        return {"kind": "picture", **_array(read_image(path))}
    if name.endswith(".npy"):
        return {"kind": "array", **_array(read_array(path))}
    raise InputError(
        f"{path.name} is of no known type; give a run, or a .nii, .nii.gz, .png or .npy file."
    )


def _run(path: Path) -> dict[str, Any]:
    run = Run.open(path)
    facts = {
        "kind": "run",
        "system": run.config["system"],
        "parameters": sum(p.numel() for p in run.denoiser.parameters()),
    }
    checkpoints = sorted((run.path / "checkpoints").glob("step-*"))
    if checkpoints:
        newest, _ = newest_verified(run.path)
        assert newest is not None  # or the run would not have opened
        facts["step"] = json.loads((newest / "state.json").read_bytes())["step"]
        facts["checkpoints"] = {folder.name: fault(folder) or "verified" for folder in checkpoints}
    else:
        facts["weights"] = "verified"
    return {**facts, **({"card": dict(run.card)} if run.card else {}), "config": run.config}


def _nifti(path: Path) -> dict[str, Any]:
    volume = read_nifti(path)
    header = volume.header
    return {
        "kind": "NIfTI volume",
        **_array(volume.data),
        "type": str(header.get_data_dtype()),
        "voxel mm": list(volume.zooms),
        "units": list(header.get_xyzt_units()),
        "affine": volume.affine.tolist(),
        "qform code": int(header["qform_code"]),
        "sform code": int(header["sform_code"]),
        "warnings": list(volume.notes),
    }


def _array(data: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {
        "shape": list(data.shape),
        "type": str(data.dtype),
        "smallest": float(data.min()),
        "largest": float(data.max()),
    }
