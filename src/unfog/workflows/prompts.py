"""Prompts of ``unfog sample --text``: from the command line or a file, and in the names of what is
drawn.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from unfog.errors import InputError
from unfog.files.output import write_text
from unfog.files.text import read_text
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.text_states import reader_of

NAMED = 40  # characters of a prompt in a file's name


def read_prompts(text: str) -> list[Prompt]:
    """The prompts that a user gives: one, or with ``@FILE`` a file of one a line.

    Args:
        text: What was written behind --text.

    Returns:
        The prompts, in order; empty lines of a file are left out.

    Raises:
        InputError: There is no such file, it is no text, or a prompt is empty.
    """
    if not text.startswith("@"):
        return [Prompt.of(text)]
    path = Path(text[1:])
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no file of prompts; give a text file, one a line.") from error
    prompts = [Prompt.of(line.strip()) for line in lines if line.strip()]
    if not prompts:
        raise InputError(f"{path} holds no prompt; write one a line.")
    return prompts


def negative_condition(run: Run, negative: str) -> dict[str, Tensor]:
    """A negative prompt as a batch of one, for ``runs.guided.Guidance``."""
    return text_condition(run, [Prompt.plain(negative)])


def require_text(run: Run) -> None:
    """``InputError`` unless the run reads text, and its encoder is there."""
    reader_of(run.config, run.name)


def write_names(folder: Path, prompts: Sequence[Prompt], count: int) -> None:
    """Put each prompt into the names of its samples, and into metadata.jsonl (``file_name``,
    ``text``).

    Args:
        folder: Where ``sample-0000`` and on lie.
        prompts: In order.
        count: Samples of each.
    """
    lines = []
    for number in range(len(prompts) * count):
        prompt = prompts[number // count]
        for file in sorted(folder.glob(f"sample-{number:04d}.*")):
            named = file.with_name(file.name.replace(".", f"-{_slug(prompt.text)}.", 1))
            file.rename(named)
            lines.append(json.dumps({"file_name": named.name, "text": prompt.text}))
    if lines:
        write_text(folder / "metadata.jsonl", "\n".join(lines) + "\n")


def _slug(text: str) -> str:
    """Words for a file's name.

    >>> _slug("A red heart, on FIRE!")
    'a-red-heart-on-fire'
    """
    return re.sub(r"[^\w]+", "-", text.lower())[:NAMED].strip("-") or "prompt"
