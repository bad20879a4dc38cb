"""Squares of the photographs: strips that share nothing, and every square in its place."""

import numpy as np
import pytest

from unfog.data.builtin.textures import Textures
from unfog.errors import InputError


@pytest.mark.parametrize(
    ("split", "first", "stride", "count"),
    [
        ("train", 0, 8, 57 * 33),
        ("validation", 328, 64, 8),
        ("test", 408, 64, 8),
        ("test", 408, 8, 57 * 6),
    ],
)
def test_squares_lie_where_they_should(split, first, stride, count):
    from skimage import data

    found = Textures(split, 8) if (split, stride) == ("test", 8) else Textures(split)
    assert len(found) == 3 * count
    x = found.batch(range(len(found)))["x"]
    assert x.shape[1:] == (1, 64, 64)
    across = count // (1 + (512 - 64) // stride)
    if split == "test":
        assert (found.fingerprint == Textures("test").fingerprint) == (stride == 64)
    for number, name in enumerate(("brick", "grass", "gravel")):
        k = count - 1  # the last square of a photograph: the lowest row, furthest right
        row, column = k // across * stride, first + k % across * stride
        square = 255 * x[number * count + k, 0].numpy()
        np.testing.assert_allclose(
            square, getattr(data, name)()[row : row + 64, column : column + 64], atol=1e-4
        )
        assert column + 64 <= {"train": 320, "validation": 400, "test": 512}[split]
    assert found.photograph.tolist() == sorted(found.photograph.tolist())


def test_a_split_or_stride_that_is_none_is_refused():
    with pytest.raises(InputError, match="split of textures"):
        Textures("all")
    with pytest.raises(InputError, match="stride of textures is 1 to 64 pixels, not 0"):
        Textures("test", 0)
