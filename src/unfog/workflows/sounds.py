"""``unfog sample`` and ``unfog restore`` of runs of sound, with the options that they know."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.audio.sounds import SUFFIXES
from unfog.audio.workflows.restore import Asked, restore_sound
from unfog.audio.workflows.sample import Wanted, sample_sounds
from unfog.errors import InputError
from unfog.workflows.restore import require_noise
from unfog.workflows.tasks import Draws, Options, Task
from unfog.workflows.ways import scale

OF_WANTED = ("label", "text", "beats", "mel", "seconds")


def is_sound_file(paths: Sequence[Path]) -> bool:
    """Whether the one input is a file of sound."""
    return len(paths) == 1 and paths[0].name.lower().endswith(SUFFIXES)


def restore_sound_file(
    source: str | Path,
    paths: Sequence[Path],
    task: Task,
    out: Path,
    options: Options,
    draws: Draws,
) -> dict[str, Any]:
    """Restore a sound: the workflow of a ``Task`` for files of sound.

    Args:
        source: A run of sound.
        paths: The one sound.
        task: What happened to it.
        out: The new folder.
        options: The mask, and the factor.
        draws: Noise, method, sampler and samples.

    Returns:
        The summary.

    Raises:
        InputError: The input is no sound, or an option means nothing to sounds.
    """
    if not is_sound_file(paths):
        raise InputError(f"To {task.name}, give one sound ({', '.join(SUFFIXES)}).")
    if draws.to or draws.noise_model != "gaussian":
        raise InputError("Sounds are restored without --to and --noise-model; leave them out.")
    asked = Asked(
        require_noise(draws.noise),
        options.mask,
        None if options.factor == Options().factor else options.factor,
        draws.method,
        draws.samples,
        draws.sampler,
        draws.steps,
        draws.seed,
        draws.precision,
    )
    return restore_sound(source, paths[0], task.name, out, asked)


def draw_sounds(
    source: Path, count: int | None, out: Path, guidance: str | None = None, **options: Any
) -> dict[str, Any]:
    """Sounds of a run.

    Args:
        source: The run.
        count: How many.
        out: The new folder.
        guidance: Scale of classifier-free guidance, as the user wrote it.
        **options: Of ``audio.workflows.sample.Wanted``, and others of ``sample_sounds``.

    Returns:
        The summary.

    Raises:
        InputError: The guidance is no number.
    """
    told = {name: options.pop(name, None) for name in OF_WANTED}
    wanted = Wanted(**told, guidance=scale(guidance, "sounds"))
    return sample_sounds(source, count, out, wanted, **options)
