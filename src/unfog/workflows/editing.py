"""``unfog edit``: what edits by a run, for each method, and by which options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.video.workflows.animate import animate_file
from unfog.video.workflows.edit import edit_clip
from unfog.workflows.cascade import edit_by_cascade, is_cascade
from unfog.workflows.edit import edit_file
from unfog.workflows.kinds import is_video
from unfog.workflows.ways import Way

COMMON = {
    "-n": "samples",
    "--steps": "steps",
    "--seed": "seed",
    "--precision": "precision",
    "--guidance": "guidance",
}


def _animated(run: Path, source: Path, _: str, out: Path, **options: Any) -> dict[str, Any]:
    """A picture animated by a run."""
    return animate_file(run, source, out, **options)


PICTURES = Way(
    "a run of pictures",
    lambda run: not is_cascade(run) and not is_video(run),
    edit_file,
    {
        **COMMON,
        "--strength": "strength",
        "--from": "before",
        "--to": "after",
        "--mask": "mask",
        "--iterations": "iterations",
        "--sampler": "sampler",
        "--other": "other",
        "--swatch": "swatch",
    },
)
CASCADE = Way("a cascade", is_cascade, edit_by_cascade, {**COMMON, "--other": "other"})
CLIPS = Way(
    "a run of clips",
    is_video,
    edit_clip,
    {name: word for name, word in COMMON.items() if name != "--guidance"}
    | {
        "--frames": "frames",
        "--factor": "factor",
        "--fps": "fps",
        "--by": "by",
        "--sampler": "sampler",
    },
)
ANIMATED = Way(
    "a run of clips",
    is_video,
    _animated,
    {
        **COMMON,
        "--other": "other",
        "--loop": "looping",
        "--text": "text",
        "--fps": "fps",
        "--image-guidance": "image_guidance",
    },
)
WAYS = {
    "sdedit": (PICTURES,),
    "inversion": (PICTURES,),
    "inpaint": (PICTURES,),
    "variations": (CASCADE,),
    "texture": (PICTURES,),
    "interpolate": (CASCADE, CLIPS, PICTURES),
    "extend": (CLIPS,),
    "animate": (ANIMATED,),
}
