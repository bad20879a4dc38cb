"""Forms: what a page asks for, and the command line that its answers make.

Values never become options: each is one word of the command line behind its option's name, a
choice is one of those offered, and a file is named by the field it was dropped on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unfog.errors import InputError
from unfog.lab.uploads import Upload

LONGEST = 500  # letters of a value
FILE, CHOICE, TEXT, NUMBER = "file", "choice", "text", "number"


@dataclass(frozen=True)
class Choice:
    """One of several values, and what it is called."""

    value: str
    label: str


@dataclass(frozen=True)
class Field:
    """A question of a form.

    Args:
        name: Of the field, and of the file that is dropped on it.
        label: What a reader sees.
        kind: "file", "choice", "text" or "number".
        option: The option of the command line that takes the value; none for arguments.
        default: The value at first.
        help: Below the field.
        choices: Of a choice.
        accept: Of a file: the endings that the browser offers.
        required: Whether a value must be given.
        step: Of a number, what browsers count by.
        only: (field, values): asked where that field has one of these values.
        paint: Of a file that is a mask: the field whose picture it may be painted over.
        once: Whether a value serves one job alone, so that the next form has a new default.
    """

    name: str
    label: str
    kind: str = TEXT
    option: str = ""
    default: str = ""
    help: str = ""
    choices: Sequence[Choice] = ()
    accept: str = ""
    required: bool = False
    step: str = "any"
    only: tuple[str, tuple[str, ...]] | None = None
    once: bool = False
    paint: str = ""


@dataclass(frozen=True)
class Answers:
    """What was answered.

    Args:
        values: By the fields' names; of a file its neutral name in the job's folder.
        files: Where each file is now, by that name.
    """

    values: Mapping[str, str]
    files: Mapping[str, Path]

    def options(self, fields: Sequence[Field]) -> list[str]:
        """The options of the command line, each with its value."""
        told = [(f.option, self.values.get(f.name, "")) for f in fields if f.option]
        return [word for option, value in told if value for word in (option, value)]


def answered(
    fields: Sequence[Field], given: Mapping[str, str], uploads: Mapping[str, Upload]
) -> Answers:
    """The answers to a form, checked as far as the form says.

    Args:
        fields: The form.
        given: Values by the fields' names; those of other names are left out.
        uploads: The files that were dropped, by field.

    Returns:
        The answers.

    Raises:
        InputError: A value is missing, too long or none of the choices.
    """
    values: dict[str, str] = {}
    files: dict[str, Path] = {}
    for field in fields:
        value = given.get(field.name, "").strip()
        if field.only is not None and values.get(field.only[0], "") not in field.only[1]:
            continue
        if field.kind == FILE and field.name in uploads:
            path = uploads[field.name].path
            ending = path.name.partition(".")[2] if path.is_file() else ""
            value = f"{field.name}.{ending}".rstrip(".")
            files[value] = path
        elif field.kind == FILE:
            value = ""
        if not value and field.required:
            raise FieldError(field.name, f"{field.label} is missing; give it.")
        if len(value) > LONGEST or not value.isprintable():
            raise FieldError(field.name, f"{field.label} takes one line of {LONGEST} letters.")
        if field.kind == CHOICE and value and value not in {c.value for c in field.choices}:
            raise FieldError(field.name, f"{value[:40]!r} is none of the choices; take one.")
        if value:
            values[field.name] = value
    return Answers(values, files)


class FieldError(InputError):
    """Bad input to one field of a form."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


def field_of(sentence: str, fields: Sequence[Field]) -> str:
    """The field that a sentence of the command line is about; "" where it names none."""
    options = set(re.findall(r"--[a-z][a-z0-9-]*", sentence))
    for field in fields:
        if field.option in options:
            return field.name
    for field in fields:
        if field.kind == FILE and re.search(rf"\b{re.escape(field.name)}\b(\.|/| )", sentence):
            return field.name
    # No name of a thing: the word of an option that comes first.
    words = [word.lower() for word in re.findall(r"[A-Za-z-]+", sentence)]
    said = {f.name: f.option.removeprefix("--") for f in fields if f.option.startswith("--")}
    first = {name: words.index(word) for name, word in said.items() if word in words}
    return min(first, key=lambda name: first[name]) if first else ""
