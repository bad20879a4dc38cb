"""Shards: all of the work, disjoint, and even; samples of a shard are the whole's, byte for
byte.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.commands import invoke

from unfog.core.shard import Shard
from unfog.errors import InputError


@given(st.integers(0, 500), st.integers(1, 40))
def test_shards_are_all_disjoint_and_even(total, count):
    shares = [Shard(i, count).of(total) for i in range(1, count + 1)]
    assert [k for share in shares for k in share] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "1", "a/b", "-1/2", "1/2/3", ""])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(InputError, match="--shard"):
        Shard.parse(text)


def test_samples_of_shards_are_the_whole_s(run, tmp_path):
    line = f"sample {run} -n 37 --steps 2"
    assert invoke(f"{line} --out {tmp_path / 'whole'}")[0] == 0
    arrays, seen = [], set()
    for i in (1, 2, 3):
        out = tmp_path / f"shard-{i}"
        assert invoke(f"{line} --shard {i}/3 --out {out}")[0] == 0
        arrays.append(np.load(out / "samples.npy"))
        for picture in out.glob("sample-*.png"):
            assert picture.read_bytes() == (tmp_path / "whole" / picture.name).read_bytes()
            seen.add(picture.name)
    assert np.concatenate(arrays).tobytes() == np.load(tmp_path / "whole/samples.npy").tobytes()
    assert seen == {path.name for path in (tmp_path / "whole").glob("sample-*.png")}


@pytest.mark.parametrize("shard", ["3/2", "1/4"])
def test_a_shard_out_of_range_is_one_sentence(run, tmp_path, shard):
    out = tmp_path / "out"
    status, _, told = invoke(f"sample {run} -n 37 --steps 2 --shard {shard} --out {out}")
    assert (status, told.count("\n"), out.exists()) == (2, 1, False)
    assert "--shard is out of range" in told
