"""Measurements: linear operators with adjoint and pseudo-inverse, and noise models."""
