"""Imports every module that registers names: data sets, systems, objectives, samplers, posterior
methods.

Commands and ``unfog.load`` import it before they look up a name that a user wrote. A new modality
adds its line.
"""

from __future__ import annotations

from pathlib import Path

from unfog import data, sampling, systems
from unfog.art import recipe as art
from unfog.audio import recipe as audio
from unfog.dmri.prior import recipe as dmri_prior
from unfog.fashion import recipe as fashion
from unfog.interop.pipeline_folder import is_pipeline
from unfog.molecules import recipe as molecules
from unfog.posterior import methods
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


def open_run(source: str | Path, precision: str = AUTO) -> Run:
    """The run at a path, the shipped prior of that name, or a folder of a pipeline of diffusers,
    whatever parts it is made of; its network in the precision asked for, the faster one here by
    default.
    """
    run = open_pipeline(source) if is_pipeline(source) else Run.open(source)
    return run.in_precision(precision)
