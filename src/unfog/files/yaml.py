"""YAML as configs use it: plain data only, 2e-4 is a number, and no aliases (a few lines of them
can stand for gigabytes).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from unfog.errors import InputError
from unfog.files.text import read_text

_LARGEST = 1_000_000  # bytes; a config is a page of text
_DEEPEST = 64  # lists and tables within each other


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses aliases, keys that stand twice, and what is nested
    too deep.
    """

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(
                problem="aliases are not allowed",
                problem_mark=parent.start_mark if parent else None,
            )
        self.depth += 1
        if self.depth > _DEEPEST:
            raise yaml.constructor.ConstructorError(problem=f"nested more than {_DEEPEST} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value):
            raise yaml.constructor.ConstructorError(
                problem="a key stands twice", problem_mark=node.start_mark
            )
        return mapping


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which writes equal parts in full instead of as aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


# YAML 1.1 takes 2e-4 for text, because it has no dot.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def parse(text: str, source: str) -> Any:
    """The data in ``text``; ``source`` names it in the error.

    >>> parse("lr: 2e-4", "a setting")
    {'lr': 0.0002}
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise InputError(f"{source} is not valid YAML: {error.problem}{line}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid YAML.") from error


def read(path: Path) -> Any:
    """The data in the file ``path``."""
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(f"{path} is larger than {_LARGEST} bytes: not a config.")
        return parse(read_text(path), str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text.") from error


def dump(data: Any) -> str:
    """``data`` as YAML, keys in their own order, small collections on one line."""
    return yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        width=120,
        allow_unicode=True,
    )


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a config by their dotted keys.

    >>> flat({"training": {"lr": 0.1}, "system": "ddpm"})
    {'training.lr': 0.1, 'system': 'ddpm'}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
