"""ISMRMRD as scanners write it: every line comes to its place, whatever way it was read out, and
every image is one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unfog.errors import InputError
from unfog.files.raw import read_raw

ismrmrd = pytest.importorskip("ismrmrd")
N = 16
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><experimentalConditions><H1resonanceFrequency_Hz>1
</H1resonanceFrequency_Hz></experimentalConditions><encoding><encodedSpace><matrixSize><x>16</x><y>6</y><z>1</z></matrixSize>
<fieldOfView_mm><x>2</x><y>1</y><z>1</z></fieldOfView_mm></encodedSpace><reconSpace><matrixSize><x>{wide}</x><y>6</y><z>1</z></matrixSize>
<fieldOfView_mm><x>1</x><y>1</y><z>1</z></fieldOfView_mm></reconSpace><encodingLimits><kspace_encoding_step_1><minimum>0</minimum>
<maximum>5</maximum><center>3</center></kspace_encoding_step_1></encodingLimits><trajectory>cartesian</trajectory></encoding>
</ismrmrdHeader>"""
RANDOM = np.random.default_rng(0)
KSPACE = (RANDOM.normal(size=(4, 2, 6, N)) + 1j * RANDOM.normal(size=(4, 2, 6, N))).astype(
    np.complex64
)
Line = tuple[np.ndarray[Any, Any], dict[str, int], tuple[int, ...]]


def line(samples: np.ndarray[Any, Any], *flags: int, **fields: int) -> Line:
    return samples, fields, flags


def read(path: Path, lines: Iterator[Line], wide: int = N) -> np.ndarray[Any, Any]:
    """What is read of a file with these lines: samples (coils, n), fields and flags of each."""
    file = ismrmrd.Dataset(str(path / "scan.h5"))
    file.write_xml_header(HEADER.format(wide=wide).encode())
    for samples, fields, flags in lines:
        one = ismrmrd.Acquisition.from_array(np.ascontiguousarray(samples))
        for name, value in fields.items():
            setattr(one.idx if hasattr(one.idx, name) else one, name, value)
        for flag in flags:
            one.set_flag(flag)
        file.append_acquisition(one)
    file.close()
    return np.asarray(read_raw(path / "scan.h5", "kspace")["kspace"])


def rows(make: Callable[[int], Line]) -> Iterator[Line]:
    """A line of every row."""
    for row in range(6):
        samples, fields, flags = make(row)
        yield samples, {"kspace_encode_step_1": row, **fields}, flags


JUNK = np.full((2, 3), 99, np.complex64)


@pytest.mark.parametrize(
    "make",
    [
        lambda x: line(x),
        lambda x: line(x[:, ::-1], ismrmrd.ACQ_IS_REVERSE, center_sample=N // 2),
        lambda x: line(np.hstack([JUNK, x]), discard_pre=3, center_sample=N // 2 + 3),
        lambda x: line(np.hstack([x, JUNK]), discard_post=3, center_sample=N // 2),
        lambda x: line(
            np.hstack([JUNK, x[:, ::-1], JUNK[:, :1]]),
            ismrmrd.ACQ_IS_REVERSE,
            discard_pre=3,
            discard_post=1,
        ),
    ],
    ids=["plain", "backwards", "discard-pre", "discard-post", "backwards-discard"],
)
def test_a_whole_line_is_read_in_the_order_of_k_space(
    tmp_path: Path, make: Callable[[np.ndarray[Any, Any]], Line]
) -> None:
    found = read(tmp_path, rows(lambda row: make(KSPACE[0, :, row])))
    np.testing.assert_array_equal(found, KSPACE[:1])


@pytest.mark.parametrize(
    ("part", "make"),
    [
        (slice(5, N), lambda x: line(x[:, 5:], center_sample=3)),
        (slice(0, 11), lambda x: line(x[:, :11], center_sample=8)),
        (slice(5, N), lambda x: line(x[:, :4:-1], ismrmrd.ACQ_IS_REVERSE, center_sample=3)),
        (slice(5, N), lambda x: line(x[:, :4:-1], ismrmrd.ACQ_IS_REVERSE, center_sample=7)),
        (slice(5, N), lambda x: line(np.hstack([JUNK, x[:, 5:]]), discard_pre=3, center_sample=6)),
        (slice(3, N), lambda x: line(np.hstack([JUNK, x[:, 3:]]), discard_pre=3)),
    ],
    ids=["late", "early", "backwards", "backwards-as-stored", "discard", "discard-of-a-whole-line"],
)
def test_a_partial_echo_lies_where_its_centre_says(
    tmp_path: Path, part: slice, make: Callable[[np.ndarray[Any, Any]], Line]
) -> None:
    found = read(tmp_path, rows(lambda row: make(KSPACE[0, :, row])))
    expected = np.zeros_like(KSPACE[:1])
    expected[..., part] = KSPACE[:1, ..., part]
    np.testing.assert_array_equal(found, expected)


def test_columns_that_were_not_measured_stay_so_when_oversampling_is_cropped(
    tmp_path: Path,
) -> None:
    """The image fills the middle half of the columns, so that every other one of a whole line
    would be exact; of a partial one what was measured is within 2 %, and the rest is 0.
    """
    image = np.zeros((2, 6, N), np.complex64)
    image[..., 4:12] = np.hanning(8)
    shift = np.fft.ifftshift(image, -1)
    wide = np.fft.fftshift(np.fft.fft(shift, norm="ortho"), -1).astype(np.complex64)
    narrow = np.fft.fft(np.fft.ifftshift(image[..., 4:12], -1), norm="ortho")
    narrow = np.fft.fftshift(narrow, -1)
    lines = rows(lambda row: line(wide[:, row, 5:], center_sample=3))
    found = read(tmp_path, lines, 8)[0]
    assert not found[..., :3].any()
    assert np.abs(found - narrow)[..., 3:].max() < 0.02 * np.abs(narrow).max()


FLAGS = [
    "NOISE_MEASUREMENT",
    "PARALLEL_CALIBRATION",
    "NAVIGATION_DATA",
    "PHASECORR_DATA",
    "HPFEEDBACK_DATA",
    "DUMMYSCAN_DATA",
    "RTFEEDBACK_DATA",
    "SURFACECOILCORRECTIONSCAN_DATA",
]


@pytest.mark.parametrize("flag", FLAGS)
def test_what_is_no_line_of_the_image_is_left_out(tmp_path: Path, flag: str) -> None:
    other = line(np.full((3, 5), 99, np.complex64), getattr(ismrmrd, f"ACQ_IS_{flag}"), slice=7)
    lines = [other, *rows(lambda row: line(KSPACE[0, :, row])), other]
    np.testing.assert_array_equal(read(tmp_path, iter(lines)), KSPACE[:1])


@pytest.mark.parametrize("counter", ["repetition", "contrast", "phase", "set", "slice"])
def test_every_counter_but_averages_makes_images_of_their_own(tmp_path: Path, counter: str) -> None:
    def lines() -> Iterator[Line]:
        for k in (2, 0):  # in no order, and with a gap
            yield from rows(lambda row, k=k: line(KSPACE[k, :, row], **{counter: k}))  # type: ignore[misc]

    np.testing.assert_array_equal(read(tmp_path, lines()), KSPACE[[0, 2]])


def test_repetitions_of_several_slices_follow_each_other_and_averages_are_averaged(
    tmp_path: Path,
) -> None:
    def lines() -> Iterator[Line]:
        for k in range(4):
            for average in (0, 1):  # the first holds nothing
                counters = {"repetition": k // 2, "slice": k % 2, "average": average}
                for row in range(6):
                    yield line(average * KSPACE[k, :, row], kspace_encode_step_1=row, **counters)

    np.testing.assert_array_equal(read(tmp_path, lines()), KSPACE / 2)


def test_what_cannot_be_placed_is_refused(tmp_path: Path) -> None:
    def refused(name: str, words: str, lines: Iterator[Line]) -> None:
        (tmp_path / name).mkdir()
        with pytest.raises(InputError, match=words):
            read(tmp_path / name, lines)

    whole = KSPACE[0]
    refused("unsaid", "center_sample says", rows(lambda row: line(whole[:, row, 5:])))
    refused("out", "center_sample", rows(lambda row: line(whole[:, row, 5:], center_sample=10)))
    refused("long", "16 samples", rows(lambda row: line(np.hstack([whole[:, row], JUNK]))))
    refused("coils", "numbers of coils", rows(lambda row: line(whole[: 1 + row % 2, row])))
    deep = rows(lambda row: line(whole[:, row], kspace_encode_step_2=row))
    refused("3d", "kspace_encode_step_2", deep)
    cut = [line(whole[:, 0], repetition=0, slice=k) for k in (0, 1)]
    cut.append(line(whole[:, 0], repetition=1))
    refused("cut", "1 slices in repetition 1.* 2 in the first", iter(cut))
    noise = line(whole[:, 0], ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    refused("noise", "no line of an image", iter([noise]))
