"""``unfog edit`` of a clip: what comes after it, and what lies between its frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.pictures import read_image
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range
from unfog.runs.sample import Plan
from unfog.video import frame_rate
from unfog.video.clips import read_clip
from unfog.video.clips.clip import ASSUMED, Frames
from unfog.video.clips.reduce import luma, reduced
from unfog.video.clips.series import PICTURES
from unfog.video.longer import AUTO as AUTO_METHOD
from unfog.video.longer import Filler, extended, interpolated, require_clips, require_frames
from unfog.video.workflows.output import finish, levels, write_clips

METHODS = ("extend", "interpolate")
LEAD = "What a model of clips draws after, or between, the frames that it was given."


def edit_clip(
    source: str | Path,
    path: Path,
    method: str,
    out: Path,
    *,
    frames: int | None = None,
    factor: int = 2,
    fps: float | None = None,
    by: str = AUTO_METHOD,
    samples: int = 4,
    sampler: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Extend or interpolate a clip into a new folder, as MP4, GIF and edits.npy.

    Args:
        source: A run of clips.
        path: A clip; for "extend" also a picture, which is the first frame. Reduced to the run's
            size, and its middle square taken, where it is larger.
        method: "extend" or "interpolate".
        out: The new folder.
        frames: Of the extended clip, the given ones among them; half a window more by default.
        factor: For "interpolate", the frames from a given one to the next.
        fps: Frames a second of the input, where it does not say.
        by: How frames are known: "given", a posterior method by name, or "auto".
        samples: How many to draw.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        seed: Draw k depends on (seed, k) alone.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: The file is no clip, or an option is out of range.
    """
    with job(out, path) as work:
        if method not in METHODS:
            raise InputError(f"Clips are edited by {' or '.join(METHODS)}, not {method!r}.")
        run = Run.open(source).in_precision(precision)
        require_clips(run)
        require_frames(run)
        plan = Plan.of(run, sampler, steps)
        given, rate, notes = _given(run, path, fps, stills=method == "extend")
        rate = rate * factor if method == "interpolate" else rate
        told = frame_rate.NAME in run.denoiser.conditioner.parts
        filler = Filler.of(run, plan, rate if told else None, by, seed)
        clips, report = given.expand(samples, *given.shape[1:]).clone(), work.progress("editing")
        if method == "extend":
            length = given.shape[2] + run.shape[1] // 2 if frames is None else frames
            x = extended(filler, clips, length, range(samples), report=report)
        else:
            x = interpolated(filler, clips, factor, range(samples), report=report)
        with torch.no_grad():
            x, before = run.codec.decode(x), run.codec.decode(given)
        bounds = data_range(run)
        notes += write_clips(work.folder, "edit", x, bounds, rate)
        summary = {
            "run": run.name,
            "input": path.name,
            "method": method,
            "given": given.shape[2],
            "frames": x.shape[2],
            "fps": rate,
            "by": filler.method,
            "seed": seed,
            **plan.names,
            "precision": run.precision,
            "notes": notes,
        }
        shown = [(f"draw {k}", clip) for k, clip in enumerate(levels(x, bounds))]
        if given.shape[2] > 1:
            shown.insert(0, ("given", levels(before, bounds)[0]))
        return finish(work, shown, rate, work.hide(summary), LEAD)


def _given(
    run: Run, path: Path, fps: float | None, stills: bool
) -> tuple[Tensor, float, list[str]]:
    """The frames of a file on the model's scale, (1, channels, frames, rows, columns), their rate,
    and notes.
    """
    if stills and path.is_file() and path.suffix.lower() in PICTURES:
        notes = list[str]()
        values, rate = picture_of(run, path, notes)[None], ASSUMED if fps is None else fps
    else:
        clip = read_clip(path, fps)
        rate, notes = clip.fps, list(clip.notes)
        values = _natural(run, _fitted(run, clip.frames, path, notes), clip.high)
    with torch.no_grad():
        x = run.codec.encode(values.movedim(0, 1)[None])
    return x, rate, notes


def picture_of(run: Run, path: Path, notes: list[str]) -> Tensor:
    """A picture in natural units as a frame of a run's clips, (channels, rows, columns).

    Args:
        run: A run of clips.
        path: The picture.
        notes: Told what was changed.

    Returns:
        The frame.

    Raises:
        InputError: The picture cannot be read, or is smaller than the clips.
    """
    picture = read_image(path)[None]
    high = float(np.iinfo(picture.dtype).max)
    return _natural(run, _fitted(run, picture, path, notes), high)[0]


def _natural(run: Run, frames: Frames, high: float) -> Tensor:
    """Frames whose white is ``high`` in the run's natural units."""
    low, top = data_range(run)
    return torch.from_numpy(low + frames.astype(np.float32) * ((top - low) / high))


def _fitted(run: Run, frames: Frames, path: Path, notes: list[str]) -> Frames:
    """Frames (frames, channels, rows, columns) of the run's channels and size; notes say what was
    changed.
    """
    channels, _, rows, columns = run.shape
    if channels == 1:
        frames = luma(frames)
    frames = np.broadcast_to(frames, (len(frames), channels, *frames.shape[2:]))
    size = frames.shape[2:]
    if size == (rows, columns):
        return frames
    if rows != columns or min(size) < rows:
        raise InputError(
            f"{path.name} measures {size[1]} x {size[0]} pixels and the model's clips {columns} x "
            f"{rows}; make it that size."
        )
    if frames.dtype == np.uint8:
        change = reduced(rows)
        frames = np.stack([change(np.ascontiguousarray(frame)) for frame in frames])
    top, left = ((n - rows) // 2 for n in frames.shape[2:])
    notes.append(
        f"It was reduced from {size[1]} x {size[0]} pixels to the model's {rows} x {rows}, and its "
        "middle square taken."
    )
    return frames[:, :, top : top + rows, left : left + rows]
