"""Everything that ships, imported, so that every name is registered: data sets, systems,
objectives, samplers, methods.

Who looks a name up that a person wrote (a command, ``unfog.load``) imports this first. A new
modality or system adds its line here.
"""

from __future__ import annotations

from unfog import data, sampling, systems
from unfog.dmri.prior import recipe as dmri_prior
from unfog.training import objectives

__all__ = ["data", "dmri_prior", "objectives", "sampling", "systems"]
