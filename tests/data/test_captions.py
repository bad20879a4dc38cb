"""Captions of a folder of pictures: a table, a text beside each, or the file's name."""

import json

import numpy as np
import pytest
from PIL import Image

from unfog.data import open_dataset
from unfog.errors import InputError

NAMES = ("001_red-heart.png", "b/Blue_Heart_2.png", "cat (3).png")
TEXTS = ("a red heart", "a blue heart, twice", "ein Kätzchen")


@pytest.fixture
def folder(tmp_path):
    for place, name in enumerate(NAMES):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), 40 * place, np.uint8)).save(path)
    return tmp_path / "pictures"


def captions(folder, **options):
    data = open_dataset(folder, captions=True, **options)
    # In the order of the pictures, whose values tell them apart.
    order = [int(data.batch([k])["x"][0, 0, 0, 0]) // 40 for k in range(len(data))]
    return [data.captions[order.index(k)] for k in range(len(data))]


def csv_table(folder):
    lines = [f'{name},"{text}"' for name, text in zip(NAMES, TEXTS, strict=True)]
    (folder / "captions.csv").write_text("\n".join(["file_name,text", *lines]), "utf-8")


def jsonl_table(folder, name="metadata.jsonl"):
    rows = [{"file_name": n, "text": t} for n, t in zip(NAMES, TEXTS, strict=True)]
    (folder / name).write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")


def texts_beside(folder):
    for name, text in zip(NAMES, TEXTS, strict=True):
        (folder / name).with_suffix(".txt").write_text(f" {text}\n", "utf-8")


@pytest.mark.parametrize("write", [csv_table, jsonl_table, texts_beside])
def test_captions_are_those_of_their_pictures(write, folder):
    write(folder)
    assert captions(folder) == list(TEXTS)


def test_without_any_the_names_are_captions(folder):
    assert captions(folder) == ["red heart", "Blue Heart", "cat"]


def test_a_table_elsewhere_is_named(folder):
    jsonl_table(folder, "other.jsonl")
    data = open_dataset(folder, captions=str(folder / "other.jsonl"))
    assert set(data.captions) == set(TEXTS)


def test_captions_are_of_the_data_and_not_there_unless_asked(folder):
    csv_table(folder)
    plain, told = open_dataset(folder), open_dataset(folder, captions=True)
    assert plain.captions is None
    assert plain.fingerprint != told.fingerprint
    (folder / "captions.csv").write_text(
        (folder / "captions.csv").read_text("utf-8").replace("blue", "green"), "utf-8"
    )
    assert open_dataset(folder, captions=True).fingerprint != told.fingerprint


def _absent(folder):
    csv_table(folder)
    with (folder / "captions.csv").open("a") as table:
        table.write("\ngone.png,a ghost")


def _missed(folder):
    csv_table(folder)
    text = (folder / "captions.csv").read_text("utf-8").splitlines()
    (folder / "captions.csv").write_text("\n".join(text[:-1]), "utf-8")


def _no_text(folder):
    (folder / "captions.csv").write_text("file_name,label\n001_red-heart.png,3\n")


def _no_json(folder):
    (folder / "captions.jsonl").write_text("file_name,text\n")


def _missed_text(folder):
    texts_beside(folder)
    (folder / NAMES[2]).with_suffix(".txt").unlink()


def _empty_text(folder):
    texts_beside(folder)
    (folder / NAMES[2]).with_suffix(".txt").write_text("\n")


def _no_words(folder):
    (folder / NAMES[2]).rename(folder / "0003.png")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_absent, "captions.csv names gone.png, which is not among the pictures"),
        (_missed, r"no caption for cat \(3\).png \(1 of 3"),
        (_no_text, "Entry 1 of captions.csv lacks its file_name or its text"),
        (_no_json, "captions.jsonl is not JSON, one object a line"),
        (_missed_text, r"there is no cat \(3\).txt beside it"),
        (_empty_text, r"cat \(3\).txt holds no caption"),
        (_no_words, "The name 0003.png has no words"),
    ],
)
def test_bad_captions_are_one_sentence(spoil, message, folder):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        open_dataset(folder, captions=True)


def test_pictures_of_several_sizes_need_a_size(folder):
    Image.fromarray(np.zeros((8, 6, 3), np.uint8)).save(folder / "wide dog.png")
    with pytest.raises(InputError, match="or give size=N"):
        open_dataset(folder, captions=True)
    assert open_dataset(folder, captions=True, size=4).shape == (3, 4, 4)
