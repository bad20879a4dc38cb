"""A file of sound as an inverse problem: what happened to it, and its samples on the model's
scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from unfog.audio import damage
from unfog.audio.reverberation import reverberation
from unfog.audio.sounds.files import describe, read_blocks
from unfog.audio.sounds.resample import count, resampled_blocks
from unfog.audio.sounds.sound import Samples
from unfog.errors import InputError

TASKS = ("denoise", "inpaint", "superres", "declip", "dereverb")
PEAK = 0.9  # to which a sound is scaled, as in training
CLIPPED = 0.5  # of its true peak, at which a clipped sound is taken to be clipped


@dataclass(frozen=True)
class SoundProblem:
    """A damaged sound.

    Args:
        path: The file.
        given: Its rate.
        before: The rate at which it is taken.
        rate: Of the restoration.
        channels: Of the file.
        subtype: How it stores a sample.
        frames: Of the file.
        gain: From the file's values to the model's scale.
        sigma: The noise's deviation on that scale.
        damage: What happened.
    """

    path: Path
    given: int
    before: int
    rate: int
    channels: int
    subtype: str
    frames: int
    gain: float
    sigma: float
    damage: damage.Damage

    @property
    def factor(self) -> int:
        """Samples restored for each one measured."""
        return self.rate // self.before

    @property
    def measured(self) -> int:
        """Frames at the rate at which it is taken."""
        return count(self.frames, self.given, self.before)

    @property
    def notes(self) -> list[str]:
        """Sentences on what was changed."""
        if self.given == self.before:
            return []
        return [f"The file has {self.given} frames a second and was taken at {self.before}."]

    def blocks(self) -> Iterator[Samples]:
        """Its samples on the model's scale, (channels, frames), block by block."""
        for block in resampled_blocks(read_blocks(self.path), self.given, self.before):
            yield block * np.float32(self.gain)


def sound_problem(
    path: Path,
    task: str,
    rate: int,
    noise: float | None = None,
    mask: Path | None = None,
    factor: int | None = None,
) -> SoundProblem:
    """Read a file once, and find what happened to it.

    Args:
        path: The sound.
        task: One of ``TASKS``.
        rate: Of the model.
        noise: The noise's deviation, full scale being 1; None to estimate it for denoise, and next
            to none else.
        mask: For inpaint, a sound that is not 0 in the gaps; None takes rows of zeros.
        factor: For superres, how many times more bandwidth; None follows from the rates.

    Returns:
        The problem.

    Raises:
        InputError: The task is unknown, or the file cannot be restored from it.
    """
    if task not in TASKS:
        raise InputError(f"A sound is restored from {', '.join(TASKS)}, not {task}.")
    facts = describe(path)
    given = int(facts["rate"])
    before = rate // _factor(path, given, rate, factor) if task == "superres" else rate
    heard = damage.listen(read_blocks(path), given)
    _require_sound(path, heard)
    gain = PEAK / heard.peak * (CLIPPED if task == "declip" else 1.0)
    if noise is None:
        noise = heard.noise if task == "denoise" else 0.0
    if task == "denoise":
        kind = damage.NOISE
    elif task == "superres":
        kind = damage.bandwidth(rate // before)
    elif task == "declip":
        kind = damage.clipping(gain * _level(path, heard))
    elif task == "dereverb":
        kind = reverberation(torch.ones(facts["channels"], 1))  # until its room is known
    else:
        kind = damage.gaps(_at_rate(_gaps(path, heard, mask), given, rate))
    return SoundProblem(
        path,
        given,
        before,
        rate,
        facts["channels"],
        facts["subtype"],
        heard.frames,
        gain,
        max(kind.least, gain * noise),
        kind,
    )


def _require_sound(path: Path, heard: damage.Heard) -> None:
    """``InputError`` for a file without frames, or of silence, or of values that are no numbers."""
    if heard.frames == 0:
        raise InputError(f"{path.name} holds 0 frames; give a sound that lasts.")
    if not np.isfinite(heard.peak):
        raise InputError(f"{path.name} has samples that are not finite; mend them.")
    if heard.peak == 0:
        raise InputError(f"{path.name} is silent: every sample is 0; give a sound.")


def _factor(path: Path, given: int, rate: int, asked: int | None) -> int:
    """How many times the bandwidth is extended."""
    factor = asked or rate // given
    if factor < 2 or rate % factor or given > rate // factor:
        raise InputError(
            f"{path.name} has {given} frames a second and the prior is of {rate}; give a file of "
            f"{rate // 2} or {rate // 4} frames a second."
        )
    return factor


def _level(path: Path, heard: damage.Heard) -> float:
    """The value at which a sound is clipped."""
    if heard.clipped < damage.HELD:
        raise InputError(
            f"{path.name} is not clipped: its largest value, {heard.peak:.4g}, stands alone; leave "
            "it as it is."
        )
    return heard.peak


def _gaps(path: Path, heard: damage.Heard, mask: Path | None) -> damage.Flags:
    """Where a sound has gaps, (frames,)."""
    silent = heard.silent
    if mask is not None:
        describe(mask)
        silent = np.concatenate([block.any(0) for block in read_blocks(mask)])
        if len(silent) != heard.frames:
            raise InputError(
                f"{mask.name} has {len(silent)} frames and the input {heard.frames}; make the mask "
                "as long."
            )
    if not silent.any():
        raise InputError(
            f"{path.name} has no gap: no row of zeros of {1000 * damage.SHORTEST:g} ms; give "
            "--mask, a sound that is not 0 in the gaps."
        )
    if silent.all():
        raise InputError(f"{path.name} is all gap; leave something to go by.")
    return silent


def _at_rate(flags: damage.Flags, before: int, after: int) -> damage.Flags:
    """Flags at another rate, each that of the frame before it."""
    at = np.arange(count(len(flags), before, after)) * before // after
    return flags[np.minimum(at, len(flags) - 1)]
