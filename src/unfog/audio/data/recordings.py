"""The data set ``recordings``: clips out of the user's own sounds."""

from __future__ import annotations

from pathlib import Path

from unfog.audio.data.cuts import Cuts, prepared
from unfog.audio.sounds import SUFFIXES, read_sound
from unfog.data.captions import read_captions
from unfog.data.dataset import datasets
from unfog.errors import InputError
from unfog.files.listing import files_below


@datasets.register("recordings")
class Recordings(Cuts):
    """Clips (channels, frames) cut out of the sounds below a folder, or out of one.

    Args:
        path: The folder or the file.
        rate: Frames a second; the files' own, which must be one, by default.
        channels: 1 for mono; the files' own by default.
        frames: Of a clip.
        stride: From one clip to the next, in frames; half a clip by default.
        classes: Whether the folder that a file lies in is its class.
        captions: True to look for captions as of pictures (``data.captions``), or a table's path;
            the files' names are captions where there is no table.
        scaled: Whether each recording's largest value becomes .9.

    Raises:
        InputError: There is no sound, or one is damaged, silent, or unlike the others.
    """

    def __init__(
        self,
        path: str,
        rate: int | None = None,
        channels: int | None = None,
        frames: int = 16_384,
        stride: int | None = None,
        classes: bool = False,
        captions: bool | str = False,
        scaled: bool = True,
    ) -> None:
        folder = Path(path)
        files = [f for f in files_below(folder) if f.name.lower().endswith(SUFFIXES)]
        if not files:
            raise InputError(
                f"{folder.name} holds no sounds ({', '.join(SUFFIXES)}); name the folder that does."
            )
        sounds = [prepared(read_sound(file), rate, channels, scaled) for file in files]
        words = read_captions(folder, files, captions) if captions else None
        super().__init__(
            "recordings",
            sounds,
            frames,
            stride,
            labels=[file.parent.name for file in files] if classes else None,
            captions=words,
            options={"scaled": scaled},
        )
