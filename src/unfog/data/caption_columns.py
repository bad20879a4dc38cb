"""Captions of columns: of a table of files or of participants (BIDS), joined into one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from unfog.errors import InputError

PARTICIPANT = "participant_id"  # the column of BIDS' participants.tsv
ABSENT = ("", "n/a")  # values that say nothing, in BIDS
# Words of a column's name that can stand for who was scanned, or for free text about it.
_NAMING = {
    "name", "names", "surname", "firstname", "lastname", "initials", "id", "ids", "birth",
    "birthdate", "birthday", "dob", "address", "phone", "telephone", "email", "mail", "mrn",
    "ssn", "accession", "comment", "comments", "note", "notes", "remark", "remarks",
}  # fmt: skip

Columns = str | Sequence[str] | None


def columns_of(asked: Columns) -> tuple[str, ...]:
    """The columns that a user asks for, one or several."""
    if asked is None:
        return ()
    return (asked,) if isinstance(asked, str) else tuple(map(str, asked))


def joined(values: Mapping[str, str], columns: Sequence[str]) -> str:
    """The caption of a row: the value of one column, or "column: value" of several with commas
    between them; those that are empty or n/a are left out.

    >>> joined({"diagnosis": "AD", "sex": "F", "age": "n/a"}, ["diagnosis", "sex", "age"])
    'diagnosis: AD, sex: F'
    """
    kept = {c: str(values[c]).strip() for c in columns if values.get(c) is not None}
    said = {c: value for c, value in kept.items() if value.lower() not in ABSENT}
    if len(columns) == 1:
        return next(iter(said.values()), "")
    return ", ".join(f"{column}: {value}" for column, value in said.items())


def require_nameless(columns: Sequence[str]) -> None:
    """``InputError`` for a column that by its name may say who someone is."""
    for column in columns:
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)}
        if words & _NAMING:
            raise InputError(
                f"The column {column} may say who someone is and is no caption; take another, or "
                "rename it where it names no one."
            )


def of_columns(
    table: Path, rows: Sequence[Mapping[str, str]], files: Sequence[Path], columns: Sequence[str]
) -> tuple[str, ...]:
    """The caption of each file, of columns of its row: that of its participant, whose folder it
    lies in or whose label its name begins with, or that of its ``file_name``.

    Args:
        table: The table, for errors and as the place that file names are relative to.
        rows: Its rows.
        files: The files.
        columns: The columns.

    Returns:
        The captions, in the order of the files.

    Raises:
        InputError: A column may say who someone is or is not there, or a file has no row or an
            empty one.
    """
    require_nameless(columns)
    for column in columns:
        if not rows or column not in rows[0]:
            known = ", ".join(rows[0]) if rows else "none"
            raise InputError(f"{table.name} has no column {column}; it has: {known}.")
    by_participant = PARTICIPANT in rows[0]
    key = PARTICIPANT if by_participant else "file_name"
    captions: dict[str, Mapping[str, str]] = {}
    for number, row in enumerate(rows, 1):
        label = str(row.get(key) or "").strip()
        if not label:
            raise InputError(f"Entry {number} of {table.name} lacks its {key}; fill it in.")
        place = _participant(label) if by_participant else str((table.parent / label).resolve())
        if place in captions:
            raise InputError(f"{table.name} names {label} twice; keep one of the rows.")
        captions[place] = row
    found = []
    for file in files:
        names = _labels(file) if by_participant else [str(file.resolve())]
        mine = next((captions[name] for name in names if name in captions), None)
        if mine is None:
            raise InputError(
                f"{table.name} has no row for {file.name}; add its {key}, or take the file out."
            )
        caption = joined(mine, columns)
        if not caption:
            raise InputError(
                f"{table.name} says nothing of {file.name} in {' or '.join(columns)}; fill it in, "
                "or take the file out."
            )
        found.append(caption)
    return tuple(found)


def _participant(label: str) -> str:
    """A participant's label with sub- before it."""
    return f"sub-{label.removeprefix('sub-')}"


def _labels(file: Path) -> list[str]:
    """What may be the label of a file's participant, the nearest first: its name up to the first
    underscore, and its folders.
    """
    return [file.name.split("_")[0], *reversed(file.absolute().parent.parts)]
