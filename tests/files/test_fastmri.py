"""fastMRI's files in both layouts, and axes that the user names: every slice and coil is where the
file says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unfog.errors import InputError
from unfog.files.axes import arranged
from unfog.files.raw import Planes, read_raw

h5py = pytest.importorskip("h5py")
RANDOM = np.random.default_rng(0)
MANY = (RANDOM.normal(size=(3, 4, 6, 8)) + 1j * RANDOM.normal(size=(3, 4, 6, 8))).astype(
    np.complex64
)
ONE = MANY[:, 0]
IMAGES = np.ones((3, 6, 6), np.float32)
HEADER = "<?xml version='1.0'?><ismrmrdHeader/>"


def write(path: Path, attributes: dict[str, Any] | None = None, **arrays: Any) -> Path:
    with h5py.File(path / "scan.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
        file.attrs.update(attributes or {})
    return path / "scan.h5"


@pytest.mark.parametrize(
    ("arrays", "attributes"),
    [
        ({"ismrmrd_header": HEADER}, {}),
        ({"ismrmrd_header": HEADER.encode(), "reconstruction_rss": IMAGES}, {"max": 1.0}),
        ({"reconstruction_esc": IMAGES, "reconstruction_rss": IMAGES}, {}),
        ({"mask": np.arange(8) % 2}, {"acquisition": "CORPD_FBK", "patient_id": "0815"}),
    ],
    ids=["header", "bytes", "references", "attribute"],
)
def test_both_layouts_are_told_by_names_and_attributes(
    tmp_path: Path, arrays: dict[str, Any], attributes: dict[str, Any]
) -> None:
    found = read_raw(write(tmp_path, attributes, kspace=MANY, **arrays), "kspace")
    np.testing.assert_array_equal(found["kspace"], MANY)
    found = read_raw(write(tmp_path, attributes, kspace=ONE, **arrays), "kspace")
    np.testing.assert_array_equal(found["kspace"], ONE[:, None])
    assert isinstance(found, Planes)
    assert set(found) == {"kspace"} | (set(arrays) & {"mask"})


def test_reference_images_are_not_read_so_they_stop_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, kspace=MANY, reconstruction_rss=IMAGES * np.nan)
    np.testing.assert_array_equal(read_raw(path, "kspace")["kspace"], MANY)


def test_what_only_pads_k_space_was_not_measured(tmp_path: Path) -> None:
    padding = {"acquisition": "AXT2", "padding_left": 2, "padding_right": 7}
    found = read_raw(write(tmp_path, padding, kspace=MANY, mask=np.ones(8)), "kspace")
    np.testing.assert_array_equal(found["mask"], [0, 0, 1, 1, 1, 1, 1, 0])


def test_without_a_mark_three_axes_are_coils_as_before(tmp_path: Path) -> None:
    found = read_raw(write(tmp_path, kspace=ONE, sensitivities=ONE), "kspace")
    np.testing.assert_array_equal(found["kspace"], ONE)
    # One image of three coils: the reference says so.
    found = read_raw(write(tmp_path, kspace=ONE, reconstruction_rss=IMAGES[0]), "kspace")
    np.testing.assert_array_equal(found["kspace"], ONE[None])


@pytest.mark.parametrize(
    "arrays",
    [
        {"kspace": ONE, "reconstruction_rss": IMAGES[:2]},
        {"kspace": MANY.swapaxes(0, 1), "reconstruction_rss": IMAGES},
        {"kspace": ONE, "ismrmrd_header": HEADER, "sensitivities": ONE},
        {"kspace": MANY[None], "ismrmrd_header": HEADER},
    ],
    ids=["counts", "coils-first", "maps", "five-axes"],
)
def test_a_file_that_contradicts_itself_wants_its_axes(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    path = write(tmp_path, **arrays)
    with pytest.raises(InputError, match=r"scan\.h5 has k-space .* unclear; .*--axes"):
        read_raw(path, "kspace")
    np.testing.assert_array_equal(read_raw(path, "kspace", True)["kspace"], arrays["kspace"])


def test_text_beside_the_arrays_is_left_out_and_text_for_one_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", kspace=ONE, protocol=np.array("T2"), notes=np.array([b"a", b"b"]))
    assert list(read_raw(tmp_path / "a.npz", "kspace")) == ["kspace"]
    path = write(tmp_path, sinogram=np.ones((2, 3)), angles=np.ones(2), scanner="X")
    assert set(read_raw(path, "sinogram")) == {"sinogram", "angles"}
    np.savez(tmp_path / "b.npz", kspace=np.array("no"), mask=np.ones(3))
    for bad in (tmp_path / "b.npz", write(tmp_path, kspace="no")):
        with pytest.raises(InputError, match="in kspace; save numbers"):
            read_raw(bad, "kspace")


def test_an_array_called_dataset_makes_no_ismrmrd_file(tmp_path: Path) -> None:
    found = read_raw(write(tmp_path, dataset=np.ones(3), kspace=ONE), "kspace")
    np.testing.assert_array_equal(found["kspace"], ONE)


@pytest.mark.parametrize(
    "text",
    ["rows,columns,coils,slices", "coils, slices, columns, rows", "slices,rows,coils,columns"],
)
def test_named_axes_come_into_order(text: str) -> None:
    names = [name.strip() for name in text.split(",")]
    order = ["slices", "coils", "rows", "columns"]
    stored = MANY.transpose([order.index(name) for name in names])
    maps = MANY[0].transpose([order[1:].index(name) for name in names if name != "slices"])
    mask = np.arange(48).reshape(6, 8)
    turned = mask.T if names.index("columns") < names.index("rows") else mask
    arrays = {"kspace": stored, "sensitivities": maps, "mask": turned, "other": ONE}
    found = arranged(Path("x"), arrays, text, 2)
    np.testing.assert_array_equal(found["kspace"], MANY)
    np.testing.assert_array_equal(found["sensitivities"], MANY[:1])
    np.testing.assert_array_equal(found["mask"], mask)
    assert found["other"] is ONE


def test_axes_that_are_not_there_have_length_1_and_volumes_have_a_depth() -> None:
    slices = arranged(Path("x"), {"kspace": ONE}, "slices,rows,columns", 2)["kspace"]
    np.testing.assert_array_equal(slices, ONE[:, None])
    coils = arranged(Path("x"), {"kspace": ONE}, "coils,rows,columns", 2)["kspace"]
    np.testing.assert_array_equal(coils, ONE[None])
    volume = arranged(Path("x"), {"kspace": MANY}, "depth,coils,rows,columns", 3)["kspace"]
    np.testing.assert_array_equal(volume, MANY.swapaxes(0, 1)[None])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rows,columns", "names 2 axes"),
        ("rows,rows,columns", "each once"),
        ("slices,coils,rows", "rows, columns"),
        ("depth,rows,columns", "each once"),
        ("frames,rows,columns", "each once"),
    ],
)
def test_axes_that_do_not_fit_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        arranged(Path("x"), {"kspace": ONE}, text, 2)
