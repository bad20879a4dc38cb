"""Autoencoders between data and a latent space, in 1, 2 or 3 dimensions."""

from unfog.networks.autoencoder.autoencoder import (
    Autoencoder,
    AutoencoderKL,
    AutoencoderVQ,
    Coded,
    autoencoders,
)

__all__ = ["Autoencoder", "AutoencoderKL", "AutoencoderVQ", "Coded", "autoencoders"]
