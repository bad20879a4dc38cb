"""Diffusion MRI: gradient tables, simulation, a prior trained on it, and what is read from a scan."""
