"""Denoising diffusion MRI: the noise level, low rank, the posterior mean under a prior, DDM^2, and
directions that were not measured.
"""
