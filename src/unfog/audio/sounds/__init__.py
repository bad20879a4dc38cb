"""Sounds in files: WAV, FLAC, OGG, MP3 and AIFF, whole or block by block."""

from unfog.audio.sounds.files import SUFFIXES, read_sound, write_sound
from unfog.audio.sounds.resample import resampled
from unfog.audio.sounds.sound import Sound

__all__ = ["SUFFIXES", "Sound", "read_sound", "resampled", "write_sound"]
