"""Files to files: samples of a run of sound, and sounds restored."""
