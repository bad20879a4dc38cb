"""The contract of a data set, and how names and paths become one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unfog.core.codec import codecs
from unfog.core.conditions import conditions
from unfog.data import ArrayDataset, datasets, open_dataset
from unfog.errors import InputError

CODEC = {"name": "range", "low": 0, "high": 255}


def test_array_data_set() -> None:
    x = np.arange(2 * 3 * 4 * 5, dtype=np.uint8).reshape(2, 3, 4, 5)
    data = ArrayDataset(
        "a", x, CODEC, {"label": {"name": "class", "count": 2}}, {"label": np.array([1, 0])}
    )
    batch = data.batch([1, 0, 1])
    assert (len(data), data.shape) == (2, (3, 4, 5))
    assert (batch["x"].dtype, batch["label"].tolist()) == (torch.float32, [0, 1, 0])
    np.testing.assert_array_equal(batch["x"], x[[1, 0, 1]])
    torch.testing.assert_close(data.batch(torch.tensor([1]))["x"], batch["x"][:1])


def test_fingerprint_is_of_content_and_options() -> None:
    x = np.zeros((2, 1, 4, 4), np.float32)
    changed = x.copy()
    changed[1, 0, 3, 3] = 1e-6
    prints = [
        ArrayDataset("a", a, CODEC, options=o).fingerprint
        for a, o in ((x, {}), (x, {}), (changed, {}), (x, {"size": 4}))
    ]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


@pytest.mark.parametrize("ids", [[-1], [2], [0, 5]])
def test_numbers_out_of_range(ids: list[int]) -> None:
    with pytest.raises(InputError, match="samples 0 to 1"):
        ArrayDataset("a", np.zeros((2, 1, 4)), CODEC).batch(ids)


def test_arrays_that_do_not_fit() -> None:
    with pytest.raises(InputError, match="at least one"):
        ArrayDataset("a", np.zeros((0, 1, 4)), CODEC)
    with pytest.raises(InputError, match="one value a sample"):
        ArrayDataset(
            "a",
            np.zeros((2, 1, 4)),
            CODEC,
            {"label": {"name": "class", "count": 2}},
            {"label": np.zeros(3)},
        )


def test_digits() -> None:
    data = open_dataset("digits")
    batch = data.batch(range(len(data)))
    assert batch["x"].shape == (1797, 1, 8, 8)
    encoded = codecs.build(data.codec).encode(batch["x"])
    assert (float(encoded.min()), float(encoded.max())) == (-1, 1)
    assert conditions.build(data.conditions["label"], width=4)(
        batch["label"], None, encoded
    ).vector.shape == (1797, 4)


def test_names_and_paths(tmp_path: Path) -> None:
    assert {"arrays", "digits", "fashion-mnist", "images", "mni-t1", "nifti"} <= set(
        datasets.names()
    )
    with pytest.raises(InputError, match="no data set and no file"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(InputError, match="holds no pictures"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="key of data set 'digits' 'size'"):
        open_dataset({"name": "digits", "size": 3})


def test_npy_and_npz(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 60000, (5, 6, 7)).astype(np.uint16)
    np.save(tmp_path / "a.npy", x)
    data = open_dataset(tmp_path / "a.npy")
    np.testing.assert_array_equal(data.batch(range(5))["x"][:, 0], x)
    assert data.codec["high"] == 65535
    np.savez_compressed(tmp_path / "b.npz", x=x[:, None] / 1000 - 3, y=np.arange(5) % 3)
    data = open_dataset(tmp_path / "b.npz", label="y")
    assert data.conditions == {"label": {"name": "class", "count": 3}}
    assert (data.shape, data.batch([4])["label"].tolist()) == ((1, 6, 7), [1])
    assert data.codec["low"] == pytest.approx(float(data.batch(range(5))["x"].min()), abs=1e-5)
    with pytest.raises(InputError, match="holds no array 'z'"):
        open_dataset(tmp_path / "b.npz", key="z")


def test_arrays_that_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    cases: list[tuple[np.ndarray, str]] = [
        (np.array([1.0, np.nan, np.inf, 4]).reshape(1, 2, 2), "2 non-finite values of 4"),
        (np.array([{}, []], dtype=object), "Python objects"),
        (np.zeros((2, 4, 4), complex), "complex"),
        (np.zeros((2, 32, 32, 3)), "channels last"),
        (np.zeros((2, 32)), "dims=2"),
    ]
    for array, word in cases:
        np.save(path, array)
        with pytest.raises(InputError, match=rf"a\.npy .*{word}"):
            open_dataset(path)
    np.save(path, np.zeros((2, 4, 4)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated"):
        open_dataset(path)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_an_array_header_that_lies(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    (np.save if suffix == "npy" else np.savez)(path, np.zeros((2, 4, 4)))
    raw = path.read_bytes().replace(
        b"'shape': (2, 4, 4), }" + b" " * 8, b"'shape': (2000000, 400, 400), }"[:29].ljust(29)
    )
    path.write_bytes(raw.replace(b"(2000000, 400, 400), ", b"(2000000, 4000, 40)} "))
    with pytest.raises(InputError, match=rf"a\.{suffix}"):
        open_dataset(path)
