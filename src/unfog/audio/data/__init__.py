"""Data sets of sound; importing this package registers them and the file format."""

from unfog.audio.data import form, letters, recordings, samples, tones

__all__ = ["form", "letters", "recordings", "samples", "tones"]
