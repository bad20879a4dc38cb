"""Sound: files, data sets, DiffWave, spectrogram latents, restoration."""
