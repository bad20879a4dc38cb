"""Diffusion MRI from files to files: what ``unfog dmri`` does."""
