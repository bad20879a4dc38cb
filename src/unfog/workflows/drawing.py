"""``unfog sample``: what draws samples of a run, and by which options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.art.workflows.sample import sample_art
from unfog.core.shard import Shard
from unfog.errors import InputError
from unfog.interop.pipeline_folder import is_pipeline
from unfog.molecules.workflows.sample import sample_molecules
from unfog.video.workflows.sample import sample_clips
from unfog.workflows.cascade import is_cascade, sample_cascade
from unfog.workflows.generated import sample_generator
from unfog.workflows.kinds import is_art, is_generator, is_molecules, is_sound, is_video
from unfog.workflows.sample import sample_run
from unfog.workflows.sounds import draw_sounds
from unfog.workflows.ways import Way, scale

COMMON = {name: name[2:] for name in ("--steps", "--seed", "--precision")}
SAMPLED = {**COMMON, "--sampler": "sampler", "--grid": "grid"}
TOLD = {"--class": "label", "--text": "text", "--guidance": "guidance"}


def _cascade(
    run: Path, count: int | None, out: Path, guidance: str | None = None, **options: Any
) -> dict[str, Any]:
    """Pictures of a cascade."""
    told: dict[str, Any] = {"text": None} | options
    return sample_cascade(run, count, out, guidance=scale(guidance, "a cascade"), **told)


def _molecules(
    run: Path, count: int | None, out: Path, guidance: str | None = None, **options: Any
) -> dict[str, Any]:
    """Molecules of a run."""
    return sample_molecules(run, count, out, guidance=scale(guidance, "molecules"), **options)


def _canvases(
    run: Path, count: int | None, out: Path, shape: str | None = None, **options: Any
) -> dict[str, Any]:
    """Canvases of a run of art."""
    return sample_art(
        run, count, out, shape=None if shape is None else sizes("--shape", shape), **options
    )


def _pictures(
    run: Path,
    count: int | None,
    out: Path,
    interval: str | None = None,
    shape: str | None = None,
    tile: str | None = None,
    shard: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Pictures, volumes or signals of a run."""
    return sample_run(
        run,
        count,
        out,
        interval=None if interval is None else levels("--guidance-interval", interval),
        shape=None if shape is None else sizes("--shape", shape),
        tile=None if tile is None else sizes("--tile", tile),
        shard=None if shard is None else Shard.parse(shard),
        **options,
    )


def _pipeline(run: Path, count: int | None, out: Path, **options: Any) -> dict[str, Any]:
    """Pictures of a pipeline, one of each prompt by default."""
    if options.get("text") is None:
        raise InputError(f"{run} draws what a text says; give --text.")
    return _pictures(run, 1 if count is None else count, out, **options)


PICTURES = {
    **SAMPLED,
    "--text": "text",
    "--guidance": "guidance",
    "--negative": "negative",
    "--guidance-interval": "interval",
    "--rescale": "rescale",
    "--seamless": "seamless",
    "--shape": "shape",
    "--windows": "windows",
    "--palette": "palette",
    "--shard": "shard",
}
WAYS = (
    Way("a pipeline of diffusers", is_pipeline, _pipeline, {**PICTURES, "--lora": "loras"}),
    Way(
        "a cascade",
        is_cascade,
        _cascade,
        {
            **COMMON,
            "--text": "text",
            "--guidance": "guidance",
            "--negative": "negative",
            "--level": "level",
            "--seamless": "seamless",
            "--windows": "windows",
        },
    ),
    Way(
        "a GAN or a VAE",
        is_generator,
        sample_generator,
        {"--seed": "seed", "--class": "label"},
    ),
    Way(
        "a run of sound",
        is_sound,
        draw_sounds,
        {
            **SAMPLED,
            **TOLD,
            "--seconds": "seconds",
            "--tempo": "beats",
            "--mel": "mel",
            "--vocoder": "vocoder",
        },
    ),
    Way(
        "a run of molecules",
        is_molecules,
        _molecules,
        {
            **COMMON,
            "--sampler": "sampler",
            "--guidance": "guidance",
            "--atoms": "atoms",
            "--property": "asked",
            "--keep": "keep",
        },
    ),
    Way(
        "a run of clips",
        is_video,
        sample_clips,
        {**SAMPLED, "--frames": "frames", "--fps": "fps", "--longer": "longer"},
    ),
    Way(
        "a run of art",
        is_art,
        _canvases,
        {
            **COMMON,
            "--shape": "shape",
            "--base": "base",
            "--palette": "palette",
            "--dpi": "dpi",
        },
    ),
    Way(
        "a run of pictures",
        lambda run: True,
        _pictures,
        {
            **PICTURES,
            "--class": "label",
            "--mask": "mask",
            "--only": "only",
            "--property": "properties",
            "--best": "best",
            "--sketch": "sketch",
            "--repeat": "repeat",
            "--tile": "tile",
            "--dpi": "dpi",
        },
    ),
)


def levels(option: str, text: str) -> tuple[float, float]:
    """The lower and the upper bound in an option's text, with a comma between them."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 1.0, 0.0
    if not 0 <= low < high:
        raise InputError(
            f"{option} is two numbers, the smaller first, such as 0.2,5, not {text!r}."
        )
    return low, high


def sizes(option: str, text: str) -> list[int]:
    """The whole numbers in an option's text, separated by commas."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} is whole numbers separated by commas, such as 64,64,64, not {text!r}."
        ) from None
