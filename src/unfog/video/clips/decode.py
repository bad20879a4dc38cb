"""Clips out of video files, by PyAV (FFmpeg): every frame with its own time, upright, in the
colours that the file states, and nothing of a file that is damaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.errors import InputError, MissingExtra
from unfog.video.clips.clip import Clip
from unfog.video.clips.colour import FULL, matrix_of, to_rgb

MEMORY_CAP = 8 << 30  # bytes of the frames of one clip
GIF_END = b"\x3b"  # the last byte of a whole GIF
Picture = NDArray[np.uint8]
Change = Callable[[Picture], Picture]  # of one frame, (channels, rows, columns)


def pyav() -> Any:
    """The package ``av``; ``MissingExtra`` where it is not installed."""
    try:
        import av
    except ImportError as error:
        raise MissingExtra("video", "av") from error
    av.logging.set_level(None)
    return av


def decode(path: Path, change: Change | None = None, fps: float | None = None) -> Clip:
    """The clip in a video file.

    Args:
        path: MP4, WebM, GIF, or what else FFmpeg reads.
        change: Applied to each frame as it is read, so that memory holds what it gives.
        fps: Keep frames at most this often; times stay exact.

    Returns:
        Frames of 8 bits, grey where the file is.

    Raises:
        InputError: The file has no video, is truncated or damaged, or is a still.
    """
    av = pyav()
    frames, times = list[Picture](), list[float]()
    with _opened(av, path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        count, last, size = 0, 0.0, 0
        for frame in container.decode(stream):
            count, last = count + 1, _time(frame, path)
            if times and fps is not None and last < times[-1] + (1 - 1e-3) / fps:
                continue
            picture = upright(pixels(frame), frame.rotation)
            frames.append(picture if change is None else change(picture))
            times.append(last)
            size += frames[-1].nbytes
            if size > MEMORY_CAP:
                raise InputError(
                    f"{path.name} needs more than {MEMORY_CAP >> 30} GB; give a smaller size, or "
                    "cut it."
                )
        _require_whole(path, container, stream, count, last)
    shapes = {frame.shape for frame in frames}
    if len(shapes) != 1:
        raise InputError(f"{path.name} changes its size on the way, {shapes}; encode it again.")
    return Clip(np.stack(frames), np.array(times), name=path.name)


@contextmanager
def _opened(av: Any, path: Path) -> Iterator[Any]:
    """A container with video in it; errors of FFmpeg as one sentence."""
    if not path.is_file():
        raise InputError(f"There is no file {path}; check the path.")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise InputError(f"{path.name} holds no video stream; give a file that does.")
            yield container
    except (av.error.FFmpegError, EOFError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path.name} is truncated, damaged or no video; copy it again or take it out."
        ) from error


def _time(frame: Any, path: Path) -> float:
    """The time of a frame in seconds."""
    if frame.pts is None:
        raise InputError(f"{path.name} has frames without a time; encode it again.")
    return float(frame.pts * frame.time_base)


def _require_whole(path: Path, container: Any, stream: Any, count: int, last: float) -> None:
    """``InputError`` for a file that ends before it says it does, which FFmpeg passes over."""
    rate = float(stream.average_rate or 1)
    stated = stream.frames or count  # MP4 states the number of frames
    # WebM states how long it is.
    ends = float(container.duration or 0) / 1e6 + float(container.start_time or 0) / 1e6
    short = stream.frames == 0 and ends > last + 2.5 / rate
    is_gif = container.format.name == "gif"
    if is_gif:
        short = not path.read_bytes().rstrip(b"\x00").endswith(GIF_END)
    if count == 0 or count < stated or short:
        what = f"{count} of {stated} frames" if count < stated else f"{last:.3g} s of it"
        raise InputError(f"{path.name} is truncated: {what} can be read; copy it again.")


def pixels(frame: Any) -> Picture:
    """The pixels of a frame of PyAV, (3 or 1, rows, columns)."""
    name = frame.format.name
    if name.startswith("gray"):
        return np.asarray(frame.to_ndarray(format="gray"))[None]
    if not name.startswith("yuv"):  # RGB, or a palette
        return np.moveaxis(np.asarray(frame.to_ndarray(format="rgb24")), 2, 0)
    # Colours at full resolution, the range as it is; then by the matrix that the file states.
    full = frame.color_range == FULL or name.startswith("yuvj")
    kind = int(frame.color_range) or 1
    even = frame.reformat(format="yuv444p", src_color_range=kind, dst_color_range=kind)
    yuv = np.asarray(even.to_ndarray()).reshape(3, frame.height, frame.width)
    return to_rgb(yuv, matrix_of(int(frame.colorspace), frame.height), full)


def upright(picture: Picture, rotation: int) -> Picture:
    """A frame (channels, rows, columns) turned counterclockwise by the degrees that its file
    states, a multiple of 90.
    """
    turned = np.rot90(picture, round(rotation / 90) % 4, (1, 2))
    return np.ascontiguousarray(turned)
