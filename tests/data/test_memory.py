"""An array handed over in memory as a data set: shapes, range and classes, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unfog.data.dataset import open_dataset
from unfog.data.memory import Memory
from unfog.errors import InputError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("shape", "dims", "sample"),
    [
        ((4, 9), None, (1, 9)),
        ((4, 8, 9), None, (1, 8, 9)),
        ((4, 3, 8, 9), None, (3, 8, 9)),
        ((4, 2, 5, 8, 9), None, (2, 5, 8, 9)),
        ((4, 3, 9), 1, (3, 9)),
        ((4, 5, 8, 9), 3, (1, 5, 8, 9)),
    ],
)
def test_channels_are_found_by_the_number_of_axes(shape, dims, sample):
    x = RNG.random(shape, dtype=np.float32)
    data = Memory(torch.from_numpy(x), dims=dims)
    assert data.shape == sample
    assert np.array_equal(data.batch([1])["x"][0], x[1].reshape(sample))


def test_the_range_is_stated_or_measured():
    x = RNG.normal(size=(6, 8, 8))
    assert Memory(x).codec == {"name": "range", "low": x.min(), "high": x.max()}
    assert Memory(x, value_range=(-9, 9)).codec == {"name": "range", "low": -9.0, "high": 9.0}
    assert Memory((x * 9).astype(np.uint8)).codec["high"] == 255
    assert Memory(x).fingerprint != Memory(x, value_range=(-9, 9)).fingerprint
    assert Memory(x).fingerprint == Memory(torch.from_numpy(x)).fingerprint


def test_labels_are_a_condition():
    data = Memory(RNG.random((4, 8, 8)), labels=[0, 2, 1, 2])
    assert data.conditions == {"label": {"name": "class", "count": 3}}
    assert data.batch([1, 3])["label"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("x", "options", "words"),
    [
        (np.full((2, 8, 8), np.nan), {}, "128 values of 128 that are not finite"),
        (np.zeros((2, 8, 8), complex), {}, "real numbers"),
        (np.zeros((0, 8, 8)), {}, "at least one"),
        (np.zeros(5), {}, r"has shape \(5,\)"),
        (np.zeros((2, 8, 8)), {"dims": 4}, "dims must be one of 0, 1, 2, 3"),
        (np.zeros((2, 8, 8)), {"value_range": (1, 1)}, "low < high"),
        (np.zeros((2, 8, 8)), {"labels": [0.5, 1]}, "whole number"),
        (np.zeros((2, 8, 8)), {"labels": [0, -1]}, "whole number"),
        (np.zeros((2, 8, 8)), {"labels": [0]}, "each of 2 samples"),
    ],
)
def test_refused_in_one_sentence(x, options, words):
    with pytest.raises(InputError, match=words) as error:
        Memory(x, **options)
    assert "\n" not in str(error.value)


def test_the_name_alone_opens_nothing():
    with pytest.raises(InputError, match="hand it over again"):
        open_dataset("memory")
