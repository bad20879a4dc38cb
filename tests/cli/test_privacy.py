"""40 identifiers planted in NIfTI, DICOM, sidecars, names of files and folders: none is in any byte
that commands write or print, and `unfog phi-check` finds those that stand in files.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support.commands import invoke
from support.dicom_files import headers, write
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.files import yaml

pydicom = pytest.importorskip("pydicom")
TEXTS = ("descrip", "aux_file", "db_name", "intent_name")
TAGS = {
    "PatientName": "PN",
    "PatientID": "LO",
    "InstitutionName": "LO",
    "ReferringPhysicianName": "PN",
    "OperatorsName": "PN",
    "AccessionNumber": "SH",
    "StationName": "SH",
    "DeviceSerialNumber": "LO",
    "StudyDescription": "LO",
    "SeriesDescription": "LO",
    "ProtocolName": "LO",
    "PatientComments": "LT",
}
FIELDS = ("PatientName", "InstitutionName", "ProtocolName", "SeriesDescription", "EchoTime")


class Planted:
    """Identifiers, each given out once."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._numbers = count(10)

    def __call__(self) -> str:
        self.words.append(f"Quz{next(self._numbers)}x")
        return self.words[-1]


def scan(planted: Planted, path: Path, data: Any, kind: Any) -> None:
    """A NIfTI file with an identifier in every text and in an extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = kind(data, np.diag([2.0, 2.0, 2.0, 1.0]))
    for field in (*TEXTS, "unused_str"):
        if field in image.header:
            image.header[field] = planted().encode()
    extension = nib.nifti1.Nifti1Extension("comment", planted().encode())
    image.header.extensions.append(extension)
    image.to_filename(path)


def series(planted: Planted, folder: Path) -> Path:
    slices = headers(np.eye(3)[:2], np.array([0, 0, 3.0]), count=2, shape=(8, 8))
    values = {tag: planted() for tag in TAGS}
    private = planted()
    for one in slices:
        for tag, value in values.items():
            setattr(one, tag, value)
        one.private_block(0x11, planted.words[-1], create=True).add_new(1, "LO", private)
    return write(folder, slices, planted())


def bids(planted: Planted, root: Path) -> Path:
    table = real_gradients()[:30]
    y = with_noise(1000 * make_ring(table, (12, 12, 5)).signal, 40.0, 0)
    path = root / "sub-01/dwi/sub-01_dwi.nii.gz"
    scan(planted, path, y.astype(np.float32), nib.Nifti1Image)
    write_fsl(table, root / "dwi.bval", root / "dwi.bvec", np.diag([2.0, 2.0, 2.0, 1.0]))
    sidecar = {"FlipAngle": 90, **{field: planted() for field in FIELDS}}
    path.with_name("sub-01_dwi.json").write_text(json.dumps(sidecar))
    told = {"Name": planted(), "BIDSVersion": "1.9.0", "Authors": [planted()]}
    (root / "dataset_description.json").write_text(json.dumps(told))
    return root


def written(*folders: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file with its bytes, unpacked."""
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                yield path, gzip.decompress(content) if path.suffix == ".gz" else content


def test_40_planted_identifiers_are_in_no_output(run: Path, tmp_path: Path) -> None:
    planted, restoring = Planted(), "--task denoise --noise 0.1 --samples 2 --steps 2"
    y = np.random.default_rng(0).uniform(0, 9, (8, 8, 2)).astype(np.float32)
    first = tmp_path / planted() / f"{planted()}.nii.gz"
    second = tmp_path / planted() / f"{planted()}.nii"
    scan(planted, first, y, nib.Nifti1Image)
    scan(planted, second, np.where(y > 8, np.nan, y), nib.Nifti2Image)  # a note names it
    dicom = series(planted, tmp_path / planted())
    data_set = bids(planted, tmp_path / planted())
    assert len(planted.words) >= 40
    out, printed = [tmp_path / name for name in ("one", "two", "three", "four")], ""
    for source, place in zip((first, second, dicom), out, strict=False):
        status, told, err = invoke(f"restore {run} {source} {restoring} --out {place}")
        assert status == 0, err
        printed += told
    status, told, err = invoke(f"dmri denoise {data_set} --prior none --out {out[3]}")
    assert status == 0, err
    printed += told
    assert not [word for word in planted.words if word in printed]
    for path, content in written(*out):
        held = str(path.relative_to(tmp_path)).encode() + content
        assert not [word for word in planted.words if word.encode() in held], path
    assert json.loads((out[0] / "summary.json").read_text())["input"] == "input 1"
    warned = json.loads((out[1] / "summary.json").read_text())["warnings"]
    assert any(text.startswith("input 1 has") for text in warned)
    # What the outputs are free of is found in the inputs.
    status, told, _ = invoke(f"phi-check {out[0]} --json")
    assert (status, json.loads(told)["found"]) == (0, [])
    status, told, _ = invoke(f"phi-check {dicom} --json")
    fields = {one["field"] for one in json.loads(told)["found"]}
    assert status == 1
    assert fields >= {*TAGS, "PatientBirthDate", "SOPInstanceUID"}
    assert not [word for word in planted.words if f'"text": "{word}' in told]
    kept = tmp_path / "kept"
    status, told, _ = invoke(f"restore {run} {first} {restoring} --out {kept} --keep-names")
    assert json.loads((kept / "summary.json").read_text())["input"] == first.name


def test_phi_check_finds_each_kind_of_place(tmp_path: Path) -> None:
    planted = Planted()
    scan(planted, tmp_path / "one.nii", np.zeros((2, 2, 2), np.float32), nib.Nifti1Image)
    scan(planted, tmp_path / "two.nii.gz", np.zeros((2, 2, 2), np.float32), nib.Nifti2Image)
    (tmp_path / "three.json").write_text(json.dumps({"a": {"PatientID": planted(), "b": 3}}))
    (tmp_path / "four.log").write_text("read /home/jane/scan.nii at noon")
    (tmp_path / "seven.yaml").write_text(f"who: {{PatientName: {planted()}}}")
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", planted())
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "five.png", pnginfo=note)
    (tmp_path / "six.bin").write_bytes(b"x")
    status, told, _ = invoke(f"phi-check {tmp_path} --json")
    result = json.loads(told)
    found = {(one["file"], one["field"]) for one in result["found"]}
    assert status == 1
    assert found == {
        *(("one.nii", field) for field in (*TEXTS, "extension")),
        *(("two.nii.gz", field) for field in (*TEXTS[:2], "intent_name", "unused_str")),
        ("two.nii.gz", "extension"),
        ("three.json", "a.PatientID"),
        ("four.log", "path of a home folder"),
        ("four.log", "absolute path"),
        ("five.png", "Comment"),
        ("seven.yaml", "who.PatientName"),
    }
    assert result["not searched"] == ["six.bin"]
    assert not [word for word in planted.words if word in told]


def test_errors_name_files_without_their_folders(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Quz1x"
    folder.mkdir()
    (folder / "head.nii").write_bytes(b"no scan")
    for line in (
        f"restore {run} {folder}/head.nii --task denoise --out {tmp_path}/new",
        f"restore {run} {folder}/none.nii --task denoise --out {tmp_path}/new",
        f"inspect {folder}/none.npy",
        f"train edm --data={folder}/none --out {tmp_path}/new",
    ):
        status, _, err = invoke(line)
        assert status == 2
        assert "Quz1x" not in err
        assert "head.nii" in err or "none" in err


def test_a_runs_folder_and_export_hold_no_path_of_its_data(tmp_path: Path) -> None:
    folder = tmp_path / "Quz1x"
    folder.mkdir()
    np.save(folder / "data.npy", np.random.default_rng(0).uniform(size=(8, 1, 8, 8)))
    place = tmp_path / "run"
    tiny = "--set network.channels=8 --set network.groups=4 --set training.batch=4"
    status, told, err = invoke(
        f"train edm --data {folder}/data.npy --out {place} --steps 1 --set training.warmup=9 {tiny}"
    )
    assert status == 0, err
    assert "Quz1x" not in told
    assert yaml.read(place / "config.yaml")["data"]["path"] == "local.yaml"
    holds = {path.name for path, content in written(place) if b"Quz1x" in content}
    assert holds == {"local.yaml"}
    status, told, _ = invoke(f"phi-check {place} --json")
    # The place in local.yaml is found; what other files say in its stead is no one's path.
    assert {one["file"] for one in json.loads(told)["found"]} == {"local.yaml"}
    status, told, err = invoke(f"inspect {place} --json")
    assert (status, "Quz1x" in told) == (0, False), err
    resumed = f"train edm --out {place} --steps 2 --resume"
    status, _, err = invoke(resumed)
    assert status == 0, err
    (place / "local.yaml").unlink()
    assert "give --data its new place" in invoke(f"{resumed} --steps 3")[2]
    assert invoke(f"{resumed} --steps 3 --data {folder}/data.npy")[0] == 0
