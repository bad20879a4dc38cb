"""``unfog sample``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unfog.cli.options import (
    AsJson,
    In,
    Out,
    Precision,
    Run,
    Sampler,
    Seed,
    Steps,
    class_number,
    emit,
    levels,
    sizes,
)
from unfog.errors import InputError


def sample(
    run: Run,
    out: Out,
    count: Annotated[
        int | None,
        typer.Option(
            "-n",
            min=1,
            help="How many samples, of each mask or prompt: 16, or 1 of several.",
            show_default=False,
        ),
    ] = None,
    sampler: Sampler = None,
    steps: Steps = None,
    grid: Annotated[
        str | None,
        typer.Option(
            help="Times of the steps, such as trailing or karras; the run's own by default."
        ),
    ] = None,
    seed: Seed = 0,
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="The class to sample, of a run trained with classes: its number, or of sounds its "
            "name.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the samples show where, of a run trained with masks: labels (.nii.gz, .png, "
            ".npy), or probabilities with an axis of classes (4-D .nii.gz, .npy of floats).",
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="K,..", help="The classes of the mask that are asked for; the others are free."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT|@FILE",
            help="What the samples show, of a run trained with text: a prompt, several with "
            "weights ('a red heart:0.7 | a blue heart:0.3'), or a file of one a line.",
        ),
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(metavar="PROMPT", help="What the samples are to be unlike, under guidance."),
    ] = None,
    guidance: Annotated[
        str | None,
        typer.Option(
            metavar="W|NAME=W,..",
            help="Classifier-free guidance: 0 ignores class, mask and text, 1 uses them, more "
            "insists; or a scale for each, such as mask=2,class=1.5.",
        ),
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            "--guidance-interval",
            metavar="LOW,HIGH",
            help="Noise levels (sigma / alpha) between which there is guidance; all by default.",
        ),
    ] = None,
    rescale: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the way that guided samples are taken back to their unguided spread.",
        ),
    ] = None,
    seamless: Annotated[
        bool,
        typer.Option(
            "--seamless", help="Go on at the opposite border, so that copies tile: for textures."
        ),
    ] = False,
    shape: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,N",
            help="Size of a sample; a volume larger than the training's is made in windows.",
        ),
    ] = None,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows",
            help="Make a picture larger than the training's in overlapping windows of that size: "
            "for panoramas and large canvases.",
        ),
    ] = False,
    level: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Of a cascade: noise in the small pictures, so that upsamplers trust them less.",
        ),
    ] = 0.0,
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Of clips: frames of one; more than in training go on and on."),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, help="Of clips: frames a second; 8 by default.")
    ] = None,
    longer: Annotated[
        str | None,
        typer.Option(
            metavar="extend|hierarchy",
            help="Of clips longer than in training: one part after the other, or every fourth "
            "frame first.",
        ),
    ] = None,
    atoms: Annotated[
        int | None,
        typer.Option(min=1, help="Of molecules: atoms of each; as in training by default."),
    ] = None,
    asked: Annotated[
        str | None,
        typer.Option(
            "--property", metavar="NAME=VALUE", help="Of molecules: a property, in its unit."
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Of molecules: a fragment that each keeps, or pieces to be linked.",
        ),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Of sounds: how long; as in training by default.")
    ] = None,
    tempo: Annotated[
        float | None, typer.Option(min=1, help="Of loops: their tempo in beats a minute.")
    ] = None,
    mel: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Of a vocoder: the sound whose spectrogram it follows."),
    ] = None,
    vocoder: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Of a run that draws spectrograms: what makes sounds of them; Griffin-Lim by "
            "default.",
        ),
    ] = None,
    precision: In = Precision.auto,
    as_json: AsJson = False,
) -> None:
    """Draw samples from a run, or from a cascade.

    Pictures with a contact sheet, or NIfTI volumes, and samples.npy with the numbers; with --mask
    the mask of each sample beside it, and masks.npy; with --text the prompt in each name, and
    metadata.jsonl. Of a run of clips MP4, GIF and report.html, which plays them; of sound WAV, and
    such a page; of molecules SDF with bonds, XYZ and report.html, which turns them.
    """
    from unfog.workflows.cascade import is_cascade
    from unfog.workflows.clips import is_video, sample_video
    from unfog.workflows.molecules import draw_molecules, is_molecules
    from unfog.workflows.sample import sample_run
    from unfog.workflows.sounds import is_sound, sample_by_run

    of_sound = {"seconds": seconds, "beats": tempo, "mel": mel, "vocoder": vocoder}
    of_molecules = {"--atoms": atoms, "--property": asked, "--keep": keep}
    of_clips = {"--frames": frames, "--fps": fps, "--longer": longer}
    if is_sound(run):
        strange: dict[str, object] = {"--mask": mask, "--only": only, "--negative": negative}
        strange |= {"--guidance-interval": interval, "--rescale": rescale, "--shape": shape}
        strange |= {"--seamless": seamless or None, "--windows": windows or None}
        strange |= {**of_molecules, **of_clips}
        options: dict[str, Any] = {"sampler": sampler, "steps": steps, "grid": grid, "seed": seed}
        options |= {"label": label, "text": text, "guidance": guidance, **of_sound}
        emit(sample_by_run(run, count, out, strange, precision.value, **options), as_json)
        return
    if any(value is not None for value in of_sound.values()):
        raise InputError(
            "--seconds, --tempo, --mel and --vocoder are of a run of sound; leave them out."
        )
    number = None if label is None else class_number(label)

    if is_molecules(run):
        foreign: dict[str, object] = {"--class": label, "--mask": mask, "--only": only}
        foreign |= {"--text": text, "--negative": negative, "--guidance-interval": interval}
        foreign |= {"--rescale": rescale, "--shape": shape, "--seamless": seamless or None}
        foreign |= {"--windows": windows or None, "--grid": grid, "--level": level or None}
        told: dict[str, Any] = {"atoms": atoms, "asked": asked, "keep": keep, "seed": seed}
        told |= {"guidance": guidance, "sampler": sampler, "steps": steps}
        told |= {"precision": precision.value}
        emit(draw_molecules(run, count, out, {**foreign, **of_clips}, **told), as_json)
        return
    if any(value is not None for value in of_molecules.values()):
        raise InputError(f"{', '.join(of_molecules)} are of a run of molecules; leave them out.")
    if is_video(run):
        others: dict[str, object] = {"--class": label, "--mask": mask, "--only": only}
        others |= {"--text": text, "--negative": negative, "--guidance": guidance}
        others |= {"--guidance-interval": interval, "--rescale": rescale, "--shape": shape}
        others |= {"--seamless": seamless or None, "--windows": windows or None}
        how: dict[str, Any] = {"sampler": sampler, "steps": steps, "grid": grid, "seed": seed}
        how |= {"frames": frames, "fps": fps, "precision": precision.value}
        emit(sample_video(run, count, out, others, longer=longer, **how), as_json)
        return
    if any(value is not None for value in of_clips.values()):
        raise InputError(f"{', '.join(of_clips)} are of a run of clips; leave them out.")

    if is_cascade(run):
        unknown = {
            "--sampler": sampler,
            "--grid": grid,
            "--class": number,
            "--mask": mask,
            "--only": only,
            "--guidance-interval": interval,
            "--rescale": rescale,
            "--shape": shape,
        }
        wanted: dict[str, Any] = {
            "seed": seed,
            "level": level,
            "steps": steps,
            "precision": precision.value,
        }
        wanted |= {"text": text, "negative": negative, "seamless": seamless, "windows": windows}
        emit(_from_cascade(run, count, out, unknown, guidance, wanted), as_json)
        return
    if level:
        raise InputError("--level is of a cascade's upsamplers; leave it out.")
    result = sample_run(
        run,
        count,
        out,
        sampler=sampler,
        steps=steps,
        grid=grid,
        seed=seed,
        label=number,
        mask=mask,
        only=only,
        text=text,
        negative=negative,
        guidance=guidance,
        interval=None if interval is None else levels("--guidance-interval", interval),
        rescale=rescale,
        seamless=seamless,
        shape=None if shape is None else sizes("--shape", shape),
        windows=windows,
        precision=precision.value,
    )
    emit(result, as_json)


def _from_cascade(
    source: Path,
    count: int | None,
    out: Path,
    others: Mapping[str, object],
    guidance: str | None,
    wanted: Mapping[str, Any],
) -> dict[str, Any]:
    """Samples of a cascade; ``InputError`` for options that it does not know."""
    from unfog.workflows.cascade import sample_cascade

    given = [name for name, value in others.items() if value is not None]
    if given:
        raise InputError(f"A cascade draws by --text; leave out {', '.join(given)}.")
    try:
        scale = None if guidance is None else float(guidance)
    except ValueError as error:
        raise InputError(f"The guidance of a cascade is one number, not {guidance!r}.") from error
    return sample_cascade(source, count, out, guidance=scale, **wanted)
