"""Checks of a diffusion scan before and after it is denoised."""
