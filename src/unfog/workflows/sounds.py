"""``unfog sample`` and ``unfog restore`` of runs of sound, with the options that they know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.audio.sounds import SUFFIXES
from unfog.audio.workflows.restore import Asked, restore_sound
from unfog.audio.workflows.sample import Wanted, sample_sounds
from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs.folder import CONFIG
from unfog.workflows.restore import require_noise
from unfog.workflows.tasks import Draws, Options, Task

OF_WANTED = ("label", "text", "beats", "mel", "seconds")


def is_sound(path: str | Path) -> bool:
    """Whether a folder holds a run of sound."""
    config = Path(path) / CONFIG
    if not config.is_file():
        return False
    read = yaml.read(config)
    return isinstance(read, dict) and read.get("format") == "sound"


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


def sample_by_run(
    source: Path,
    count: int | None,
    out: Path,
    others: Mapping[str, object],
    precision: str,
    guidance: str | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Sounds of a run.

    Args:
        source: The run.
        count: How many.
        out: The new folder.
        others: Options that runs of sound do not know, None where they are not given.
        precision: Of the network.
        guidance: Scale of classifier-free guidance, as the user wrote it.
        **options: Of ``audio.workflows.sample.Wanted``, and others of ``sample_sounds``.

    Returns:
        The summary.

    Raises:
        InputError: One of the others is given, or the guidance is no number.
    """
    given = [name for name, value in others.items() if value is not None]
    if given:
        raise InputError(f"A run of sound does not know {', '.join(given)}; leave it out.")
    try:
        scale = None if guidance is None else float(guidance)
    except ValueError as error:
        raise InputError(f"The guidance of sounds is one number, not {guidance!r}.") from error
    wanted = Wanted(**{name: options.pop(name) for name in OF_WANTED}, guidance=scale)
    return sample_sounds(source, count, out, wanted, precision=precision, **options)
