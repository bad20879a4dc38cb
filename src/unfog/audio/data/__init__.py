"""Data sets of sound; importing this package registers them and the file format."""

from unfog.audio.data import form, letters, recordings, samples

__all__ = ["form", "letters", "recordings", "samples"]
