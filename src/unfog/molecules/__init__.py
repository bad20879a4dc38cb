"""Molecules in three dimensions."""
