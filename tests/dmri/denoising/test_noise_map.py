"""Noise that differs over space and is known: by a map, or by volumes without excitation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.commands import invoke
from support.rings import make_ring

from unfog.dmri.denoising.classical import denoise
from unfog.dmri.denoising.noise_map import (
    NoiseMap,
    denoise_by_map,
    denoise_by_slices,
    map_of_noise,
)
from unfog.dmri.gradient_files import write_fsl
from unfog.dmri.simulation.phantom import real_gradients
from unfog.files.nifti import new_volume, read_nifti, write_nifti

TABLE, SHAPE, AFFINE = real_gradients()[:30], (20, 20, 6), np.diag([2.0, 2, 2, 1])
RING = make_ring(TABLE, SHAPE)
EVERYWHERE = np.ones(SHAPE, bool)
# Ridges of three times the noise, as parallel imaging makes them, and every other slice doubled.
LEVEL = np.ones(SHAPE, np.float32)
LEVEL[7:9], LEVEL[12:14] = 3, 3
LEVEL[:, :, ::2] *= 2
LEVEL /= 25


def magnitudes(signal: NDArray[np.float64], level: NDArray[np.float32], coils: int = 1) -> NDArray:
    """Of so many coils, the signal in the first."""
    noise = np.random.default_rng(0).standard_normal((2 * coils, *signal.shape))
    parts = noise * level[..., None]
    parts[0] += signal
    return np.sqrt(np.square(parts).sum(0)).astype(np.float32)


DATA = magnitudes(RING.signal, LEVEL)
NORF = magnitudes(np.zeros((*SHAPE, 3)), LEVEL)


def error(signal: NDArray[np.float32]) -> float:
    """Root mean square over the voxels' own noise."""
    return float(np.sqrt(np.mean(((signal - RING.signal) / LEVEL[..., None]) ** 2)))


def test_a_scan_times_its_map_is_denoised_as_the_scan_is() -> None:
    """Exactly: what is divided is the scan of even noise."""
    even = magnitudes(RING.signal, np.full(SHAPE, 0.05, np.float32))
    level = LEVEL * 25
    plain = denoise(even, TABLE, EVERYWHERE)
    found = denoise_by_map(even * level[..., None], TABLE, NoiseMap(level), EVERYWHERE)
    np.testing.assert_allclose(found.signal, plain.signal * level[..., None], atol=1e-4)
    np.testing.assert_allclose(found.sigma, plain.sigma * level, rtol=1e-3)
    np.testing.assert_allclose(found.noise.level, plain.noise.level.numpy() * level, rtol=1e-3)


def test_a_map_and_volumes_of_noise_lessen_the_error() -> None:
    """The map's scale does not matter; three volumes of noise do nearly as well as the truth."""
    blind = denoise(DATA, TABLE, EVERYWHERE)
    true = denoise_by_map(DATA, TABLE, NoiseMap(7 * LEVEL), EVERYWHERE)
    read = denoise_by_map(DATA, TABLE, map_of_noise(NORF), EVERYWHERE)
    assert error(true.signal) < 0.85 * error(blind.signal)
    assert error(read.signal) < 0.88 * error(blind.signal)
    off = [float(np.abs(one.sigma / LEVEL - 1).mean()) for one in (blind, true, read)]
    assert off[0] > 0.3
    assert off[1] < 0.03
    assert off[2] < 0.05


@pytest.mark.parametrize("coils", [1, 4])
def test_volumes_of_noise_tell_level_and_coils(coils: int) -> None:
    found = map_of_noise(magnitudes(np.zeros((*SHAPE, 3)), LEVEL, coils))
    assert found.coils == coils
    assert np.abs(found.level / LEVEL - 1).mean() < 0.04


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    files = {
        "dwi": DATA,
        "with": np.concatenate([DATA, NORF], -1),
        "norf": NORF,
        "map": LEVEL,
        "small": LEVEL[1:],
        "minus": -LEVEL,
        "part": LEVEL * (np.arange(20) > 12)[:, None, None],
        "zero": 0 * NORF,
    }
    for name, values in files.items():
        write_nifti(f"{name}.nii", values, new_volume(values, AFFINE))
    write_fsl(TABLE, "b", "v", AFFINE)
    np.savetxt("b33", np.append(TABLE.bvals, [0, 0, 0])[None])
    np.savetxt("v33", np.concatenate([np.loadtxt("v"), np.zeros((3, 3))], 1))
    return tmp_path


LINE = "--bvals b --bvecs v --prior none --out out"


@pytest.mark.parametrize(
    "line",
    [
        f"dwi.nii {LINE} --norf norf.nii",
        f"dwi.nii {LINE} --noise-map map.nii",
        f"with.nii {LINE} --norf 30-32",
        "with.nii --bvals b33 --bvecs v33 --prior none --out out --norf 30-32",
    ],
)
def test_the_command(folder: Path, line: str) -> None:
    """Volumes of noise leave the scan, whether its table has them or not."""
    status, told, err = invoke(f"dmri denoise {line}")
    assert status == 0, err
    after = read_nifti("out/dwi_denoised.nii.gz").data
    assert after.shape == (*SHAPE, 30)
    assert np.loadtxt("out/dwi_denoised.bval").shape == (30,)
    inside = read_nifti("out/mask.nii.gz").data > 0
    off = np.abs(read_nifti("out/noise.nii.gz").data / LEVEL - 1)[inside].mean()
    assert off < 0.06
    assert "noise over the map" in told


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"dwi.nii {LINE} --noise-map small.nii", "not on the scan's grid"),
        (f"dwi.nii {LINE} --noise-map minus.nii", "negative"),
        (f"dwi.nii {LINE} --noise-map part.nii", "is 0 in"),
        (f"dwi.nii {LINE} --noise-map norf.nii", "is a series"),
        (f"dwi.nii {LINE} --norf zero.nii", "0 everywhere"),
        (f"dwi.nii {LINE} --norf norf.nii --noise-map map.nii", "one description"),
        (f"dwi.nii {LINE} --norf nowhere.nii", "nowhere.nii"),
        (f"with.nii {LINE} --norf 33", "Volume 33 cannot"),
        (f"dwi.nii {LINE} --norf 28-29", "not noise alone"),
        (f"dwi.nii {LINE} --norf 3, --method ddm2", "takes no"),
    ],
)
def test_refused_in_one_sentence(folder: Path, line: str, words: str) -> None:
    status, _, err = invoke(f"dmri denoise {line}")
    assert (status, err.count("\n")) == (2, 1), err
    assert words in err
    assert not (folder / "out").exists()


BY_SLICE = np.broadcast_to(np.where(np.arange(8) % 2, 1, 2) / 25, (20, 20, 8)).astype(np.float32)
DEEP = make_ring(TABLE, BY_SLICE.shape)


def test_every_other_slice_twice_as_noisy_is_told_and_used() -> None:
    """The error falls to that by the true map, along whichever axis the slices lie."""
    data, head = magnitudes(DEEP.signal, BY_SLICE), np.ones(BY_SLICE.shape, bool)
    blind = denoise(data, TABLE, head)
    found = denoise_by_slices(data, TABLE, head)
    true = denoise_by_map(data, TABLE, NoiseMap(BY_SLICE), head)
    assert found.slices is not None
    assert found.slices.axis == 2
    assert found.slices.clear
    ratio = found.slices.levels[::2] / found.slices.levels[1::2]
    np.testing.assert_allclose(ratio, 2, rtol=0.08)
    assert any("slice to slice along z" in note for note in found.notes)

    def over_level(signal: NDArray[np.float32]) -> float:
        return float(np.sqrt(np.mean(((signal - DEEP.signal) / BY_SLICE[..., None]) ** 2)))

    assert over_level(found.signal) < 0.96 * over_level(blind.signal)
    assert over_level(found.signal) < 1.02 * over_level(true.signal)
    off = [float(np.abs(one.sigma / BY_SLICE - 1).mean()) for one in (blind, found)]
    assert off[0] > 0.3
    assert off[1] < 0.04
    turned = denoise_by_slices(data.swapaxes(0, 2), TABLE, head.swapaxes(0, 2))
    assert turned.slices is not None
    assert turned.slices.axis == 0


@pytest.mark.parametrize("fault", ["none", "ridges", "a slice dropped out"])
def test_levels_of_slices_are_not_used_without_need(fault: str) -> None:
    """Even noise, noise that varies within slices, and a slice that dropped out of two volumes."""
    level = np.full(BY_SLICE.shape, 0.04, np.float32)
    if fault == "ridges":
        level *= np.linspace(0.5, 1.5, 20, dtype=np.float32)[:, None, None]
    signal = DEEP.signal.copy()
    if fault == "a slice dropped out":
        signal[:, :, 3, [9, 20]] *= 0.2
    data, head = magnitudes(signal, level), np.ones(level.shape, bool)
    found = denoise_by_slices(data, TABLE, head)
    assert found.slices is not None
    assert not found.slices.clear, found.slices
    assert np.array_equal(found.signal, denoise(data, TABLE, head).signal)
