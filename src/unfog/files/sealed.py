"""Records in JSON that carry the SHA-256 of their own content, so that any change of it shows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.output import write_json

SEAL = "sha256"  # the key of the hash


def seal_of(record: Mapping[str, Any]) -> str:
    """The SHA-256 of a record's content: its compact JSON with sorted keys, without the seal."""
    content = {key: value for key, value in record.items() if key != SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_sealed(path: Path, record: Mapping[str, Any], overwrite: bool = False) -> Path:
    """Write a record with its seal, atomically.

    Args:
        path: The file.
        record: Plain data.
        overwrite: Whether a file may be there already.

    Returns:
        The path.
    """
    plain = json.loads(json.dumps(record))
    return write_json(path, {**plain, SEAL: seal_of(plain)}, overwrite=overwrite)


def read_table(path: Path, remedy: str) -> dict[str, Any]:
    """A JSON file that holds a table; ``InputError`` with the remedy where it holds none."""
    try:
        table = json_text.read(path)
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; {remedy}.") from error
    if not isinstance(table, dict):
        raise InputError(f"{path.name} is damaged: it is no table; {remedy}.")
    return table


def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """A record, held to its seal; one from before there were seals has none, and is returned.

    Args:
        path: The file.
        remedy: What to do about damage, for the message.

    Returns:
        The record with its seal.

    Raises:
        InputError: The file holds no table, or another than was written.
    """
    record = read_table(path, remedy)
    if SEAL in record and record[SEAL] != seal_of(record):
        raise InputError(f"{path.name} is not as it was written (its SHA-256 differs); {remedy}.")
    return record
