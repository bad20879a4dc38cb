"""Data sets of clips; importing this package registers them."""

from unfog.video.data import bundled, moving_fashion, videos

__all__ = ["bundled", "moving_fashion", "videos"]
