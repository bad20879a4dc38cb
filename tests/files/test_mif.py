"""MRtrix images: files that mrconvert 3.0.3 and mrthreshold wrote, of x[i, j, k, t] counting up."""

from __future__ import annotations

import gzip
import itertools
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unfog.errors import InputError
from unfog.files.mif import MifVolume, read_mif, write_mif
from unfog.files.nifti import new_volume, write_nifti

FILES = Path(__file__).parent / "mif"
COUNTED = np.arange(4 * 3 * 2 * 4, dtype=np.float32).reshape(4, 3, 2, 4)
# The axes' directions, times voxels of 2 x 2.5 x 3 mm.
AXES = [
    [0.950563782872474, -0.294043836438709, 0.0998334219751685],
    [0.308577476133054, 0.930432063225379, -0.197676823614433],
    [-0.0347625648438926, 0.218710763280111, 0.975170324231842],
]


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("float32.mif", ((-1, 2), (1, 1), (-1, 0), (1, 3))),
        ("int16.mif.gz", ((1, 1), (1, 2), (1, 3), (1, 0))),
    ],
)
def test_what_mrtrix_wrote_is_read(name: str, layout: tuple[tuple[int, int], ...]) -> None:
    """Voxels in every order of strides, big-endian integers, gzip, oblique axes and the table."""
    volume = read_mif(FILES / name)
    assert np.array_equal(np.sort(volume.data.ravel()), COUNTED.ravel())
    # Voxel numbers are MRtrix's: axes run as its transform says.
    turned = volume.data if volume.affine[0, 0] > 0 else volume.data[::-1]
    assert np.array_equal(turned, COUNTED)
    assert np.allclose(volume.affine[:3, :3], np.array(AXES) * [2, 2.5, 3], atol=1e-6)
    assert np.allclose(volume.affine[:3, 3], [-10, 5, 7.25], atol=1e-5)
    assert [abs(sign) * place for sign, place in volume.layout] == [p for _, p in layout]
    assert volume.scheme is not None
    assert np.allclose(volume.scheme[:, 3], [0, 1000, 1000, 2000])
    assert np.allclose(volume.scheme[2, :3], [0, 0.6, 0.8])


def test_a_mask_of_bits_is_read() -> None:
    assert np.array_equal(read_mif(FILES / "bit.mif").data, (COUNTED[..., 1] > 40).astype(float))


def test_voxels_of_what_is_read_and_written_are_the_bytes_that_mrtrix_wrote(tmp_path: Path) -> None:
    volume = read_mif(FILES / "float32.mif")
    path = write_mif(tmp_path / "again.mif", volume.data, volume)
    assert (
        path.read_bytes()[-COUNTED.nbytes :]
        == (FILES / "float32.mif").read_bytes()[-COUNTED.nbytes :]
    )
    assert b"command_history" not in path.read_bytes()  # may name people
    packed = write_mif(tmp_path / "again.mif.gz", volume.data, volume)
    assert gzip.decompress(packed.read_bytes()) == path.read_bytes()


@pytest.mark.parametrize("places", list(itertools.permutations(range(4)))[::2])
def test_every_order_of_strides_comes_back(tmp_path: Path, places: tuple[int, ...]) -> None:
    first = read_mif(FILES / "float32.mif")
    for signs in itertools.product((1, -1), repeat=2):
        layout = tuple(zip((*signs, 1, -1), places, strict=True))
        path = tmp_path / f"{signs}.mif"
        write_mif(path, first.data, replace(first, layout=layout, path=None))
        again = read_mif(path)
        assert again.layout == layout
        assert np.array_equal(again.data, first.data)
        assert np.allclose(again.affine, first.affine, atol=1e-12)
        assert np.array_equal(again.scheme, first.scheme)


def test_a_series_gives_its_grid_to_one_map(tmp_path: Path) -> None:
    volume = read_mif(FILES / "int16.mif.gz")
    path = write_mif(tmp_path / "map.mif", volume.data[..., 2], volume)
    again = read_mif(path)
    assert np.array_equal(again.data, volume.data[..., 2])
    assert again.layout == ((1, 0), (1, 1), (1, 2))  # the strides that are left close up
    assert again.scheme is None


@pytest.mark.skipif(shutil.which("mrconvert") is None, reason="MRtrix is not installed")
def test_mrtrix_reads_what_is_written(tmp_path: Path) -> None:
    """And its own NIfTI of it has the voxels and the place of ours."""
    volume = read_mif(FILES / "float32.mif")
    ours = write_mif(tmp_path / "ours.mif", volume.data, volume)
    subprocess.run(
        ["mrconvert", "-quiet", ours, tmp_path / "theirs.nii", "-strides", "1,2,3,4"], check=True
    )
    write_nifti(tmp_path / "direct.nii", volume.data, new_volume(volume.data, volume.affine))
    subprocess.run(
        ["mrconvert", "-quiet", tmp_path / "direct.nii", tmp_path / "again.mif"], check=True
    )
    theirs = read_mif(tmp_path / "again.mif")
    assert np.array_equal(theirs.data, volume.data)
    assert np.allclose(theirs.affine, volume.affine, atol=1e-5)


def damaged(volume: bytes, old: bytes, new: bytes) -> bytes:
    assert old in volume
    return volume.replace(old, new)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda b: b[:-8], "truncated"),
        (lambda b: b"not an image" + b, "no MRtrix image"),
        (lambda b: damaged(b, b"dim: 4,3,2,4", b"dim: 4,3,-2,4"), "without voxels"),
        (lambda b: damaged(b, b"dim: 4,3,2,4", b"dim: 4000000,3,20000,4"), "more than"),
        (lambda b: damaged(b, b"dim: 4,3,2,4", b"dim: 4000,300,20,4"), "can hold"),
        (lambda b: damaged(b, b"layout: ", b"layout: +7,"), "layout"),
        (lambda b: damaged(b, b"Float32LE", b"Float99LE"), "Float99LE"),
        (lambda b: damaged(b, b"vox: 2", b"vox: 0"), "without a volume"),
        (lambda b: damaged(b, b"vox: 2,2.5,3,1", b"vox: 2,2.5     "), "fewer than three"),
        (lambda b: damaged(b, b"mrtrix_version", b"scaling: 1,2,3\nmrtrix"), "two numbers"),
        (lambda b: damaged(b, b"file: . ", b"file: elsewhere.dat "), "itself"),
        (lambda b: damaged(b, b"\nEND", b"\nBND"), "no end"),
        (lambda b: damaged(b, b"dw_scheme: 0,0,0,0", b"dw_scheme: 0,0,zero,0"), "dw_scheme"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, change, told: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "bad.mif"
    path.write_bytes(change((FILES / "float32.mif").read_bytes()))
    with pytest.raises(InputError, match=told) as found:
        read_mif(path)
    assert str(found.value).startswith("bad.mif")


def test_complex_values_are_refused_with_what_would_do() -> None:
    with pytest.raises(InputError, match="magnitude"):
        read_mif(FILES / "complex.mif")


def test_data_of_another_grid_is_refused(tmp_path: Path) -> None:
    volume: MifVolume = read_mif(FILES / "float32.mif")
    with pytest.raises(InputError, match="own grid"):
        write_mif(tmp_path / "x.mif", np.zeros((2, 2, 2)), volume)
