"""Clips in files: MP4, WebM and GIF, folders of frames, arrays and series of volumes."""

from unfog.video.clips.clip import Clip, resampled
from unfog.video.clips.encode import write_clip
from unfog.video.clips.files import read_clip, read_clips

__all__ = ["Clip", "read_clip", "read_clips", "resampled", "write_clip"]
