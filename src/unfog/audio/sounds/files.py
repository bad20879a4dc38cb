"""Sounds read from files and written to them, through libsndfile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.audio.sounds.libraries import library
from unfog.audio.sounds.sound import Samples, Sound, check_kind
from unfog.audio.sounds.truncation import require_whole
from unfog.errors import InputError

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24}  # whole numbers that float32 holds
ROUNDED = ("PCM_32", "DOUBLE")  # that it does not
BLOCK = 1 << 18  # frames read at once
_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}
_FORMATS |= {".aiff": "AIFF", ".aif": "AIFF"}


def read_sound(path: Path) -> Sound:
    """The sound in a file, whole.

    Args:
        path: A WAV, FLAC, OGG, MP3 or AIFF file.

    Returns:
        The sound; of 8, 16 and 24 bits and of floats the samples are exact.

    Raises:
        InputError: There is no such file; it is damaged, cut short or empty; it has more than 2
            channels, less than 4000 frames a second, or samples that are not finite.
    """
    facts = describe(path)
    blocks = list(read_blocks(path))
    samples = np.concatenate(blocks, 1) if blocks else np.zeros((facts["channels"], 0), np.float32)
    notes: tuple[str, ...] = ()
    if facts["subtype"] in ROUNDED:
        notes = (f"Its {facts['subtype']} samples are rounded to float32.",)
    return Sound(samples, facts["rate"], facts["subtype"], notes, path.name)


def describe(path: Path) -> dict[str, Any]:
    """What a file says of itself: ``rate``, ``channels``, ``frames``, ``subtype``, ``format``.

    Raises:
        InputError: It is no sound, is cut short, or of a kind that no model is made for.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}; give a sound ({', '.join(SUFFIXES)}).")
    soundfile = library("soundfile")
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise InputError(
            f"{path.name} is no sound that libsndfile reads, or is damaged; give {_known()}."
        ) from error
    require_whole(path)
    check_kind(path.name, info.channels, info.samplerate)
    return {
        "rate": info.samplerate,
        "channels": info.channels,
        "frames": info.frames,
        "subtype": info.subtype,
        "format": info.format,
    }


def read_blocks(path: Path, frames: int = BLOCK) -> Iterator[Samples]:
    """The samples of a file in blocks (channels, frames), float32, so that memory is that of one.

    Args:
        path: The file.
        frames: Of a block; the last may have fewer.

    Yields:
        The blocks in order.

    Raises:
        InputError: The file ends before it says it does, or cannot be decoded.
    """
    soundfile, total = library("soundfile"), 0
    try:
        with soundfile.SoundFile(str(path)) as file:
            while len(block := file.read(frames, dtype="float32", always_2d=True)):
                total += len(block)
                yield np.ascontiguousarray(block.T)
            expected = file.frames
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path.name} is damaged or cut short; get it again.") from error
    if total < expected:
        raise InputError(
            f"{path.name} is cut short: it holds {total} frames of {expected}; get it again."
        )


def write_sound(path: Path, sound: Sound) -> Path:
    """Write a sound; whole numbers are rounded and clipped to full scale.

    Args:
        path: Where to; its suffix says the format. FLAC is of 24 bits at most; OGG and MP3 lose.
        sound: What to write.

    Returns:
        The path.

    Raises:
        InputError: The suffix is unknown.
    """
    with Writer(path, sound.rate, len(sound.samples), sound.subtype) as write:
        write(sound.samples)
    return path


class Writer:
    """Writes a sound block by block: ``with Writer(path, rate, channels) as write: write(block)``.

    Args:
        path: Where to; its suffix says the format.
        rate: Frames a second.
        channels: 1 or 2.
        subtype: How a sample is stored; what the format does not know becomes its best.
    """

    def __init__(self, path: Path, rate: int, channels: int, subtype: str = "PCM_16") -> None:
        form = _FORMATS.get(path.suffix.lower())
        if form is None:
            raise InputError(f"{path.name} has no known suffix; give {_known()}.")
        soundfile = library("soundfile")
        if not soundfile.check_format(form, subtype):
            better = "PCM_24" if form == "FLAC" else None
            subtype = better or soundfile.default_subtype(form)
        self.bits = BITS.get(subtype)
        self.file = soundfile.SoundFile(str(path), "w", rate, channels, subtype, format=form)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __call__(self, block: Samples) -> None:
        """Write (channels, frames)."""
        self.file.write(_stored(block.T, self.bits))


def _stored(x: Samples, bits: int | None) -> NDArray[Any]:
    """Samples as the file is to hold them: whole numbers of so many bits at the top of 32, or
    floats.
    """
    if bits is None:
        return x
    # libsndfile scales floats by 2^(bits - 1) - 1, which is not what it divides by in reading.
    scale = 2.0 ** (bits - 1)
    levels = np.rint(x.astype(np.float64) * scale).clip(-scale, scale - 1)
    return levels.astype(np.int32) << np.int32(32 - bits)


def wav_bytes(sound: Sound) -> bytes:
    """A sound as the bytes of a WAV file of 16 bits, for a page."""
    soundfile, stream = library("soundfile"), io.BytesIO()
    levels = _stored(sound.samples.T, 16)
    soundfile.write(stream, levels, sound.rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def _known() -> str:
    return f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
