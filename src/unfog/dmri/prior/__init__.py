"""The prior for diffusion MRI: its recipe and its training pairs."""
