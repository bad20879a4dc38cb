"""Clips into video files, by PyAV (FFmpeg).

MP4 is H.264 (x264, yuv420p, BT.709, limited range, a constant quantiser of 2), which keeps grey
values within 2 levels; WebM is VP9 likewise. GIF has grey exactly, and colours by a palette of 256.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unfog.errors import InputError
from unfog.files.output import check_output, write_bytes
from unfog.video.clips.colour import LIMITED, from_rgb, subsampled
from unfog.video.clips.decode import pyav

Frames = NDArray[np.uint8]
# Options of the encoders. With a constant quantiser of 2 grey values are kept, even those of
# noise, within 2 levels.
X264 = {"qp": "2", "preset": "medium", "threads": "1"}
VP9 = {"crf": "4", "b": "0", "cpu-used": "4", "threads": "1"}
BT709_NUMBER = 1  # of FFmpeg, for matrix, primaries and transfer
GIF_TICK = 100  # a second, of a GIF's clock


def write_clip(path: Path, frames: Frames, fps: float) -> tuple[str, ...]:
    """Write a clip, in the format that the file's name ends in.

    Args:
        path: A new file, .mp4, .webm or .gif.
        frames: (frames, 1 or 3, rows, columns), from 0 to 255.
        fps: Frames a second.

    Returns:
        Notes: what was changed to fit the format.

    Raises:
        InputError: The format is another, or the file is there already.
    """
    check_output(path)
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise InputError(f"{path.name} is of no format for clips; write .mp4, .webm or .gif.")
    content, notes = _WRITERS[suffix](frames, _rate(fps))
    write_bytes(path, content)
    return notes


def clip_bytes(frames: Frames, fps: float, suffix: str = ".mp4") -> bytes:
    """The bytes of a file of a clip; see ``write_clip``."""
    return _WRITERS[suffix](frames, _rate(fps))[0]


def padded(frames: Frames) -> tuple[Frames, tuple[str, ...]]:
    """Frames of even sides, the last row and column repeated, with a note where that was needed."""
    rows, columns = frames.shape[2:]
    if rows % 2 == columns % 2 == 0:
        return frames, ()
    wider = np.pad(frames, ((0, 0), (0, 0), (0, rows % 2), (0, columns % 2)), mode="edge")
    note = (
        f"The codec takes even sizes: {columns} x {rows} was padded to {wider.shape[3]} x "
        f"{wider.shape[2]}."
    )
    return wider, (note,)


def _rate(fps: float) -> Fraction:
    """A frame rate as a fraction, exact for the rates of television (n / 1001)."""
    if not 0 < fps < 1e4:
        raise InputError(f"A frame rate is a number from 0 to 10000, not {fps}.")
    return Fraction(fps).limit_denominator(1001)


def _yuv(frames: Frames, rate: Fraction, kind: str) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of an MP4 or WebM, and notes."""
    codec, options = {"mp4": ("libx264", X264), "webm": ("libvpx-vp9", VP9)}[kind]
    pictures, notes = padded(frames)
    av, file = pyav(), io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = pictures.shape[2:]
        stream.pix_fmt = "yuv420p"
        _tag(stream.codec_context)
        for number, picture in enumerate(pictures):
            luma, *colours = from_rgb(picture)
            planes = [luma.ravel(), *(subsampled(plane).ravel() for plane in colours)]
            stacked = np.concatenate(planes).reshape(-1, luma.shape[1])
            frame = av.VideoFrame.from_ndarray(stacked, format="yuv420p")
            _tag(frame)
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue(), notes


def _tag(part: Any) -> None:
    """State matrix, primaries, transfer and range of a frame or of an encoder."""
    part.colorspace = part.color_primaries = part.color_trc = BT709_NUMBER
    part.color_range = LIMITED


def _mp4(frames: Frames, rate: Fraction) -> tuple[bytes, tuple[str, ...]]:
    return _yuv(frames, rate, "mp4")


def _webm(frames: Frames, rate: Fraction) -> tuple[bytes, tuple[str, ...]]:
    return _yuv(frames, rate, "webm")


def _gif(frames: Frames, rate: Fraction) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a GIF that repeats for ever; its clock ticks 100 times a second."""
    av, file = pyav(), io.BytesIO()
    form = "gray" if frames.shape[1] == 1 else "pal8"
    with av.open(file, "w", format="gif") as container:
        stream = container.add_stream("gif", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[2:], form
        for number, picture in enumerate(frames):
            content = picture[0] if form == "gray" else _palette(picture)
            frame = av.VideoFrame.from_ndarray(content, format=form)
            frame.pts, frame.time_base = number, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    exact = (GIF_TICK / rate).denominator == 1
    note = f"GIF counts in hundredths of a second; {float(rate):.4g} frames a second are rounded."
    return file.getvalue(), () if exact else (note,)


def _palette(picture: Frames) -> tuple[Frames, Frames]:
    """A frame (3, rows, columns) as numbers of 256 colours, and these, (256, 4) with opacity."""
    image = Image.fromarray(np.ascontiguousarray(np.moveaxis(picture, 0, 2)))
    drawn = image.quantize(256, dither=Image.Dither.NONE)
    table = np.zeros((256, 4), np.uint8)
    colours = np.array(drawn.getpalette("RGB"), np.uint8).reshape(-1, 3)
    table[:, 0], table[: len(colours), 1:] = 255, colours
    return np.asarray(drawn), table


_Writer = Callable[[Frames, Fraction], tuple[bytes, tuple[str, ...]]]
_WRITERS: dict[str, _Writer] = {".mp4": _mp4, ".webm": _webm, ".gif": _gif}
