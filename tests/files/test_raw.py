"""Raw data of scanners: arrays by name from any of their files, and lines of ISMRMRD at their
places.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unfog.errors import InputError
from unfog.files.raw import read_raw

KSPACE = (np.arange(24).reshape(2, 3, 4) * (1 + 2j)).astype(np.complex64)
ANGLES = np.array([0.0, 45.0])


def test_every_format_gives_the_same_arrays(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    np.save(tmp_path / "a.npy", KSPACE)
    np.savez(tmp_path / "one.npz", anything=KSPACE)
    np.savez(tmp_path / "two.npz", kspace=KSPACE, angles=ANGLES)
    with h5py.File(tmp_path / "two.h5", "w") as file:
        file["kspace"], file["angles"] = KSPACE, ANGLES
        file.create_group("ignored")
    for name in ("a.npy", "one.npz", "two.npz", "two.h5"):
        found = read_raw(tmp_path / name, "kspace")
        np.testing.assert_array_equal(found["kspace"], KSPACE)
        assert "two" not in name or list(found["angles"]) == [0, 45]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere.npz", "no file"),
        ("text.txt", "no known type"),
        ("objects.npy", "truncated, damaged or holds Python objects"),
        ("cut.npz", "truncated, damaged"),
        ("text.h5", "not a readable HDF5"),
        ("nan.npz", "1 non-finite values"),
        ("nan.h5", "1 non-finite values"),
        ("words.npy", "save numbers"),
    ],
)
def test_refused(tmp_path: Path, name: str, words: str) -> None:
    h5py = pytest.importorskip("h5py")
    bad = KSPACE.copy()
    bad[0, 0, 0] = np.nan
    (tmp_path / "text.txt").write_text("3")
    (tmp_path / "text.h5").write_text("3")
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.savez(tmp_path / "nan.npz", kspace=bad)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "nan.npz").read_bytes()[:90])
    with h5py.File(tmp_path / "nan.h5", "w") as file:
        file["kspace"] = bad
    with pytest.raises(InputError, match=words):
        read_raw(tmp_path / name, "kspace")


HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions><H1resonanceFrequency_Hz>1
</H1resonanceFrequency_Hz></experimentalConditions><encoding><encodedSpace><matrixSize><x>16</x><y>6</y><z>1</z></matrixSize>
<fieldOfView_mm><x>2</x><y>1</y><z>1</z></fieldOfView_mm></encodedSpace><reconSpace><matrixSize><x>8</x><y>6</y><z>1</z></matrixSize>
<fieldOfView_mm><x>1</x><y>1</y><z>1</z></fieldOfView_mm></reconSpace><encodingLimits><kspace_encoding_step_1><minimum>0</minimum>
<maximum>5</maximum><center>{center}</center></kspace_encoding_step_1></encodingLimits><trajectory>{trajectory}</trajectory></encoding>
</ismrmrdHeader>"""


def ismrmrd_file(
    path: Path, kspace: np.ndarray, rows: list[int], center: int = 3, trajectory: str = "cartesian"
) -> Path:
    """Lines of (slices, coils, 6, 16), after one of noise; each row of the list once, with what
    else differs added as noise would.
    """
    ismrmrd = pytest.importorskip("ismrmrd")
    file = ismrmrd.Dataset(str(path))
    file.write_xml_header(HEADER.format(center=center, trajectory=trajectory).encode())
    noise = ismrmrd.Acquisition.from_array(np.full((2, 16), 99, np.complex64))
    noise.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    file.append_acquisition(noise)
    for k, row in enumerate(rows):
        for number, one in enumerate(kspace):
            line = ismrmrd.Acquisition.from_array(one[:, row] + (-1) ** k * 0.5)
            line.idx.kspace_encode_step_1, line.idx.slice = row - 3 + center, number
            file.append_acquisition(line)
    file.close()
    return path


@pytest.mark.parametrize("center", [3, 5])
def test_lines_of_ismrmrd_come_to_their_places(tmp_path: Path, center: int) -> None:
    """Repeated lines are averaged, and columns oversampled by 2 are cropped in the image; a line
    that is not there is 0.
    """
    random = np.random.default_rng(0)
    image = np.zeros((2, 2, 6, 16), np.complex64)
    image[..., 4:12] = random.normal(size=(2, 2, 6, 8)) + 1j * random.normal(size=(2, 2, 6, 8))
    forward = {"norm": "ortho"}
    kspace = np.fft.fftshift(
        np.fft.fft2(np.fft.ifftshift(image, (2, 3)), **forward), (2, 3)
    ).astype(np.complex64)
    small = np.fft.fftshift(
        np.fft.fft2(np.fft.ifftshift(image[..., 4:12], (2, 3)), **forward), (2, 3)
    )
    rows = [0, 2, 3, 5]
    # the second of a pair takes away what the first adds
    pairs = [row for row in rows for _ in range(2)]
    found = read_raw(ismrmrd_file(tmp_path / "scan.h5", kspace, pairs, center), "kspace")["kspace"]
    assert found.shape == (2, 2, 6, 8)
    np.testing.assert_allclose(found[:, :, rows], small[:, :, rows], atol=1e-5)
    assert not found[:, :, [1, 4]].any()


def test_other_ismrmrd_is_refused(tmp_path: Path) -> None:
    kspace = np.ones((1, 2, 6, 16), np.complex64)
    with pytest.raises(InputError, match="radial k-space"):
        read_raw(
            ismrmrd_file(tmp_path / "radial.h5", kspace, [0, 1], trajectory="radial"), "kspace"
        )
    with pytest.raises(InputError, match="lines of 16 samples"):
        read_raw(ismrmrd_file(tmp_path / "short.h5", kspace[..., :8], [0, 1]), "kspace")
    with pytest.raises(InputError, match="outside the 6 rows"):
        read_raw(
            ismrmrd_file(tmp_path / "outside.h5", np.ones((1, 2, 9, 16), np.complex64), [8]),
            "kspace",
        )
