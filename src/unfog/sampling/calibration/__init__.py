"""Solvers learned from a model's own trajectories."""
