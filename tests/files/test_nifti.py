"""NIfTI: what is damaged is refused before anything is allocated; what is written keeps its place
in the world.
"""

from __future__ import annotations

import gzip
import tempfile
import tracemalloc
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unfog.data import open_dataset
from unfog.errors import InputError
from unfog.files.nifti import new_volume, read_nifti, write_nifti
from unfog.files.orientation import upright

FIELDS = (
    "pixdim",
    "qform_code",
    "sform_code",
    "quatern_b",
    "quatern_c",
    "quatern_d",
    "qoffset_x",
    "srow_x",
    "srow_y",
    "srow_z",
    "xyzt_units",
)


def patched(path: Path, **fields: Any) -> Path:
    """The plain volume with raw header fields changed."""
    raw = bytearray(path.read_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for field, value in fields.items():
        header[field] = value
    raw[:348] = header.binaryblock
    path.write_bytes(raw)
    return path


def test_reads_as_nibabel(nifti: Path, image: nib.Nifti1Image) -> None:
    volume = read_nifti(nifti)
    np.testing.assert_array_equal(volume.data, image.get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(volume.affine, nib.load(nifti).affine)
    assert volume.notes == ()


def test_slope_is_applied(plain: Path) -> None:
    assert read_nifti(patched(plain, scl_slope=0.5, scl_inter=-3)).data[0, 0, 1] == pytest.approx(
        -2.5
    )


@pytest.mark.parametrize("cut", [1, 4, 8, 40])
def test_truncated_gzip(nifti: Path, cut: int) -> None:
    nifti.write_bytes(nifti.read_bytes()[:-cut])
    with pytest.raises(InputError, match=r"head\.nii\.gz is truncated"):
        read_nifti(nifti)


def test_every_flipped_bit_of_the_stream(nifti: Path, image: nib.Nifti1Image) -> None:
    raw = nifti.read_bytes()
    for place in range(12, len(raw), 7):  # past gzip's own header, whose time and name mean nothing
        damaged = bytearray(raw)
        damaged[place] ^= 4
        nifti.write_bytes(damaged)
        with suppress(InputError):  # a bit of the file's name in gzip's header changes nothing
            np.testing.assert_array_equal(read_nifti(nifti).data, image.get_fdata())


def test_truncated_plain(plain: Path) -> None:
    plain.write_bytes(plain.read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated"):
        read_nifti(plain)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"dim": [3, 10000, 10000, 10000, 1, 1, 1, 1]}, "claims 1000000000000 voxels"),
        ({"dim": [3, 600, 600, 600, 1, 1, 1, 1]}, "cannot hold them"),
        ({"dim": [3, 0, 5, 4, 1, 1, 1, 1]}, "dim"),
        ({"dim": [3, -6, 5, 4, 1, 1, 1, 1]}, "dim"),
        ({"dim": [9, 6, 5, 4, 1, 1, 1, 1]}, "dim|header"),
        ({"vox_offset": 10}, "vox_offset"),
        ({"vox_offset": 1e9}, "vox_offset"),
        ({"vox_offset": np.nan}, "vox_offset"),
        ({"datatype": 32}, "datatype"),
        ({"datatype": 77}, "datatype"),
        ({"scl_slope": 1, "scl_inter": np.inf}, "scl_inter"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "affine"),
        ({"srow_x": [0, 0, 0, 0]}, "singular"),
        ({"srow_x": [0, 2, 0, 0], "srow_y": [0, 1, 0, 0]}, "singular"),
        ({"sform_code": 0, "quatern_b": 2}, "qform"),
        ({"magic": b"xyz"}, "not a single-file NIfTI"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_lies_is_refused_before_allocation(
    plain: Path, fields: dict[str, Any], word: str, packed: bool
) -> None:
    path = patched(plain, **fields)
    if packed:
        path = path.with_suffix(".nii.gz")
        path.write_bytes(gzip.compress(plain.read_bytes()))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=word) as refusal:
            read_nifti(path)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert path.name in str(refusal.value)
    assert str(path.parent) not in str(refusal.value)


def test_a_gzip_bomb_is_not_unpacked(plain: Path) -> None:
    path = plain.with_suffix(".nii.gz")
    path.write_bytes(gzip.compress(plain.read_bytes() + bytes(3 << 20)))
    with pytest.raises(InputError, match="goes on after"):
        read_nifti(path)


def test_forms_that_disagree_and_no_forms_warn(plain: Path) -> None:
    with pytest.warns(UserWarning, match="disagree by up to .* mm; the sform is used"):
        volume = read_nifti(patched(plain, qoffset_x=90))
    np.testing.assert_allclose(volume.affine[0, 3], 20)
    with pytest.warns(UserWarning, match="states no orientation"):
        assert read_nifti(patched(plain, qform_code=0, sform_code=0)).notes


def loaded(path: Path) -> nib.Nifti1Image:
    """The file by nibabel's own loader."""
    return nib.Nifti1Image.from_filename(path)


@pytest.mark.parametrize("form", ["qform", "sform", "both"])
@pytest.mark.parametrize(
    ("pixdim", "word"),
    [
        ({0: 0}, r"pixdim\[0\] = 0; it is taken as 1"),
        ({0: 3}, r"pixdim\[0\] = 3; it is taken as 1"),
        ({0: np.nan}, r"pixdim\[0\] = nan; it is taken as 1"),
        ({1: -1.5}, "voxel sizes of -1.5, .* are taken"),
        ({2: -1.3, 3: -2}, "voxel sizes of .*, -1.3, -2 in pixdim; .*, 1.3, 2 are taken"),
        ({3: 0}, "voxel sizes of .*, 0 in pixdim; .*, 1 are taken"),
    ],
)
def test_what_nibabel_mends_is_mended_alike_and_noted(
    plain: Path, tmp_path: Path, form: str, pixdim: dict[int, float], word: str
) -> None:
    header = nib.load(plain).header
    sizes = header["pixdim"].copy()
    for place, value in pixdim.items():
        sizes[place] = value
    codes = {"qform": {"sform_code": 0}, "sform": {"qform_code": 0}, "both": {}}[form]
    path = patched(plain, pixdim=sizes, **codes)
    with pytest.warns(UserWarning, match=word):
        volume = read_nifti(path)
    np.testing.assert_array_equal(volume.affine, loaded(path).affine)
    np.testing.assert_array_equal(volume.header["pixdim"], loaded(path).header["pixdim"])
    # What is written on its grid needs no mending.
    out = write_nifti(tmp_path / "out.nii", volume.data, volume)
    np.testing.assert_array_equal(loaded(out).affine, volume.affine)
    assert not any("pixdim" in note for note in read_nifti(out).notes)


@pytest.mark.parametrize(
    "fields",
    [{"quatern_b": 2}, {"qoffset_y": np.nan}, {"pixdim": [1, np.inf, 1, 1, 1, 1, 1, 1]}],
)
def test_an_unusable_qform_beside_an_sform_is_a_note(
    plain: Path, tmp_path: Path, fields: dict[str, Any]
) -> None:
    with pytest.warns(UserWarning, match="unusable qform .*; its sform is used"):
        volume = read_nifti(patched(plain, **fields))
    np.testing.assert_array_equal(volume.affine, nib.load(plain).header.get_sform())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = read_nifti(write_nifti(tmp_path / "out.nii", volume.data, volume))
    np.testing.assert_array_equal(out.affine, volume.affine)
    assert int(out.header["qform_code"]) == 0


@pytest.mark.parametrize("fields", [{"quatern_b": 2}, {"qoffset_y": np.nan}])
def test_an_unusable_qform_that_is_not_stated_says_nothing(
    plain: Path, fields: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_nifti(patched(plain, qform_code=0, **fields)).notes == ()


@pytest.mark.parametrize("code", [-1, 6, 200])
def test_a_code_of_no_known_space_counts_as_none(plain: Path, code: int) -> None:
    with pytest.warns(UserWarning, match=f"unknown sform_code {code}"):
        volume = read_nifti(patched(plain, sform_code=code, qoffset_x=90))
    np.testing.assert_array_equal(volume.affine, loaded(plain).affine)
    assert volume.affine[0, 3] == 90


def test_without_codes_the_first_axis_is_left_and_the_note_says_so(plain: Path) -> None:
    with pytest.warns(UserWarning, match="left, anterior, superior, as nibabel and SPM do"):
        volume = read_nifti(patched(plain, qform_code=0, sform_code=0))
    np.testing.assert_array_equal(volume.affine, loaded(plain).affine)
    assert nib.aff2axcodes(volume.affine) == ("L", "A", "S")
    np.testing.assert_array_equal(upright(volume), volume.data[::-1])


def test_non_finite_voxels_are_counted(tmp_path: Path) -> None:
    data = np.ones((4, 4, 4), np.float32)
    data[0, 0] = [np.nan, np.inf, -np.inf, 5]
    nib.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "a.nii")
    with pytest.warns(UserWarning, match="3 non-finite voxels of 64"):
        volume = read_nifti(tmp_path / "a.nii")
    assert volume.data[0, 0].tolist() == [0, 0, 0, 5]


def test_written_volumes_are_float32_and_anonymous(nifti: Path, tmp_path: Path) -> None:
    volume = read_nifti(nifti)
    out = write_nifti(tmp_path / "out.nii", volume.data + 0.25, volume)
    raw = nib.Nifti1Header(out.read_bytes()[:348], check=False)
    assert (float(raw["scl_slope"]), float(raw["scl_inter"]), int(raw["datatype"])) == (1, 0, 16)
    before = nib.load(nifti).header
    for field in FIELDS:
        np.testing.assert_array_equal(raw[field], before[field], field)
    assert b"JANE" not in out.read_bytes()
    np.testing.assert_array_equal(read_nifti(out).data, volume.data + 0.25)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_what_is_written_has_a_range_and_a_meaning_of_its_own(tmp_path: Path, kind: Any) -> None:
    """A noise map of 0.01 under a range of 10 to 4095 would be shown black, and a float map under
    the intent of labels as labels.
    """
    made = kind(np.zeros((4, 3, 2, 2), np.float32), np.eye(4))
    header = made.header
    header["cal_min"], header["cal_max"] = 10, 4095
    header.set_intent("t test", (7,), name="JANE")
    header["toffset"] = 3
    if "glmax" in header:
        header["glmin"], header["glmax"] = 5, 4095
    made.to_filename(tmp_path / "in.nii")
    volume = read_nifti(tmp_path / "in.nii")
    for name, data in (("series", volume.data), ("map", volume.data[..., 0] + 0.01)):
        out = nib.load(write_nifti(tmp_path / f"{name}.nii.gz", data, volume)).header
        ranged = {"cal_min", "cal_max", "glmin", "glmax"} & set(out)
        assert {float(out[field]) for field in ranged} == {0}
        assert out.get_intent() == ("none", (), "")
        assert [float(out[f"intent_p{k}"]) for k in (1, 2, 3)] == [0, 0, 0]
        assert float(out["toffset"]) == 3
    # The volume in memory says what its file says.
    assert float(volume.header["cal_max"]) == 4095


def test_nifti_2_and_four_dimensions(tmp_path: Path) -> None:
    made = nib.Nifti2Image(
        np.random.default_rng(0).normal(size=(4, 3, 2, 5)), np.diag([2, 2, 3, 1])
    )
    made.to_filename(tmp_path / "a.nii")
    volume = read_nifti(tmp_path / "a.nii")
    assert volume.data.shape == (4, 3, 2, 5)
    write_nifti(tmp_path / "b.nii.gz", volume.data[..., 0], volume)
    assert read_nifti(tmp_path / "b.nii.gz").data.shape == (4, 3, 2)


def test_outputs_are_refused(nifti: Path, tmp_path: Path) -> None:
    volume = read_nifti(nifti)
    before = nifti.read_bytes()
    with pytest.raises(InputError, match="also the input"):
        write_nifti(nifti, volume.data, volume, overwrite=True)
    assert nifti.read_bytes() == before
    write_nifti(tmp_path / "out.nii", volume.data, volume)
    with pytest.raises(InputError, match="exists"):
        write_nifti(tmp_path / "out.nii", volume.data, volume)
    with pytest.raises(InputError, match="own grid"):
        write_nifti(tmp_path / "other.nii", volume.data[1:], volume)
    assert not (tmp_path / "other.nii").exists()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-3.1, 3.1), min_size=3, max_size=3),
    st.lists(st.floats(0.3, 4), min_size=3, max_size=3),
    st.sampled_from(["scanner", "aligned", "talairach", "mni"]),
    st.sampled_from([".nii", ".nii.gz"]),
)
def test_round_trip_of_affine_and_codes(
    angles: list[float], zooms: list[float], code: str, suffix: str
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = nib.eulerangles.euler2mat(*angles) @ np.diag(zooms)
    affine[:3, 3] = [5, -7, 11]
    first = new_volume(np.zeros((3, 4, 2)), affine, code)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error")
        one = read_nifti(write_nifti(Path(folder) / f"one{suffix}", first.data, first))
        two = read_nifti(write_nifti(Path(folder) / f"two{suffix}", one.data, one))
    np.testing.assert_allclose(one.affine, affine, atol=1e-5)
    for field in FIELDS:
        np.testing.assert_array_equal(one.header[field], two.header[field])


def test_data_set_of_slices(tmp_path: Path) -> None:
    data = np.zeros((6, 8, 5), np.float32)
    data[1:5, 2:7, 1:4] = 100
    data[1, 6, 2] = 200  # left, anterior
    for name, flip in (
        ("a", [1, 1, 1]),
        ("b", [-1, -1, 1]),
    ):  # the same head stored in two orientations
        turned = data[:: flip[0], :: flip[1]]
        nib.Nifti1Image(turned, np.diag([*flip, 1.0])).to_filename(tmp_path / f"{name}.nii")
    found = open_dataset(tmp_path)
    assert (len(found), found.shape) == (6, (1, 8, 6))
    x = found.batch([0, 1, 2, 3, 4, 5])["x"]
    assert (float(x.min()), float(x.max())) == (0, 1)
    np.testing.assert_array_equal(x[:3], x[3:])
    assert x[1, 0, 1, 1] == 1  # anterior is up, left is left
    assert open_dataset(tmp_path, size=4).shape == (1, 4, 4)
    assert open_dataset(tmp_path, dims=3, size=[8, 8, 8]).shape == (1, 8, 8, 8)


def test_constant_and_one_slice_volumes_are_defined(tmp_path: Path) -> None:
    nib.Nifti1Image(np.full((4, 4, 1), 7, np.float32), np.eye(4)).to_filename(tmp_path / "a.nii")
    x = open_dataset(tmp_path / "a.nii", least=0).batch([0])["x"]
    assert x.shape == (1, 1, 4, 4)
    assert not x.any()
    with pytest.raises(InputError, match="least"):
        open_dataset(tmp_path / "a.nii")


def test_mixed_shapes_name_the_file(tmp_path: Path) -> None:
    for name, size in (("a", 4), ("b", 5)):
        nib.Nifti1Image(
            np.eye(size, dtype=np.float32)[..., None].repeat(3, 2), np.eye(4)
        ).to_filename(tmp_path / f"{name}.nii")
    with pytest.raises(InputError, match=r"b\.nii .*a\.nii"):
        open_dataset(tmp_path)


def test_upright_turns_data(nifti: Path) -> None:
    volume = read_nifti(nifti)
    np.testing.assert_array_equal(upright(volume), volume.data[::-1])
