"""The data set emoji: its captions, and a split by caption."""

import numpy as np
import pytest

from unfog.data import open_dataset
from unfog.data.builtin.emoji import NAMES, PICTURES, captions_of, split_of, stem_of
from unfog.data.builtin.packages import is_fetched
from unfog.errors import InputError

fetched = pytest.mark.skipif(
    not (is_fetched(PICTURES) and is_fetched(NAMES)), reason="emoji is not fetched"
)


def test_the_split_is_by_the_stem_of_a_caption():
    tones = ("light", "medium-light", "medium", "medium-dark", "dark")
    for name in ("waving hand", "woman firefighter", "person", "handshake", "pilot"):
        variants = [f"{name} {tone} skin tone" for tone in tones]
        assert {stem_of(caption) for caption in variants} == {name}
        assert {split_of(caption) for caption in variants} == {split_of(name)}
    assert stem_of("people holding hands light skin tone dark skin tone") == "people holding hands"
    assert stem_of("woman dark skin tone red hair") == "woman red hair"
    names = [f"name {k}" for k in range(3000)]
    held_out = sum(split_of(name) == "test" for name in names)
    assert abs(held_out / 3000 - 1 / 6) < 0.03


@fetched
def test_captions_are_names_with_flags_and_variants():
    names = ["2764-fe0f", "1f1eb-1f1f7", "1f44b-1f3ff", "1f3f4-e0067_e0062_e0073_e0063_e0074"]
    assert captions_of([*names, "1f468-200d-1f692"]) == [
        "red heart",
        "flag of France",
        "waving hand dark skin tone",
        "flag of Scotland",
        "man firefighter",
    ]


@fetched
def test_the_splits_share_no_stem_and_make_the_whole():
    parts = {name: open_dataset("emoji", split=name) for name in ("train", "test", "all")}
    assert [len(parts[name]) for name in ("train", "test", "all")] == [2796, 595, 3391]
    stems = {name: {stem_of(caption) for caption in part.captions} for name, part in parts.items()}
    assert not stems["train"] & stems["test"]
    assert set(parts["train"].files) | set(parts["test"].files) == set(parts["all"].files)
    assert len({part.fingerprint for part in parts.values()}) == 3


@fetched
def test_a_picture_is_what_its_caption_says_on_white():
    data = open_dataset("emoji", split="all", size=16)
    assert data.shape == (3, 16, 16)
    colours = {
        name: data.batch([data.captions.index(f"{name} heart")])["x"][0, :, 6, 8]
        for name in ("red", "green", "blue")
    }
    assert [int(colours[name].argmax()) for name in ("red", "green", "blue")] == [0, 1, 2]
    corners = data.arrays["x"][:, :, 0, 0]
    assert np.mean(corners.min(1) > 250) > 0.9
    with pytest.raises(InputError, match="4 to 256 pixels, not 2"):
        open_dataset("emoji", size=2)
    with pytest.raises(InputError, match="must be one of train, test, all"):
        open_dataset("emoji", split="validation")
