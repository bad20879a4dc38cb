"""Clips into a folder, with a page that plays them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from unfog.files.folder import Job
from unfog.files.formats import eight_bits
from unfog.files.numpy_files import write_array
from unfog.files.scans import Look
from unfog.report import Page, Row
from unfog.video.clips.encode import clip_bytes, write_clip

SHOWN, STRIP = 8, 8  # clips on a page, and frames in a strip
WIDTH = 240  # pixels about which a player is wide


def write_clips(
    folder: Path, name: str, clips: Tensor, bounds: tuple[float, float], fps: float
) -> list[str]:
    """Write clips as NAME-0000.mp4 and .gif and so on, and as NAMEs.npy.

    Args:
        folder: Where to.
        name: Before the number.
        clips: (n, channels, frames, rows, columns), in natural units.
        bounds: The smallest and largest value of the data.
        fps: Frames a second.

    Returns:
        Notes: what was changed to fit the formats.
    """
    write_array(folder / f"{name}s.npy", clips.numpy())
    notes = list[str]()
    for k, frames in enumerate(levels(clips, bounds)):
        for suffix in (".mp4", ".gif"):
            notes += write_clip(folder / f"{name}-{k:04d}{suffix}", frames, fps)
    return list(dict.fromkeys(notes))


def levels(clips: Tensor, bounds: tuple[float, float]) -> list[NDArray[np.uint8]]:
    """Clips (n, channels, frames, rows, columns) as frames (frames, channels, rows, columns) from 0
    to 255.
    """
    out = []
    for clip in clips:
        pictures = eight_bits(clip.movedim(1, 0).numpy(), Look(*bounds))
        grey = pictures.ndim == 3
        out.append(pictures[:, None] if grey else np.moveaxis(pictures, 3, 1))
    return out


def page_of_clips(
    title: str,
    lead: str,
    clips: Sequence[tuple[str, NDArray[np.uint8]]],
    fps: float,
    summary: Mapping[str, Any],
) -> Page:
    """A page that plays clips and shows their frames in strips.

    Args:
        title: Of the page.
        lead: Below it.
        clips: The name of each and its frames, (frames, 1 or 3, rows, columns).
        fps: Frames a second.
        summary: The contents of summary.json.

    Returns:
        The page.
    """
    page = Page(title, lead)
    shown = list(clips)[:SHOWN]
    page.section("Clips")
    page.clips(
        [(name, clip_bytes(_enlarged(frames), fps)) for name, frames in shown],
        f"At {fps:g} frames a second, again and again.",
        WIDTH,
    )
    page.section("Frame by frame")
    count = min(STRIP, min(len(frames) for _, frames in shown))
    rows = []
    for name, frames in shown:
        chosen = np.linspace(0, len(frames) - 1, count).round().astype(int)
        colours = np.broadcast_to(frames[chosen], (count, 3, *frames.shape[2:]))
        rows.append(Row(name, [np.ascontiguousarray(np.moveaxis(f, 0, 2)) for f in colours]))
    page.pictures(rows, "Evenly spaced frames, the first and the last among them.", largest=120)
    page.provenance(summary, "The figures of summary.json.")
    return page


def finish(
    work: Job,
    clips: Sequence[tuple[str, NDArray[np.uint8]]],
    fps: float,
    summary: Mapping[str, Any],
    lead: str,
) -> dict[str, Any]:
    """Write report.html and summary.json.

    Args:
        work: The job.
        clips: The name of each clip to show and its frames.
        fps: Frames a second.
        summary: What the command did.
        lead: Of the page.

    Returns:
        What the command prints.
    """
    page = page_of_clips("Clips", lead, clips, fps, summary)
    work.write_report(page.html())
    return work.end(summary)


def _enlarged(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames with whole pixels repeated until they are about as wide as a player."""
    factor = max(1, round(WIDTH / frames.shape[3]))
    return frames.repeat(factor, 2).repeat(factor, 3)
