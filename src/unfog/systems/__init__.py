"""Named systems: recipes over the parts below. Importing this package registers them all."""

from unfog.systems import ddpm, edm
from unfog.systems.registry import get, names

__all__ = ["ddpm", "edm", "get", "names"]
