"""Scans of a data set that are one acquisition, and those that must never be mixed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke
from support.rings import make_ring, with_noise

from unfog.dmri.gradient_files import read_fsl, write_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.phantom import real_gradients
from unfog.dmri.workflows.bids_groups import fitting_together
from unfog.files.bids import read_bids
from unfog.files.nifti import new_volume, read_nifti, write_nifti

AFFINE, SHAPE, SNR = np.diag([2.0, 2, 2, 1]), (14, 14, 6), 15.0
FIRST, SECOND = np.arange(0, 30, 2), np.arange(1, 30, 2)  # volumes of two runs


def data_set(root: Path) -> Path:
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "runs", "BIDSVersion": "1.10.0"}')
    return root


def put(
    root: Path,
    name: str,
    values: np.ndarray,
    table: GradientTable,
    fields: dict[str, object],
    affine: np.ndarray = AFFINE,
) -> None:
    """A scan of subject 01, or the phase of one."""
    stem = root / "sub-01/dwi" / f"sub-01_{name}dwi"
    stem.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(f"{stem}.nii.gz", values, new_volume(values, affine))
    Path(f"{stem}.json").write_text(json.dumps(fields))
    if "phase" not in name:
        write_fsl(table, f"{stem}.bval", f"{stem}.bvec", affine)


def groups_of(root: Path) -> list[list[str]]:
    return [[s.stem for s in group.scans] for group in fitting_together(read_bids(root).scans)]


def test_what_fits_together(tmp_path: Path) -> None:
    """Reversed encodings, other contrasts, other grids and unknown encodings stay apart."""
    root = data_set(tmp_path / "raw")
    table = real_gradients()[:8]
    y = with_noise(make_ring(table, (6, 6, 3)).signal, 0.1)
    ahead = {"PhaseEncodingDirection": "j", "EchoTime": 0.09}
    back = ahead | {"PhaseEncodingDirection": "j-"}
    moved = AFFINE.copy()
    moved[0, 3] = 3
    for name, fields, affine in (
        ("acq-a_dir-AP_", ahead, AFFINE),
        ("acq-b_dir-AP_", ahead, AFFINE),
        ("acq-b_dir-PA_", back, AFFINE),
        ("acq-c_dir-AP_", ahead | {"EchoTime": 0.07}, AFFINE),
        ("acq-d_dir-AP_", ahead, moved),
        ("run-1_", {}, AFFINE),
        ("run-2_", {}, AFFINE),
    ):
        put(root, name, y, table, fields, affine)
    assert groups_of(root) == [
        ["sub-01_acq-a_dir-AP", "sub-01_acq-b_dir-AP"],
        ["sub-01_acq-b_dir-PA"],
        ["sub-01_acq-c_dir-AP"],
        ["sub-01_acq-d_dir-AP"],
        ["sub-01_run-1"],
        ["sub-01_run-2"],
    ]


def test_runs_are_denoised_together_and_reversed_encoding_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of half the directions err less together than each alone, each gets its own
    volumes back, and the reversed run's b = 0 keeps its own shape.
    """
    monkeypatch.chdir(tmp_path)
    root, table = data_set(tmp_path / "raw"), real_gradients()[:30]
    clean = make_ring(table, SHAPE).signal
    warped = np.roll(clean, 2, 1)
    for k, (volumes, signal, way) in enumerate(
        ((FIRST, clean, "j"), (SECOND, clean, "j"), (SECOND, warped, "j-"))
    ):
        y = with_noise(signal[..., volumes], 1 / SNR, k)
        name = f"dir-{'AP' if way == 'j' else 'PA'}_run-{k}_"
        put(root, name, y, table[volumes], {"PhaseEncodingDirection": way})
    assert invoke("dmri denoise raw --prior none --out together")[0] == 0
    out = Path("together/sub-01/dwi")

    def error(folder: Path, k: int, truth: np.ndarray) -> float:
        after = read_nifti(folder / "dwi.nii.gz" if folder.name == "alone" else _series(folder, k))
        return float(np.sqrt(np.mean((after.data - truth) ** 2)))

    assert error(out, 0, clean[..., FIRST]) < 0.05
    alone = Path("raw/sub-01/dwi/sub-01_dir-AP_run-0_dwi")
    line = f"dmri denoise {alone}.nii.gz --bvals {alone}.bval --bvecs {alone}.bvec --prior none"
    assert invoke(f"{line} --out one")[0] == 0
    by_itself = read_nifti("one/dwi_denoised.nii.gz").data - clean[..., FIRST]
    assert error(out, 0, clean[..., FIRST]) < 0.93 * np.sqrt(np.mean(by_itself**2))
    # Each run has its own volumes and table; the reversed run is of the warped head.
    assert error(out, 1, clean[..., SECOND]) < 0.05
    assert error(out, 2, warped[..., SECOND]) < 0.05
    stem = _series(out, 1).with_suffix("").with_suffix("")
    again = read_fsl(stem.with_suffix(".bval"), stem.with_suffix(".bvec"), AFFINE, len(SECOND))
    np.testing.assert_allclose(again.directions, table[SECOND].directions, atol=1e-8)
    said = json.loads(stem.with_suffix(".json").read_text())
    assert [Path(one).name for one in said["Sources"]] == [
        f"sub-01_dir-AP_run-{k}_dwi.nii.gz" for k in (0, 1)
    ]
    assert said["PhaseEncodingDirection"] == "j"


def _series(folder: Path, k: int) -> Path:
    way = "PA" if k == 2 else "AP"
    return folder / f"sub-01_dir-{way}_run-{k}_desc-denoised_dwi.nii.gz"


@pytest.mark.parametrize("runs", [1, 2])
def test_the_phase_beside_magnitudes_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs: int
) -> None:
    """At SNR 3 magnitudes have a floor, and real parts have none; units come from the sidecar."""
    monkeypatch.chdir(tmp_path)
    root, table = data_set(tmp_path / "raw"), real_gradients()[:24]
    ring = make_ring(table, SHAPE)
    numbers = np.random.default_rng(0)
    noise = numbers.standard_normal((2, *ring.signal.shape)) / 3
    y = ring.signal * np.exp(0.7j) + noise[0] + 1j * noise[1]
    for part in np.split(np.arange(24), runs):
        run = f"run-{part[0]}_"
        fields = {"PhaseEncodingDirection": "j"}
        put(root, f"{run}part-mag_", np.abs(y[..., part]), table[part], fields)
        degrees = np.degrees(np.angle(y[..., part]))
        put(root, f"{run}part-phase_", degrees, table[part], fields | {"Units": "deg"})
    status, _, err = invoke("dmri denoise raw --prior none --out out")
    assert status == 0, err
    files = sorted(Path("out/sub-01/dwi").glob("*_part-mag_desc-denoised_dwi.nii.gz"))
    after = np.concatenate([read_nifti(file).data for file in files], -1)
    error = (after - ring.signal)[ring.fibrous][:, ~table.b0]
    assert abs(error.mean()) < 0.02
    said = json.loads(files[0].with_name(files[0].name.replace(".nii.gz", ".json")).read_text())
    assert len(said["Sources"]) == 2 * runs
    # The phase of other volumes is refused by its name.
    short = degrees[..., :5]
    bad = root / "sub-01/dwi/sub-01_run-0_part-phase_dwi.nii.gz"
    write_nifti(bad, short, new_volume(short, AFFINE), overwrite=True)
    status, _, err = invoke("dmri denoise raw --prior none --out no")
    assert (status, err.count("\n")) == (2, 1)
    assert "run-0_part-phase_dwi.nii.gz" in err
    assert not Path("no").exists()
