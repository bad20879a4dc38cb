"""Networks: (x, label, context) -> out."""

from unfog.networks.dit import DiT
from unfog.networks.network import Network
from unfog.networks.perceptron import Perceptron
from unfog.networks.prior_transformer import PriorTransformer
from unfog.networks.registry import networks
from unfog.networks.space_time_unet import SpaceTimeUNet
from unfog.networks.transformer_unet import TransformerUNet
from unfog.networks.unet import UNet

__all__ = [
    "DiT",
    "Network",
    "Perceptron",
    "PriorTransformer",
    "SpaceTimeUNet",
    "TransformerUNet",
    "UNet",
    "networks",
]
