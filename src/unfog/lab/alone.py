"""How a module of the lab that runs in a process of its own ends: a result, or a sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from unfog.errors import InputError

BAD_INPUT = 2  # exit status, as of the commands


def alone(work: Callable[[], Any]) -> None:
    """Print what a piece of work returns as JSON, or its one sentence on stderr."""
    try:
        result = work()
    except InputError as error:
        sys.stderr.write(f"unfog: {error}\n")
        raise SystemExit(BAD_INPUT) from error
    sys.stdout.write(json.dumps(result, default=str) + "\n")
