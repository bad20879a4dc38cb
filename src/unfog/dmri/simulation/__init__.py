"""Simulated diffusion MRI with known truth: tissue, anatomy, phantoms, noise."""
