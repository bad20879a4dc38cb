"""Denoising diffusion MRI: the noise, low rank, the posterior mean under a prior, missing
directions.
"""
