"""Cloth: swatches at a scale and a turn, repeats, and what is printed of them."""
