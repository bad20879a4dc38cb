"""What ``unfog dmri`` writes about the scans of a BIDS data set: derivatives, with BIDS' names and
sidecars.

Draws from a posterior follow the draft for diffusion models (BIDS extension proposal 16): their
realisations along one more axis, and a mean beside them.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unfog.dmri.gradient_files import read_fsl, write_fsl
from unfog.dmri.harmonics import count
from unfog.dmri.shells import ORDER
from unfog.dmri.workflows.bids_groups import Group, Inputs
from unfog.files.bids import DataSet, Scan
from unfog.files.names import names_kept
from unfog.files.nifti import read_nifti, write_nifti
from unfog.files.output import write_json
from unfog.version import __version__

VERSION = "1.9.0"  # of BIDS
# BIDS' suffixes of files that are no maps, by unfog's names
LABELS = {
    "dwi_denoised": "desc-denoised_dwi",
    "dwi_completed": "desc-completed_dwi",
    "mask": "desc-brain_mask",
    "report": "report",
}
# The fields of a sidecar that later processing needs, physical quantities; others may name a
# patient.
ACQUISITION = (
    "EchoTime",
    "RepetitionTime",
    "FlipAngle",
    "MagneticFieldStrength",
    "PhaseEncodingDirection",
    "TotalReadoutTime",
    "EffectiveEchoSpacing",
    "SliceTiming",
    "MultibandAccelerationFactor",
    "ParallelReductionFactorInPlane",
    "PartialFourier",
)
AXES = ("i", "j", "k", "i-", "j-", "k-")  # of phase encoding
DRAWS = "fod_sh_samples"  # by unfog's name
MODEL = "model-unfog"
NOT_FACTS = ("out", "files", "seconds")  # of a summary


def move_results(
    work: Path, folder: Path, group: Group, inputs: Inputs, summary: Mapping[str, Any]
) -> None:
    """Move the results of a group to their places and names, with sidecars: one for each series,
    and one that all maps inherit. Each scan of several gets its own volumes and all maps.

    Args:
        work: The folder of the results, which is removed.
        folder: The data set of derivatives.
        group: The scans.
        inputs: What they were processed as.
        summary: Of the results.
    """
    ends = np.cumsum(inputs.counts)
    for k, scan in enumerate(group.scans):
        results = work
        if inputs.counts:
            results = work.parent / f"part-{k}"
            _cut(work, results, int(ends[k] - inputs.counts[k]), int(ends[k]), int(ends[-1]))
        _move_one(results, folder, scan, group, summary)
        shutil.rmtree(results)
    if inputs.counts:
        shutil.rmtree(work)


def finished(folder: Path, group: Group) -> bool:
    """Whether ``move_results`` came to its end for the group; it writes this sidecar last."""
    return all(_maps_sidecar(folder, scan).is_file() for scan in group.scans)


def _maps_sidecar(folder: Path, scan: Scan) -> Path:
    return folder / scan.place / f"{scan.stem}_dwimap.json"


def _move_one(
    work: Path, folder: Path, scan: Scan, group: Group, summary: Mapping[str, Any]
) -> None:
    """Move the results of one scan."""
    place = folder / scan.place
    place.mkdir(parents=True, exist_ok=True)
    facts = {key: value for key, value in summary.items() if key not in NOT_FACTS}
    used = [one.path for one in group.scans]
    used += [one.phase.path for one in group.scans if one.phase is not None]
    sources = [f"bids:raw:{(scan.place / path.name).as_posix()}" for path in used]
    common = {"Sources": sources, "unfog": facts}
    acquisition = {
        key: scan.sidecar[key]
        for key in ACQUISITION
        if key in scan.sidecar and _is_quantity(scan.sidecar[key])
    }
    for file in sorted(work.iterdir()):
        name, _, kind = file.name.partition(".")
        if kind == "json":
            continue
        if name == DRAWS:
            _realisations(file, place / scan.stem, common)
            continue
        label = LABELS.get(name, f"desc-{name.replace('_', '')}_dwimap")
        file.replace(place / f"{scan.stem}_{label}.{kind}")
        if kind == "nii.gz" and not label.endswith("_dwimap"):
            if name == "mask":
                fields = {"Type": "Brain"}
            else:
                fields = acquisition | {"SkullStripped": name == "dwi_completed"}
            write_json(place / f"{scan.stem}_{label}.json", fields | common, overwrite=True)
    write_json(_maps_sidecar(folder, scan), common, overwrite=True)


def _is_quantity(value: Any) -> bool:
    """Whether a value is a number, numbers or the name of an axis, and no free text."""
    if isinstance(value, list):
        return all(map(_is_quantity, value))
    return isinstance(value, int | float) or (isinstance(value, str) and value in AXES)


def _cut(work: Path, part: Path, first: int, end: int, volumes: int) -> None:
    """Copy the results of a series of ``volumes`` into a new folder, of series and tables the
    volumes from ``first`` to before ``end``.
    """
    part.mkdir()
    for file in work.iterdir():
        if file.name.endswith(".nii.gz"):
            whole = read_nifti(file)
            series = whole.data.ndim == 4 and whole.data.shape[3] == volumes
            data = whole.data[..., first:end] if series else whole.data
            write_nifti(part / file.name, data, whole)
        elif file.suffix == ".bval":
            # Any affine serves, since the same one turns vectors into the world and back.
            bvecs = file.with_suffix(".bvec")
            table = read_fsl(file, bvecs, np.eye(4))[first:end]
            write_fsl(table, part / file.name, part / bvecs.name, np.eye(4))
        elif file.suffix != ".bvec":
            shutil.copy(file, part / file.name)


def _realisations(file: Path, stem: Path, common: dict[str, Any]) -> None:
    """Write draws of densities, ``file`` (X, Y, Z, 15 x draws), as (X, Y, Z, 15, draws), their mean
    and the sidecar of both.
    """
    draws = read_nifti(file)
    size = count(ORDER)
    shape = (*draws.data.shape[:3], -1, size)
    each = np.moveaxis(draws.data.reshape(shape), 3, 4)
    maps = {"fod": each.mean(-1), "fodbootstrap": each}
    for name, data in maps.items():
        path = stem.with_name(f"{stem.name}_{MODEL}_param-{name}_dwimap.nii.gz")
        write_nifti(path, data, draws, overwrite=True)
    facts = common["unfog"]
    fields = {
        "ModelDescription": "Orientation densities of fibres, drawn from their posterior",
        "Shells": [0, facts["shell"]],
        "OrientationRepresentation": "sh",
        "ReferenceAxes": "xyz",
        "SphericalHarmonicBasis": "MRtrix3",
        "SphericalHarmonicDegree": ORDER,
        "BootstrapParameters": {"Realisations": each.shape[-1], "Seed": facts["seed"]},
    }
    write_json(stem.with_name(f"{stem.name}_{MODEL}_dwimap.json"), fields | common, overwrite=True)


def description(source: DataSet, out: Path, command: str) -> dict[str, Any]:
    """The fields of the derivatives' dataset_description.json.

    The way to the data set is stated only where the derivatives lie within it, because other paths
    may name people.
    """
    root, place = source.root.resolve(), out.resolve()
    above = None
    if root in place.parents:
        above = "/".join([".."] * len(place.relative_to(root).parts))
    # The name of a data set is free text.
    name = source.description.get("Name", "a data set") if names_kept() else "a data set"
    origin = {"DOI": source.description.get("DatasetDOI"), "URL": above}
    stated = {key: value for key, value in origin.items() if value}
    return {
        "Name": f"{command} of {name}",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "unfog", "Version": __version__, "Description": command}],
        "SourceDatasets": [stated or {"Version": "unknown"}],
        **({"DatasetLinks": {"raw": above}} if above else {}),
    }
