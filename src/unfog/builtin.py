"""Imports every module that registers names: data sets, systems, objectives, samplers, posterior
methods.

Commands and ``unfog.load`` import it before they look up a name that a user wrote. A new modality
adds its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unfog import data, sampling, systems
from unfog.art import recipe as art
from unfog.audio import recipe as audio
from unfog.dmri.prior import recipe as dmri_prior
from unfog.errors import InputError
from unfog.fashion import recipe as fashion
from unfog.interop.lora import parse_lora
from unfog.interop.pipeline_folder import is_pipeline
from unfog.molecules import recipe as molecules
from unfog.posterior import methods
from unfog.runs.kept import kept
from unfog.runs.machine import AUTO
from unfog.runs.pipeline import open_pipeline
from unfog.runs.run import Run
from unfog.textile import recipe as textile
from unfog.training import objectives
from unfog.video import recipe as video
from unfog.video.dynamicrafter import recipe as dynamicrafter

__all__ = [
    "art",
    "audio",
    "data",
    "dmri_prior",
    "dynamicrafter",
    "fashion",
    "methods",
    "molecules",
    "objectives",
    "open_run",
    "sampling",
    "systems",
    "textile",
    "video",
]


def open_run(source: str | Path, precision: str = AUTO, loras: Sequence[str] = ()) -> Run:
    """A run, whatever parts it is made of.

    Args:
        source: Its folder, the name of a shipped prior, or a folder of a pipeline of diffusers.
        precision: Of its network; the faster one here by default.
        loras: Of a pipeline: files of low-rank changes, FILE or FILE:WEIGHT.

    Returns:
        The run.

    Raises:
        InputError: It cannot be read, or takes no such changes.
    """
    if is_pipeline(source):
        key = ("pipeline", Path(source).resolve(), *loras)
        run = kept(key, lambda: open_pipeline(source, [parse_lora(text) for text in loras]))
    elif loras:
        raise InputError(f"{source} is no pipeline of diffusers, which alone takes a LoRA.")
    else:
        run = Run.open(source)
    return run.in_precision(precision)
