"""Networks: (x, label, context) -> out."""

from unfog.networks.registry import networks
from unfog.networks.unet import UNet

__all__ = ["UNet", "networks"]
