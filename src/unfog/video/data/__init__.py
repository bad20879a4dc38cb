"""Data sets of clips; importing this package registers them."""

from unfog.video.data import beating, bundled, moving_fashion, videos

__all__ = ["beating", "bundled", "moving_fashion", "videos"]
