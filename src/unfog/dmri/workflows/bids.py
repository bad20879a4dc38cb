"""``unfog dmri`` on every scan of a BIDS data set: a data set of derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unfog.dmri.workflows.scan import Tables
from unfog.errors import InputError
from unfog.files.bids import DESCRIPTION, DataSet, Scan, read_bids
from unfog.files.folder import job
from unfog.files.output import write_bytes, write_json
from unfog.progress import progress
from unfog.version import __version__

T = TypeVar("T")
# A scan, its tables and a new folder -> the summary of what was written there
Work = Callable[[Path, Tables, Path], dict[str, Any]]

VERSION = "1.9.0"  # of BIDS
# of files that are no maps
LABELS = {
    "dwi_denoised": "desc-denoised_dwi",
    "dwi_completed": "desc-completed_dwi",
    "mask": "desc-brain_mask",
    "report": "report",
}
# what those who go on need; other fields of a scan's sidecar may name a patient
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


def each_scan(
    source: Path,
    tables: Tables,
    out: Path,
    work: Work,
    *,
    command: str,
    mask: Path | None = None,
    subjects: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
) -> dict[str, Any]:
    """``work`` on the scan ``source``, or where that is a BIDS data set on each of its scans, into
    the new data set ``out``.

    A scan without diffusion weighting is left out. A failure on the way leaves nothing.
    """
    if not source.is_dir():
        if subjects or sessions:
            raise InputError(
                f"{source.name} is one scan; --subject and --session choose among those of a "
                "BIDS data set."
            )
        return work(source, tables, out)
    if any((tables.bvals, tables.bvecs, tables.grad, mask)):
        raise InputError(
            "A BIDS data set brings its own tables; leave --bvals, --bvecs, --grad and --mask out."
        )
    with job(out) as whole:
        data_set = read_bids(source, subjects or (), sessions or ())
        weighted = [
            scan
            for scan in data_set.scans
            if not _tables(scan, tables.layout).read(np.eye(4)).b0.all()
        ]
        if not weighted:
            raise InputError(f"No scan of {source} has diffusion weighting; check its .bval files.")
        folder, summaries = whole.folder, dict[str, dict[str, Any]]()
        for k, scan in enumerate(weighted):
            with progress("scans") as report:
                report(k + 1, len(weighted))
            one = partial(work, scan.path, _tables(scan, tables.layout), folder / "work")
            summaries[scan.stem] = _named(scan, one)
            _move(folder / "work", folder, scan, summaries[scan.stem])
        write_json(folder / DESCRIPTION, _description(data_set, out, command))
        write_bytes(folder / ".bidsignore", b"*.html\n")
        warnings = {stem: one["warnings"] for stem, one in summaries.items() if one["warnings"]}
        return whole.result(
            {
                "scans": len(weighted),
                "left out": [scan.stem for scan in data_set.scans if scan not in weighted],
                "warnings": warnings,
            }
        )


def _tables(scan: Scan, layout: str) -> Tables:
    return Tables(scan.bval, scan.bvec, layout=layout)


def _named(scan: Scan, do: Callable[[], T]) -> T:
    """What ``do`` gives, or its error with the scan's name in it."""
    try:
        return do()
    except InputError as error:
        raise (
            error if scan.stem in str(error) else InputError(f"{scan.path.name}: {error}")
        ) from error


def _move(work: Path, folder: Path, scan: Scan, summary: Mapping[str, Any]) -> None:
    """The files of one scan to their places and names, with sidecars: one for a series, one that
    all maps inherit.
    """
    place = folder / scan.place
    place.mkdir(parents=True, exist_ok=True)
    told = {key: value for key, value in summary.items() if key not in ("out", "files", "seconds")}
    common = {"Sources": [f"bids:raw:{(scan.place / scan.path.name).as_posix()}"], "unfog": told}
    kept = {key: scan.sidecar[key] for key in ACQUISITION if key in scan.sidecar}
    for file in sorted(work.iterdir()):
        name, _, kind = file.name.partition(".")
        if kind == "json":
            file.unlink()
            continue
        label = LABELS.get(name, f"desc-{name.replace('_', '')}_dwimap")
        file.rename(place / f"{scan.stem}_{label}.{kind}")
        if kind == "nii.gz" and not label.endswith("_dwimap"):
            own = (
                {"Type": "Brain"}
                if name == "mask"
                else kept | {"SkullStripped": name == "dwi_completed"}
            )
            write_json(place / f"{scan.stem}_{label}.json", own | common)
    write_json(place / f"{scan.stem}_dwimap.json", common)
    work.rmdir()


def _description(source: DataSet, out: Path, command: str) -> dict[str, Any]:
    """The derivatives' dataset_description.json; where they are, only if within the data set: paths
    elsewhere name people.
    """
    inside = source.root.resolve() in out.resolve().parents
    above = (
        "/".join([".."] * len(out.resolve().relative_to(source.root.resolve()).parts))
        if inside
        else None
    )
    origin = {"DOI": source.description.get("DatasetDOI"), "URL": above}
    return {
        "Name": f"{command} of {source.description.get('Name', 'a data set')}",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "unfog", "Version": __version__, "Description": command}],
        "SourceDatasets": [
            {key: value for key, value in origin.items() if value} or {"Version": "unknown"}
        ],
        **({"DatasetLinks": {"raw": above}} if above else {}),
    }
