"""Fibre orientations with their uncertainty."""
