"""Named systems: recipes over the parts below. Importing this package registers them all."""

from unfog.systems import consistency, ddpm, edm
from unfog.systems.registry import get, names

__all__ = ["consistency", "ddpm", "edm", "get", "names"]
