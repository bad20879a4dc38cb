"""Sampling: grids, one loop, stateless samplers."""

from unfog.sampling.grids import grids
from unfog.sampling.loop import sample, trajectory
from unfog.sampling.samplers import samplers

__all__ = ["grids", "sample", "samplers", "trajectory"]
