"""The version of unfog."""

__version__ = "0.1.0"
