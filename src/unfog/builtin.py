"""Everything that ships, imported, so that every name is registered: data sets, systems,
objectives, samplers, posterior methods.

Who looks up a name that a person wrote (a command, ``unfog.load``) comes through here. A new
modality adds its line.
"""

from __future__ import annotations

from pathlib import Path

from unfog import data, sampling, systems
from unfog.dmri.prior import recipe as dmri_prior
from unfog.posterior import methods
from unfog.runs.run import Run
from unfog.training import objectives

__all__ = ["data", "dmri_prior", "methods", "objectives", "open_run", "sampling", "systems"]


def open_run(source: str | Path) -> Run:
    """The run at a path, or the shipped prior of that name, whatever parts it is made of."""
    return Run.open(source)
