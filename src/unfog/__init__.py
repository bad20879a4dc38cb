"""unfog: diffusion models, exact and small, for imaging and beyond."""

__version__ = "0.1.0"
