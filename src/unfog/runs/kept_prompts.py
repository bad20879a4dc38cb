"""Prompts whose states lie beside a run's weights, so that it draws them without its text
encoder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.output import write_bytes
from unfog.runs.folder import relist, verify_file
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.text_states import NAME

PROMPTS = "prompts.safetensors"  # in the run's folder


def keep_prompts(run: Run, prompts: Sequence[str]) -> Path:
    """Read prompts by the run's text encoder, and keep what it makes of them in the run's folder,
    in half precision; returns the file.
    """
    states = text_condition(run, [Prompt.plain(prompt) for prompt in prompts])
    tensors = {name: v.half() if v.is_floating_point() else v for name, v in states.items()}
    path = run.path / PROMPTS
    said = {"prompts": json.dumps(list(prompts), ensure_ascii=False)}
    write_bytes(path, safetensors.torch.save(tensors, said), overwrite=True)
    relist(run.path)
    return path


def kept_prompts(run: Run) -> tuple[list[str], dict[str, Tensor]]:
    """The prompts that lie beside a run, and their condition, a sample each.

    Args:
        run: The model.

    Returns:
        The prompts, and ``text`` with ``text_mask``, as ``text_condition`` gives them.

    Raises:
        InputError: There are none, or the file is no such table.
    """
    path = run.path / PROMPTS
    if not path.is_file():
        raise InputError(f"{run.name} holds no {PROMPTS}; give the prompt by --text.")
    verify_file(run.path, PROMPTS)
    try:
        with safetensors.safe_open(path, "pt") as file:
            prompts = [
                str(prompt) for prompt in json_text.parse(file.metadata()["prompts"], PROMPTS)
            ]
            states, mask = (file.get_tensor(name) for name in (NAME, f"{NAME}_mask"))
    except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise InputError(f"{PROMPTS} of {run.name} cannot be read; restore it.") from error
    value = states.float() if states.is_floating_point() else states
    return prompts, {NAME: value, f"{NAME}_mask": mask}
