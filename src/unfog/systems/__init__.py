"""Named systems: recipes over the parts below. Importing this package registers them all."""

from unfog.dmri.prior import recipe as dmri_prior
from unfog.systems import consistency, ddpm, edm, fields, improved_ddpm, ncsn, rectified_flow, score_sde
from unfog.systems.registry import get, names

__all__ = ["consistency", "ddpm", "dmri_prior", "edm", "fields", "get", "improved_ddpm", "names", "ncsn", "rectified_flow", "score_sde"]
