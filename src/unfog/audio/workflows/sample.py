"""``unfog sample`` of a run of sound."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.audio import mel_condition
from unfog.audio.data import tempo
from unfog.audio.data.form import write_samples
from unfog.audio.inversion import inverted, mel_scale_of, vocode
from unfog.audio.mel_codec import spectrograms_of
from unfog.audio.sounds import Sound, read_sound, resampled
from unfog.audio.workflows.output import finish, sound_page
from unfog.core.named_class import KIND, number_of
from unfog.errors import InputError
from unfog.files.folder import job
from unfog.files.numpy_files import write_array
from unfog.runs.machine import AUTO
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw

LEAD = "Sounds drawn from noise, each by its number and the seed alone."
COUNT = 4


@dataclass(frozen=True)
class Wanted:
    """What the sounds are to be.

    Args:
        label: A class by name or number.
        text: A prompt.
        beats: A tempo in beats a minute.
        mel: A sound whose spectrogram a vocoder is to follow.
        seconds: How long; as in training by default.
        guidance: Scale of classifier-free guidance; with a prompt the run's own by default.
    """

    label: str | None = None
    text: str | None = None
    beats: float | None = None
    mel: Path | None = None
    seconds: float | None = None
    guidance: float | None = None


def sample_sounds(
    source: str | Path,
    count: int | None,
    out: Path,
    wanted: Wanted,
    *,
    vocoder: Path | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    grid: str | None = None,
    seed: int = 0,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Draw sounds into a new folder, as WAV and samples.npy, with a page that plays them.

    Args:
        source: A run's folder.
        count: How many; 4 by default, or 1 of a vocoder.
        out: The new folder.
        wanted: What they are to be.
        vocoder: A run that makes sounds of spectrograms, for a run that draws spectrograms; Griffin
            and Lim's method by default.
        sampler: A sampler by name; the run's own by default.
        steps: Sampler steps; the run's own number by default.
        grid: A grid of times by name; the run's own by default.
        seed: Sound k depends on (seed, k) alone.
        precision: Of the network: "bf16", "fp32", or "auto", the faster one here.

    Returns:
        The summary that is written there too.

    Raises:
        InputError: The run does not know what is wanted.
    """
    with job(out) as work:
        run = Run.open(source).in_precision(precision)
        rate, plan = rate_of(run), Plan.of(run, sampler, steps, grid)
        told, length = _condition(run, wanted, rate)
        total = (1 if wanted.mel else COUNT) if count is None else count
        condition = {name: value.expand(total, *value.shape[1:]) for name, value in told.items()}
        player = None if vocoder is None else Run.open(vocoder).in_precision(precision)
        report = work.progress("sampling")
        guidance = _guidance(run, wanted)
        draws = {"condition": condition, "guidance": guidance, "report": report}
        x = _drawn(run, player, plan, (total, length), seed, **draws)
        write_array(work.folder / "samples.npy", x.numpy())
        write_samples(work.folder, "sample", x.numpy(), rate)
        stated: dict[str, Any] = {"class": wanted.label, "text": wanted.text, "tempo": wanted.beats}
        stated |= {"mel": wanted.mel and wanted.mel.name, "vocoder": player and player.name}
        summary = {
            "run": run.name,
            "samples": total,
            "seconds of sound": length / rate,
            "rate": rate,
            "seed": seed,
            **plan.names,
            **{name: value for name, value in stated.items() if value is not None},
            "precision": run.precision,
        }
        sounds = [(f"sample {k}", Sound(one.clamp(-1, 1).numpy(), rate)) for k, one in enumerate(x)]
        return finish(work, sound_page("unfog sample: sounds", LEAD, sounds, summary), summary)


def rate_of(run: Run) -> int:
    """Samples a second of a run's sounds; ``InputError`` for a run of anything else."""
    if run.config.get("format") != "sound" or "voxel" not in run.config:
        raise InputError(f"{run.name} is no run of sound; train diffwave-small or audio-latent.")
    return round(1 / float(run.config["voxel"][0]))


def _condition(run: Run, wanted: Wanted, rate: int) -> tuple[dict[str, Tensor], int]:
    """What the sounds show, by name, a batch of one, and how many samples they have."""
    sections = run.config.get("conditions") or {}
    kinds = {section["name"]: name for name, section in sections.items()}
    told: dict[str, Tensor] = {}
    if wanted.label is not None:
        name = _name(run, kinds, KIND, "classes", "--class")
        told[name] = torch.tensor([number_of(sections[name], wanted.label)])
    if wanted.beats is not None:
        name = _name(run, kinds, tempo.KIND, "a tempo", "--tempo")
        told[name] = torch.tensor([[wanted.beats]])
    if wanted.text is not None:
        told |= text_condition(run, [Prompt.of(wanted.text)])
    if wanted.mel is not None:
        m, length = _spectrogram_of(run, wanted.mel, rate)
        return {**told, mel_condition.NAME: m}, length
    if "mel" in kinds:
        raise InputError(
            f"{run.name} is a vocoder and makes a sound of a spectrogram; give --mel FILE, a sound "
            "to follow."
        )
    return told, _length(run, wanted.seconds, rate)


def _name(run: Run, kinds: dict[str, str], kind: str, what: str, option: str) -> str:
    """The condition of a kind by its name; ``InputError`` where the run has none."""
    if kind not in kinds:
        raise InputError(f"The run {run.name} was trained without {what}; leave {option} out.")
    return kinds[kind]


def _spectrogram_of(run: Run, path: Path, rate: int) -> tuple[Tensor, int]:
    """The spectrogram (1, bands, frames) of a sound at a vocoder's rate, and its samples."""
    scale = mel_scale_of(run)
    x = torch.from_numpy(resampled(read_sound(path).loud().mono, rate).samples)
    return scale.log_mel(x), x.shape[-1]


def _length(run: Run, seconds: float | None, rate: int) -> int:
    """The samples of a sound: a whole number of frames that the run's network takes."""
    if seconds is None:
        return run.shape[-1]
    if not 0 < seconds < math.inf:
        raise InputError(f"A sound lasts more than 0 seconds, not {seconds}.")
    # Of spectrograms in latents, whole latent frames.
    whole = run.shape[-1] // run.latent_shape[-1]
    return max(1, round(seconds * rate / whole)) * whole


def _guidance(run: Run, wanted: Wanted) -> float | None:
    """The guidance asked for, or with a prompt the run's own."""
    if wanted.guidance is None and wanted.text is not None:
        own = run.config["sampling"].get("guidance")
        return None if own is None else float(own)
    if wanted.guidance is not None and all(
        one is None for one in (wanted.label, wanted.text, wanted.beats)
    ):
        raise InputError("Guidance needs something to guide towards; give --class or --text too.")
    return wanted.guidance


def _drawn(
    run: Run, vocoder: Run | None, plan: Plan, size: tuple[int, int], seed: int, **options: Any
) -> Tensor:
    """The sounds, (count, channels, samples): drawn as such, or as spectrograms and inverted.

    Args:
        run: The model.
        vocoder: What makes sounds of spectrograms, or None.
        plan: Sampler and times.
        size: How many sounds, and how many samples of each.
        seed: The seed.
        **options: Others of ``runs.sample.draw``.

    Returns:
        The sounds.
    """
    seen = spectrograms_of(run.codec)
    if vocoder is not None and seen is None:
        raise InputError(f"{run.name} draws sounds and needs no vocoder; leave --vocoder out.")
    count, length = size
    if mel_condition.NAME in options["condition"]:
        m = options["condition"][mel_condition.NAME]
        return vocode(run, m, length, plan, seed, report=options["report"])
    drawing = run if seen is None else replace(run, codec=seen)
    x = draw(drawing, plan, range(count), seed, shape=(run.shape[0], length), **options)
    return x if seen is None else inverted(seen.mel.mel, x, length, vocoder, seed)
