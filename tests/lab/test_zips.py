"""Folders that are dropped as zips: a BIDS data set and a DICOM series, by the real commands."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import NAME, headers, write
from support.lab import Served, served

import unfog.lab.examples
from unfog.lab.job import DONE, ENDED

pytestmark = pytest.mark.slow
EXAMPLES = Path(unfog.lab.examples.__file__).parent


def packed(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def done(lab: Served, page: str, scan: bytes, **fields: str) -> str:
    """The page of a job on a zip, once it has ended well."""
    taken = lab.drop(ending="zip", content=scan)
    assert taken.status == 200, taken.text
    asked = {"page": page, "fields": {"scan": taken.data["id"], **fields}}
    answer = lab.ask("/jobs", "POST", asked)
    assert answer.status == 200, answer.text
    job = answer.data["id"]
    lab.wait(job, *ENDED, seconds=120)
    found = lab.lab.queue.get(job)
    assert found is not None
    assert found.state == DONE, found.sentence
    return lab.ask(f"/{page}?job={job}").text


def test_a_bids_data_set_is_denoised(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    stem = "study/sub-01/dwi/sub-01_dwi"
    members = {
        "study/dataset_description.json": json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}).encode()
    }
    for ending in ("nii.gz", "bval", "bvec"):
        members[f"{stem}.{ending}"] = (EXAMPLES / f"dwi.{ending}").read_bytes()
    with served(tmp_path) as lab:
        text = done(lab, "dmri", packed(members), verb="denoise", prior="none", coils="1")
    assert "Fractional anisotropy" in text
    assert ">Denoised</option>" in text
    assert ">As it was dropped</option>" in text


def test_a_dicom_series_is_restored_without_names(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    folder = tmp_path / "series"
    write(folder, headers(np.array([[1.0, 0, 0], [0, 1, 0]]), np.array([0, 0, 3.0]), 3, (96, 80)))
    members = {f"{NAME}/{p.name}": p.read_bytes() for p in folder.iterdir()}
    with served(tmp_path / "runs") as lab:
        text = done(
            lab,
            "restore",
            packed(members),
            task="denoise",
            run="t1-slices",
            noise="1",
            samples="2",
            steps="2",
        )
    assert "mean.nii.gz" in text
    assert NAME not in text
    kept = [p for p in (tmp_path / "runs").rglob("*.json") if p.is_file()]
    assert kept
    assert not [p for p in kept if NAME in p.read_text("utf-8")]
