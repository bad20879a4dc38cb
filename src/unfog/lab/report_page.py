"""A result's own report, in a frame that can do nothing but show it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from unfog.errors import InputError
from unfog.lab import answers
from unfog.lab.job import RESULT
from unfog.report.page import POLICY

if TYPE_CHECKING:
    from starlette.responses import Response

SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def report_answer(folder: Path) -> Response:
    """``report.html`` of a job's result: its one script by its hash, without an origin.

    Args:
        folder: The job's.

    Returns:
        The answer.

    Raises:
        InputError: The result has no report.
    """
    path = folder / RESULT / "report.html"
    if not path.is_file():
        raise InputError("This result has no report.")
    return framed(path.read_text("utf-8"))


def framed(text: str) -> Response:
    """A report's HTML as an answer that a frame of ours shows."""
    digests = [hashlib.sha256(s.encode()).digest() for s in SCRIPT.findall(text)]
    scripts = " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests) or "'none'"
    policy = f"sandbox allow-scripts; {POLICY}; script-src {scripts}; frame-ancestors 'self'"
    headers = {"content-security-policy": policy, "x-frame-options": "SAMEORIGIN"}
    return answers.content(text, answers.HTML, headers=headers)
