"""Diffusion MRI: gradient tables, simulation, a prior trained on it, and what is read from a
scan.
"""

from unfog.dmri.arrays import complete, denoise, fod, gradients

__all__ = ["complete", "denoise", "fod", "gradients"]
