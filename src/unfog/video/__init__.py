"""Video: clips in and out, data sets, the system ``video``, longer clips, and their measures."""
