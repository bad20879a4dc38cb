"""DynamiCrafter (Xing et al. 2023, arXiv:2310.12190): a picture animated by latent video
diffusion.
"""
