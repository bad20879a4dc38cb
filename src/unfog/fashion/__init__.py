"""Garments: attributes measured from pictures, silhouettes, sketches, and textures of swatches."""
