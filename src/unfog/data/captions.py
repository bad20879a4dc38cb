"""Captions of a folder of pictures or volumes: from a table beside them, from columns of one, from
a text beside each, or from the files' names.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from unfog.data.caption_columns import of_columns
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.text import read_text

# Tables by name, the first one found counts: ours, then that of ``datasets``' imagefolder.
TABLES = ("captions.csv", "captions.jsonl", "metadata.jsonl", "metadata.csv")
PARTICIPANTS = "participants.tsv"  # of a BIDS data set
FILE_KEYS, TEXT_KEYS = ("file_name", "file", "filename"), ("text", "caption")


def read_captions(
    folder: Path,
    files: Sequence[Path],
    source: bool | str,
    columns: Sequence[str] = (),
    names: bool = True,
) -> tuple[str, ...]:
    """The caption of each picture.

    With a table, each picture has a row of it: columns ``file_name``, relative to the table, and
    ``text``. Without one, ``NAME.txt`` beside ``NAME.png`` holds the caption, as in webdataset;
    where there are no such texts, the file's name is it, without numbers and marks. With columns
    each caption is made of those of its row (``data.caption_columns``), in a table with file names
    or in BIDS' participants.tsv.

    Args:
        folder: The folder of the pictures.
        files: The pictures.
        source: True to look for all of these in turn, or the path of a table.
        columns: Columns of the table that the captions are made of.
        names: Whether the files' names may be captions; those of patients' files may not.

    Returns:
        The captions, in the order of the pictures.

    Raises:
        InputError: The table names a picture that is not there, or misses one; a caption is empty;
            or a table or text cannot be read.
    """
    if isinstance(source, str):
        return _of_table(Path(source), files, columns)
    for name in (PARTICIPANTS, *TABLES) if columns else TABLES:
        if (folder / name).is_file():
            return _of_table(folder / name, files, columns)
    if columns:
        raise InputError(
            f"{folder.name} holds no table with a column {columns[0]}; put {PARTICIPANTS} or "
            f"{TABLES[0]} there, or name one: --set data.captions=TABLE."
        )
    texts = [file.with_suffix(".txt") for file in files]
    if any(text.is_file() for text in texts):
        return tuple(_from_text(file, text) for file, text in zip(files, texts, strict=True))
    if not names:
        raise InputError(
            f"{folder.name} holds no captions, and names of scans may name a patient; give "
            "--set data.captions=TABLE, or data.caption_column=NAME."
        )
    return tuple(_from_name(file) for file in files)


def _of_table(table: Path, files: Sequence[Path], columns: Sequence[str]) -> tuple[str, ...]:
    """The captions in a table, or in columns of one."""
    read = _READERS.get(table.suffix.lower())
    if read is None or not table.is_file():
        raise InputError(
            f"There is no table of captions {table}; give a .csv, .tsv or .jsonl file."
        )
    rows = read(table)
    return of_columns(table, rows, files, columns) if columns else _from_rows(table, rows, files)


def _from_rows(
    table: Path, rows: Sequence[dict[str, str]], files: Sequence[Path]
) -> tuple[str, ...]:
    """The captions in a table of one row a picture."""
    captions: dict[Path, str] = {}
    for number, row in enumerate(rows, 1):
        name = next((row[key] for key in FILE_KEYS if row.get(key)), None)
        text = next((row[key] for key in TEXT_KEYS if row.get(key)), None)
        if name is None or text is None or not str(text).strip():
            raise InputError(
                f"Entry {number} of {table.name} lacks its file_name or its text; each picture "
                "needs both."
            )
        captions[(table.parent / str(name)).resolve()] = str(text).strip()
    places = [file.resolve() for file in files]
    if absent := sorted(set(captions) - set(places)):
        raise InputError(
            f"{table.name} names {absent[0].name}, which is not among the pictures; take out its "
            "row or add the picture."
        )
    if missed := [place for place in places if place not in captions]:
        raise InputError(
            f"{table.name} has no caption for {missed[0].name} ({len(missed)} of {len(places)} "
            "pictures have none); add a row for each."
        )
    return tuple(captions[place] for place in places)


def _csv(table: Path) -> list[dict[str, str]]:
    """The rows of a table with commas or tabs, by the names in its first line."""
    lines = _text_of(table).splitlines()
    mark = "\t" if lines and "\t" in lines[0] else ","
    return [
        {str(key).strip(): value for key, value in row.items()}
        for row in csv.DictReader(lines, delimiter=mark)
    ]


def _jsonl(table: Path) -> list[dict[str, str]]:
    """The rows of a table of one JSON object a line."""
    lines = [line for line in _text_of(table).splitlines() if line.strip()]
    try:
        rows = [json_text.parse(line, table.name) for line in lines]
    except ValueError as error:
        raise InputError(
            f"{table.name} is not JSON, one object a line; write it so, or as captions.csv."
        ) from error
    if not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{table.name} holds lines that are no objects; give file_name and text.")
    return rows


_READERS: dict[str, Callable[[Path], list[dict[str, str]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _jsonl,
}


def _text_of(file: Path) -> str:
    try:
        return read_text(file)
    except (OSError, ValueError) as error:
        raise InputError(f"{file.name} is no text; save it in UTF-8.") from error


def _from_text(picture: Path, text: Path) -> str:
    """The caption in a text beside a picture."""
    if not text.is_file():
        raise InputError(
            f"{picture.name} has no caption: there is no {text.name} beside it, as there is beside "
            "others."
        )
    words = " ".join(_text_of(text).split())
    if not words:
        raise InputError(f"{text.name} holds no caption; write it, or take out its picture.")
    return words


def _from_name(file: Path) -> str:
    """The caption in a file's name: its words, without numbers and marks."""
    words = " ".join(re.sub(r"[\d_\W]+", " ", file.stem).split())
    if not words:
        raise InputError(
            f"The name {file.name} has no words for a caption; put a captions.csv with file_name "
            "and text beside the pictures."
        )
    return words
