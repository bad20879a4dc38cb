"""What every benchmark writes: its command, the versions it ran with, and its figures, as JSON."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any


def command() -> str:
    """The command line that runs; a record names no place on a machine."""
    told = (Path(given).name if Path(given).is_absolute() else given for given in sys.argv[1:])
    return f"python benchmarks/{Path(sys.argv[0]).name} " + " ".join(told)


def write_record(
    figures: Mapping[str, Any], modules: tuple[ModuleType, ...], out: Path | None, **versions: str
) -> None:
    """Write to the file ``out``, or to standard output."""
    known = {
        "versions": {**{module.__name__: module.__version__ for module in modules}, **versions},
        "python": platform.python_version(),
    }
    text = json.dumps({"command": command(), **figures, **known}, indent=1) + "\n"
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text)
