"""Sounds into a folder, with a page that plays them and shows their spectrograms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unfog.audio.mel import MelScale
from unfog.audio.sounds import Sound
from unfog.audio.sounds.files import wav_bytes
from unfog.files.folder import Job
from unfog.report import Page, Row, colour
from unfog.report.pictures import Picture

SHOWN = 8  # sounds on a page
PLAYED = 20.0  # seconds of each
HEIGHT, WIDTH = 160, 320  # pixels of a spectrogram


def spectrogram(x: NDArray[np.float32], rate: int) -> Picture:
    """The log-mel spectrogram of a sound (channels, frames) as a picture."""
    m = MelScale(rate).log_mel(torch.from_numpy(x.mean(0, keepdims=True)))[0]
    return picture_of(m)


def picture_of(m: Tensor, low: float = 0.0, high: float = 1.0) -> Picture:
    """A spectrogram (bands, frames) as a picture of ``HEIGHT`` x ``WIDTH`` at most in colours, low
    tones at the bottom.
    """
    frames = min(WIDTH, m.shape[1]) if m.shape[1] > WIDTH else m.shape[1]
    small = torch.nn.functional.adaptive_avg_pool2d(m[None, None].float(), (len(m), frames))[0, 0]
    return colour(small.flip(0).numpy(), low, high)


def sound_page(
    title: str, lead: str, sounds: Sequence[tuple[str, Sound]], summary: Mapping[str, Any]
) -> Page:
    """A page of players and spectrograms.

    Args:
        title: Of the page.
        lead: Below it.
        sounds: The name of each sound, and the sound; the first ones are shown, their first seconds
            played.
        summary: The contents of summary.json.

    Returns:
        The page.
    """
    page, shown = Page(title, lead), [(name, _begun(sound)) for name, sound in sounds[:SHOWN]]
    page.section("Sounds")
    page.sounds(
        [(name, wav_bytes(sound)) for name, sound in shown],
        f"The first {PLAYED:g} seconds at most; what plays lies in this file.",
    )
    page.section("Spectrograms")
    rows = [Row(name, [spectrogram(sound.samples, sound.rate)]) for name, sound in shown]
    page.pictures(rows, "Mel bands up to half the rate, over 100 dB.", largest=640)
    page.provenance(
        {key: value for key, value in summary.items() if key not in ("warnings", "files")},
        "The figures of summary.json.",
    )
    return page


def finish(work: Job, page: Page, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Write report.html and summary.json; what the command prints."""
    work.write_report(page.html())
    return work.end(summary)


def _begun(sound: Sound) -> Sound:
    """The first seconds of a sound."""
    count = round(PLAYED * sound.rate)
    return Sound(sound.samples[:, :count].clip(-1, 1), sound.rate, name=sound.name)
