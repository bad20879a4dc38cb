"""``unfog dmri`` on every scan of a BIDS data set, whose results are a data set of derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unfog.dmri.workflows.tables import Tables
from unfog.errors import InputError
from unfog.files.bids import DESCRIPTION, DataSet, Scan, read_bids
from unfog.files.folder import job
from unfog.files.output import write_bytes, write_json
from unfog.progress import progress
from unfog.version import __version__

T = TypeVar("T")
# (scan, its tables, new folder) -> the summary of the results written into the folder
Work = Callable[[Path, Tables, Path], dict[str, Any]]

VERSION = "1.9.0"  # of BIDS
# BIDS' suffixes of files that are no maps, by unfog's names
LABELS = {
    "dwi_denoised": "desc-denoised_dwi",
    "dwi_completed": "desc-completed_dwi",
    "mask": "desc-brain_mask",
    "report": "report",
}
# The fields of a sidecar that later processing needs; other fields may name a patient.
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
    """Process a scan, or each scan of a BIDS data set; called by the commands of ``unfog dmri``.

    A scan without diffusion weighting is left out. A failure on the way leaves nothing.

    Args:
        source: A scan, or the folder of a BIDS data set.
        tables: The scan's tables; for a data set only their layout.
        out: The new folder, or the new data set of derivatives.
        work: What to do with one scan.
        command: The command's name, for the data set's description.
        mask: A mask or phase that the user named, refused for a data set.
        subjects: Labels of the subjects of a data set to process; all by default.
        sessions: Labels of the sessions to process; all by default.

    Returns:
        What the command prints.

    Raises:
        InputError: An option does not go with the source, or a scan cannot be processed.
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
            "A BIDS data set brings its own tables; leave --bvals, --bvecs, --grad, --mask and "
            "--phase out."
        )
    with job(out) as whole:
        data_set = read_bids(source, subjects or (), sessions or ())
        weighted = [
            scan for scan in data_set.scans if not _tables(scan, tables).read(np.eye(4)).b0.all()
        ]
        if not weighted:
            raise InputError(f"No scan of {source} has diffusion weighting; check its .bval files.")
        folder = whole.folder
        summaries: dict[str, dict[str, Any]] = {}
        for k, scan in enumerate(weighted):
            with progress("scans") as report:
                report(k + 1, len(weighted))
            one = partial(work, scan.path, _tables(scan, tables), folder / "work")
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


def _tables(scan: Scan, options: Tables) -> Tables:
    """The tables of a scan, read with the options that the user gave for all."""
    return replace(options, bvals=scan.bval, bvecs=scan.bvec)


def _named(scan: Scan, do: Callable[[], T]) -> T:
    """The result of ``do``; its error gets the scan's name."""
    try:
        return do()
    except InputError as error:
        if scan.stem in str(error):
            raise
        raise InputError(f"{scan.path.name}: {error}") from error


def _move(work: Path, folder: Path, scan: Scan, summary: Mapping[str, Any]) -> None:
    """Move the results of one scan to their places and names, with sidecars: one for each series,
    and one that all maps inherit.
    """
    place = folder / scan.place
    place.mkdir(parents=True, exist_ok=True)
    facts = {key: value for key, value in summary.items() if key not in ("out", "files", "seconds")}
    common = {"Sources": [f"bids:raw:{(scan.place / scan.path.name).as_posix()}"], "unfog": facts}
    acquisition = {key: scan.sidecar[key] for key in ACQUISITION if key in scan.sidecar}
    for file in sorted(work.iterdir()):
        name, _, kind = file.name.partition(".")
        if kind == "json":
            file.unlink()
            continue
        label = LABELS.get(name, f"desc-{name.replace('_', '')}_dwimap")
        file.rename(place / f"{scan.stem}_{label}.{kind}")
        if kind == "nii.gz" and not label.endswith("_dwimap"):
            if name == "mask":
                fields = {"Type": "Brain"}
            else:
                fields = acquisition | {"SkullStripped": name == "dwi_completed"}
            write_json(place / f"{scan.stem}_{label}.json", fields | common)
    write_json(place / f"{scan.stem}_dwimap.json", common)
    work.rmdir()


def _description(source: DataSet, out: Path, command: str) -> dict[str, Any]:
    """The fields of the derivatives' dataset_description.json.

    The way to the data set is stated only where the derivatives lie within it, because other paths
    may name people.
    """
    root, place = source.root.resolve(), out.resolve()
    above = None
    if root in place.parents:
        above = "/".join([".."] * len(place.relative_to(root).parts))
    origin = {"DOI": source.description.get("DatasetDOI"), "URL": above}
    stated = {key: value for key, value in origin.items() if value}
    return {
        "Name": f"{command} of {source.description.get('Name', 'a data set')}",
        "BIDSVersion": VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "unfog", "Version": __version__, "Description": command}],
        "SourceDatasets": [stated or {"Version": "unknown"}],
        **({"DatasetLinks": {"raw": above}} if above else {}),
    }
