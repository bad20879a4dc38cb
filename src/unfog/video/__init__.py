"""Video: clips are samples with the axes (time, height, width)."""
