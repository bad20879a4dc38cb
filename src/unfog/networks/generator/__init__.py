"""Generators: networks that make a sample of noise in one call, and are no denoisers."""

from unfog.networks.generator.critic import Critic
from unfog.networks.generator.gan import Upward
from unfog.networks.generator.generator import Generator, generators
from unfog.networks.generator.hierarchical import HierarchicalVAE
from unfog.networks.generator.vae import VAE, Bound, Variational

__all__ = [
    "VAE",
    "Bound",
    "Critic",
    "Generator",
    "HierarchicalVAE",
    "Upward",
    "Variational",
    "generators",
]
