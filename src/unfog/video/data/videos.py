"""The data set ``videos``: clips out of the user's own files; and the format of their samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unfog.data.dataset import datasets
from unfog.data.volumes import scaled
from unfog.errors import InputError
from unfog.files.formats import eight_bits, formats
from unfog.files.listing import files_below, visible
from unfog.files.numpy_files import Array
from unfog.files.scans import Format, Look, Scan, extremes
from unfog.video.clips import Clip, read_clip, read_clips, write_clip
from unfog.video.clips.clip import ASSUMED
from unfog.video.clips.files import SERIES, VIDEOS
from unfog.video.clips.reduce import luma, reduced
from unfog.video.clips.series import is_sequence
from unfog.video.data.cuts import Cuts


@datasets.register("videos")
class Videos(Cuts):
    """Clips (1 or 3, frames, size, size) cut out of the videos below a folder, or of one: video
    files, NIfTI series, and folders of frames.

    Files of 8 bits keep their values; series of volumes are scaled by themselves to [0, 1], and are
    not mixed with files.

    Args:
        path: The folder or the file.
        frames: Of a cut.
        size: Its side in pixels.
        side: The shorter side to which files are reduced before they are cut; ``size`` by default.
        fps: Frames a second to take them at; their own by default.
        stride: From one cut to the next, in frames; half a cut by default.
        grey: Whether to take the luma alone.

    Raises:
        InputError: There is no clip, one is damaged, short or small, or they differ in kind.
    """

    def __init__(
        self,
        path: str,
        frames: int = 16,
        size: int = 32,
        side: int | None = None,
        fps: float | None = None,
        stride: int | None = None,
        grey: bool = False,
    ) -> None:
        change = reduced(size if side is None else side, enlarge=True)
        clips = [clip for one in _sources(Path(path)) for clip in read_clips(one, fps, change)]
        clips = [_unit(clip) for clip in clips]
        if grey:
            clips = [replace(clip, frames=luma(clip.frames)) for clip in clips]
        if len({clip.high for clip in clips}) != 1:
            raise InputError(
                f"{Path(path).name} holds videos of 8 bits and others; put each kind in a folder "
                "of its own."
            )
        steps = max(1, frames // 2) if stride is None else stride
        options = {"side": side, "fps": fps, "grey": grey}
        super().__init__("videos", clips, frames, size, steps, clips[0].high, options)


def _sources(path: Path) -> list[Path]:
    """The files and folders of frames below a path."""
    if path.is_file() or is_sequence(path):
        return [path]
    files = [p for p in files_below(path) if p.name.lower().endswith((*VIDEOS, *SERIES))]
    folders = [p for p in visible(path, path.rglob("*")) if is_sequence(p)]
    if not files and not folders:
        raise InputError(
            f"{path.name} holds no videos ({', '.join(VIDEOS)}), series of volumes or folders of "
            "frames; name the folder that does."
        )
    return [*files, *folders]


def _unit(clip: Clip) -> Clip:
    """A clip of real numbers scaled by itself to [0, 1]; one of whole numbers as it is."""
    if clip.frames.dtype.kind in "iu":
        return clip
    return replace(clip, frames=scaled(clip.frames.astype(np.float32)))


@dataclass(frozen=True)
class ClipScan(Scan):
    """A clip as a scan, (1, channels, frames, rows, columns); written as MP4.

    Args:
        clip: The clip.
    """

    clip: Clip

    @property
    def values(self) -> Array:  # type: ignore[override]
        return np.moveaxis(self.clip.frames, 1, 0)[None].astype(np.float32)

    def units(self, low: float, high: float) -> tuple[float, float]:
        scale = self.clip.high / (high - low)
        return -low * scale, scale

    def write(self, folder: Path, name: str, stack: Array) -> Path:
        levels = (np.moveaxis(stack[0], 0, 1) * (255 / self.clip.high)).clip(0, 255).round()
        path = folder / f"{name}.mp4"
        write_clip(path, levels.astype(np.uint8), self.clip.fps)
        return path

    def finer(self, factor: int, axis: int | None = None) -> ClipScan:
        return self


class Video(Format):
    """Video: MP4, WebM, GIF and others, (channels, frames, rows, columns)."""

    name, suffixes, dataset = "video", VIDEOS, "videos"
    keeps = "the frames and their rate; 8 bits, as MP4, one channel where all are grey"

    def read(self, path: Path, dims: int) -> ClipScan:
        if dims != 3:
            raise InputError(
                f"{path.name} is a clip and the model is of {dims} dimensions; take its frames as "
                "pictures, or a model of clips."
            )
        clip = read_clip(path)
        grey = bool((clip.frames == clip.frames[:, :1]).all())
        return ClipScan(replace(clip, frames=clip.frames[:, :1]) if grey else clip)

    def describe(self, path: Path) -> dict[str, Any]:
        clip = read_clip(path)
        facts = {"frames a second": clip.fps, "seconds": float(clip.times[-1] - clip.times[0])}
        return {"kind": "video", **extremes(clip.frames), **facts, "notes": list(clip.notes)}

    def holds(self, shape: Sequence[int]) -> bool:
        return False  # a volume has the same shape, so the data name this format

    def write(self, folder: Path, samples: Array, look: Look) -> None:
        write_samples(folder, samples, look, ASSUMED)


def write_samples(folder: Path, samples: Array, look: Look, fps: float) -> None:
    """Write clips as sample-0000.mp4 and .gif and so on.

    Args:
        folder: Where to.
        samples: (n, channels, frames, rows, columns), in natural units.
        look: Their range.
        fps: Frames a second.
    """
    for k, sample in enumerate(samples):
        levels = eight_bits(np.moveaxis(sample, 1, 0), look)
        frames = levels[:, None] if levels.ndim == 3 else np.moveaxis(levels, 3, 1)
        for suffix in (".mp4", ".gif"):
            write_clip(folder / f"sample-{k:04d}{suffix}", frames, fps)


# A NumPy file may hold anything, so it stays the last.
formats.insert(len(formats) - 1, Video())
