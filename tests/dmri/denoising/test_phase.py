"""A scan's phase: shared and its own, found and taken away, at every noise level."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from support.commands import invoke
from support.rings import Ring, make_ring

from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.phase import REAL_PARTS, in_radians, real_parts
from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.errors import InputError
from unfog.files.nifti import Volume, new_volume, read_nifti, write_nifti

TABLE = real_gradients()[:40]
AFFINE = np.diag([2.0, 2, 2, 1])


@dataclass(frozen=True)
class Acquired:
    """A ring's complex scan: its signal of about 1 at b = 0, and with noise."""

    ring: Ring
    y: NDArray[np.complex64]


def acquired(snr: float, seed: int = 0) -> Acquired:
    """A curved phase that all volumes share, and of each weighted one a plane of its own."""
    ring = make_ring(TABLE, (24, 24, 6))
    numbers = np.random.default_rng(seed)
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in (24, 24, 6)), indexing="ij")
    shared = 1.5 * x * y + 2 * x**2 - y
    planes = numbers.normal(0, 1, (2, len(TABLE))) * ~TABLE.b0
    own = x[..., None] * planes[0] + y[..., None] * planes[1] + numbers.uniform(-3, 3, len(TABLE))
    noise = numbers.standard_normal((2, *ring.signal.shape)) / snr
    whole = ring.signal * np.exp(1j * (shared[..., None] + own)) + noise[0] + 1j * noise[1]
    return Acquired(ring, whole.astype(np.complex64))


def errors(estimate: NDArray[np.float32], ring: Ring) -> tuple[float, float]:
    """The root mean square error, and its mean, over weighted volumes of fibrous voxels."""
    error = (estimate - ring.signal)[ring.fibrous][:, ~TABLE.b0]
    return float(np.sqrt(np.square(error).mean())), float(error.mean())


@pytest.mark.parametrize("snr", [4.0, 15.0])
def test_real_parts_are_as_good_as_a_scan_without_a_phase(snr: float) -> None:
    """Denoised they err as the same signal with real noise does, and less than magnitudes where
    those have a floor.
    """
    scan = acquired(snr)
    everywhere = np.ones(scan.y.shape[:3], bool)
    turned = real_parts(scan.y, TABLE, everywhere)
    direct = scan.ring.signal + np.random.default_rng(1).standard_normal(turned.shape) / snr
    ours, ideal, magnitudes = (
        errors(denoise(x.astype(np.float32), TABLE, distribution=law).signal, scan.ring)
        for x, law in ((turned, REAL_PARTS), (direct, REAL_PARTS), (np.abs(scan.y), None))
    )
    assert ours[0] < 1.1 * ideal[0]
    assert abs(ours[1]) < 0.004
    if snr < 5:
        assert ours[0] < 0.92 * magnitudes[0]
    # Without the phase taken away little of the signal is in the real part.
    assert errors(scan.y.real, scan.ring)[0] > 3 * errors(turned, scan.ring)[0]


@pytest.mark.parametrize(
    ("scale", "shift"),
    [(1.0, 0.0), (1.0, np.pi), (180 / np.pi, 0.0), (4096 / (2 * np.pi), 0.0)],
)
def test_the_unit_is_told_by_the_range(scale: float, shift: float) -> None:
    phase = np.linspace(-np.pi, np.pi, 101)
    found = in_radians((phase + shift) * scale, None, "phase.nii")
    assert np.allclose(np.exp(1j * found), np.exp(1j * (phase + shift)), atol=1e-5)


def test_a_range_that_tells_no_unit_is_asked_about() -> None:
    with pytest.raises(InputError, match="--phase-unit"):
        in_radians(np.linspace(0, 1000, 5), None, "phase.nii")
    assert np.allclose(in_radians(np.array([0.0, 90.0]), "degrees", "p"), [0, np.pi / 2])


def test_the_command_takes_magnitudes_and_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scan = acquired(5.0)
    for name, values in (("mag", np.abs(scan.y)), ("phase", 2048 / np.pi * np.angle(scan.y))):
        write_nifti(f"{name}.nii.gz", values, new_volume(values, AFFINE))
    write_nifti("short.nii.gz", values[..., 1:], new_volume(values[..., 1:], AFFINE))
    write_fsl(TABLE, "b", "v", AFFINE)
    line = "dmri denoise mag.nii.gz --bvals b --bvecs v --prior none --phase"
    status, _, err = invoke(f"{line} phase.nii.gz --drop-volumes 39 --out out")
    assert status == 0, err
    after = read_nifti("out/dwi_denoised.nii.gz").data
    kept = TABLE[:39].b0
    error = (after - scan.ring.signal[..., :39])[scan.ring.fibrous][:, ~kept]
    assert abs(error.mean()) < 0.005
    status, _, err = invoke(f"{line} short.nii.gz --out no")
    assert status == 2
    assert "same volumes" in err
    status, _, err = invoke(f"{line} phase.nii.gz --coils 4 --out no")
    assert status == 2
    assert not Path("no").exists()


@pytest.fixture
def complex_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acquired:
    """One scan as complex numbers of both precisions and as magnitudes and phase."""
    monkeypatch.chdir(tmp_path)
    scan = acquired(8.0)
    for name, values in (("mag", np.abs(scan.y)), ("phase", np.angle(scan.y))):
        write_nifti(f"{name}.nii.gz", values, new_volume(values, AFFINE))
    for name, kind in (("single", np.complex64), ("double", np.complex128)):
        nib.save(nib.Nifti1Image(scan.y.astype(kind), AFFINE), f"{name}.nii.gz")
    write_fsl(TABLE, "b", "v", AFFINE)
    return scan


def denoised(line: str, out: str) -> Volume:
    status, _, err = invoke(f"dmri denoise {line} --bvals b --bvecs v --prior none --out {out}")
    assert status == 0, err
    return read_nifti(f"{out}/dwi_denoised.nii.gz")


@pytest.mark.parametrize(("name", "drop"), [("single", "--drop-volumes 3,39"), ("double", "")])
def test_complex_numbers_are_their_magnitudes_and_phase(
    complex_files: Acquired, name: str, drop: str
) -> None:
    """To the last bit, with the same table; and not what magnitudes alone give."""
    parts = denoised(f"mag.nii.gz --phase phase.nii.gz {drop}", "parts")
    whole = denoised(f"{name}.nii.gz {drop}", "whole")
    assert np.array_equal(whole.data, parts.data)
    assert np.array_equal(
        np.loadtxt("whole/dwi_denoised.bvec"), np.loadtxt("parts/dwi_denoised.bvec")
    )
    assert whole.header.get_data_dtype() == np.float32
    assert "input 1, complex" in Path("whole/summary.json").read_text()
    alone = denoised(f"mag.nii.gz {drop}", "alone")
    assert np.abs(alone.data - whole.data).max() > 0.05


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("denoise single.nii.gz --phase phase.nii.gz", "leave --phase"),
        ("denoise single.nii.gz --phase-unit degrees", "leave --phase"),
        ("denoise single.nii.gz --coils 4", "leave --coils"),
        ("denoise single.nii.gz --method ddm2", "real numbers"),
        ("fod single.nii.gz", "real numbers"),
        ("denoise mag.nii.gz --phase single.nii.gz", "real numbers"),
    ],
)
def test_complex_numbers_in_the_wrong_place(complex_files: Acquired, line: str, words: str) -> None:
    status, _, err = invoke(f"dmri {line} --bvals b --bvecs v --out no")
    assert (status, err.count("\n")) == (2, 1), err
    assert words in err
    assert not Path("no").exists()
