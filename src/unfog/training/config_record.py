"""What a training run's ``config.yaml`` was when it was written: ``recorded.json`` beside it holds
its SHA-256 and its content, so that a change is found and named.

While a resumed run writes another config, the record holds both, so that either file is right at
every instant. A run from before there were records has none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files import yaml
from unfog.files.output import replace_durably
from unfog.files.sealed import SEAL, read_sealed, seal_of

CONFIG = "config.yaml"
RECORD = "recorded.json"
REMEDY = "restore it from a copy, or adopt what is there with unfog verify RUN --accept"


def write_config(run: Path, text: bytes) -> None:
    """Write a run's config and its record, so that the two agree at every instant.

    Args:
        run: The run folder.
        text: The config, as YAML.

    Raises:
        OSError: The disk refuses.
    """
    entry = _entry(text)
    path = run / CONFIG
    # Both configs are right while the file is replaced.
    before = [_entry(path.read_bytes())] if path.is_file() and path.read_bytes() != text else []
    _write(run, [*before, entry])
    replace_durably(path, text)
    if before:
        _write(run, [entry])


def _entry(text: bytes) -> dict[str, Any]:
    """The SHA-256 of a config's bytes and its content as plain data."""
    config = plain(yaml.parse(text.decode("utf-8"), CONFIG))
    return {"sha256": hashlib.sha256(text).hexdigest(), "config": config}


def plain(config: Any) -> Any:
    """Data as JSON gives them back."""
    return json.loads(json.dumps(config, default=str))


def _write(run: Path, configs: list[dict[str, Any]]) -> None:
    record = {"configs": configs}
    text = json.dumps({**record, SEAL: seal_of(record)}, indent=1) + "\n"
    replace_durably(run / RECORD, text.encode())


def changes(run: Path) -> list[str]:
    """What differs between a run's config and its record, by key; none where they agree, or where
    there is no record.

    Args:
        run: The run folder.

    Returns:
        A phrase for each key, such as "training.lr: 0.1 -> 0.2".

    Raises:
        InputError: The record is damaged, or the config is no YAML.
    """
    if not (run / RECORD).is_file():
        return []
    configs = read_sealed(run / RECORD, REMEDY).get("configs")
    if not isinstance(configs, list) or not configs:
        raise InputError(f"{RECORD} of {run.name} holds no config; {REMEDY}.")
    digest = hashlib.sha256((run / CONFIG).read_bytes()).hexdigest()
    if digest in [entry["sha256"] for entry in configs]:
        return []
    try:
        now = plain(yaml.read(run / CONFIG))
    except InputError as error:
        raise InputError(f"{str(error).rstrip('.')}; {REMEDY}.") from error
    told = [differences(entry["config"], now) for entry in configs]
    return [] if [] in told else told[-1]  # other bytes with the same meaning are no change


def differences(before: Any, now: Any) -> list[str]:
    """A phrase for each key in which two configs differ."""
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return [] if before == now else [f"{CONFIG} is no table of sections any more"]
    old, new = ({k: json.dumps(v) for k, v in yaml.flat(c).items()} for c in (before, now))
    keys = [*old, *(key for key in new if key not in old)]
    found = [(key, old.get(key, "nothing"), new.get(key, "nothing")) for key in keys]
    told = [f"{key}: {_short(a)} -> {_short(b)}" for key, a, b in found if a != b]
    # An empty section has no keys of its own.
    return told or ([] if before == now else ["an empty section"])


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def check_config(run: Path) -> None:
    """``InputError`` where a run's config is not as recorded, naming the first key that differs."""
    found = changes(run)
    if found:
        raise InputError(
            f"{CONFIG} of {run.name} was changed since it was written ({found[0]}); {REMEDY}."
        )


def adopt_config(run: Path) -> list[str]:
    """Record a run's config as it is now, and return what changed."""
    try:
        found = changes(run)
    except InputError:
        found = ["the record was damaged"]
    _write(run, [_entry((run / CONFIG).read_bytes())])
    return found
