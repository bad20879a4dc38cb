"""``unfog edit --method animate``: a picture animated, by a run of ``dynamicrafter``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unfog.errors import InputError
from unfog.files.folder import job
from unfog.runs.machine import AUTO
from unfog.runs.run import Run, data_range
from unfog.runs.sample import Plan
from unfog.video.animate import animate, interpolate, loop
from unfog.video.clips.clip import ASSUMED
from unfog.video.workflows.edit import picture_of
from unfog.video.workflows.output import finish, levels, write_clips

LEAD = "What a model makes of a picture over time."


def animate_file(
    source: str | Path,
    path: Path,
    out: Path,
    *,
    other: Path | None = None,
    looping: bool = False,
    text: str | None = None,
    fps: float | None = None,
    guidance: float = 1.0,
    image_guidance: float = 1.0,
    samples: int = 4,
    steps: int | None = None,
    seed: int = 0,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Animate a picture into a new folder, as MP4, GIF and edits.npy.

    Args:
        source: A run of ``dynamicrafter``.
        path: The picture; reduced to the run's size, and its middle square taken.
        out: The new folder.
        other: A picture on which the clips end.
        looping: Whether the clips go on where they began.
        text: What happens, of a run that was trained with text.
        fps: Frames a second.
        guidance: Scale of the guidance towards the text.
        image_guidance: Scale of that towards what the picture shows.
        samples: How many to draw.
        steps: Sampler steps; the run's own number by default.
        seed: Clip k depends on (seed, k) alone.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: The run animates nothing, or the picture does not fit it.
    """
    with job(out, path, other) as work:
        run = Run.open(source).in_precision(precision)
        if other is not None and looping:
            raise InputError("A loop ends where it began; leave --other or --loop out.")
        notes = list[str]()
        picture = picture_of(run, path, notes)
        options: dict[str, Any] = {"fps": fps, "guidance": guidance, "samples": samples}
        options |= {"image_guidance": image_guidance, "seed": seed, "steps": steps}
        options |= {"report": work.progress("animating")}
        if other is not None:
            clips = interpolate(run, picture, picture_of(run, other, notes), text, **options)
        else:
            clips = (loop if looping else animate)(run, picture, text, **options)
        rate, bounds = ASSUMED if fps is None else fps, data_range(run)
        notes += write_clips(work.folder, "edit", clips, bounds, rate)
        summary = {
            "run": run.name,
            "input": path.name,
            "method": "animate",
            "other": None if other is None else other.name,
            "loop": looping,
            "text": text,
            "frames": clips.shape[2],
            "fps": rate,
            "guidance": guidance,
            "image guidance": image_guidance,
            "seed": seed,
            **Plan.of(run, steps=steps).names,
            "precision": run.precision,
            "notes": notes,
        }
        shown = [(f"draw {k}", clip) for k, clip in enumerate(levels(clips, bounds))]
        return finish(work, shown, rate, work.hide(summary), LEAD)
