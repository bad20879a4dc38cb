"""The features of the perceptual distance, by name: of ImageNet, or of a run on data alike."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.evaluation.features import feature_network, image_feature_maps
from unfog.training.objectives.perceptual import Features

features: Registry[Features | None] = Registry("features")
LEAST_SIDE = 32  # of a picture that ImageNet's features look at; smaller ones are enlarged


@features.register("none")
def none(shape: Sequence[int]) -> None:
    """No perceptual distance."""
    return


@features.register("imagenet")
def imagenet(shape: Sequence[int]) -> Features:
    """EfficientNet-Lite0's maps of pictures, trained on ImageNet (``unfog data fetch
    efficientnet-lite0``).

    Args:
        shape: Of a sample, (1 or 3 channels, height, width).

    Raises:
        InputError: The data are no pictures.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(
            f"ImageNet's features are of pictures in grey or colour, and these data are "
            f"{tuple(shape)}; take the features of a run on them: --set "
            "objective.features.name=run --set objective.features.run=RUN, or none."
        )
    network = feature_network().requires_grad_(False)
    factor = max(1, -(-LEAST_SIDE // min(shape[1:])))

    def maps(x: Tensor) -> list[Tensor]:
        larger = torch.nn.functional.interpolate(x.float(), scale_factor=factor, mode="bilinear")
        return image_feature_maps(network.to(x.device), (larger if factor > 1 else x + 0) / 2 + 0.5)

    return maps


@features.register("run")
def of_run(shape: Sequence[int], run: str, noise: float = 0.1) -> Features:
    """The maps of a denoiser's U-Net, trained on such data itself, in any dimension.

    Args:
        shape: Of a sample, (channels, *space).
        run: The run, by path or name.
        noise: The noise level sigma / alpha that its network is told; none is added.

    Raises:
        InputError: The run is of data of other channels or axes, or in a latent space.
    """
    from unfog.runs.run import Run  # which is built of configs, whose check needs these names

    model = Run.open(run)
    if not model.codec.affine or (model.shape[0], len(model.shape)) != (shape[0], len(shape)):
        raise InputError(
            f"The features of {model.name} are of samples {model.shape}, and these are "
            f"{tuple(shape)}; take a run on data alike."
        )
    denoiser = model.denoiser
    t = denoiser.process.t_of_noise_level(torch.tensor(noise, dtype=torch.float64))

    def maps(x: Tensor) -> list[Tensor]:
        place = denoiser.to(x.device)
        x_t = x.float() * float(denoiser.process.alpha(t))
        return place.features(x_t, t, place.conditioner(x_t, {}, {}))

    return maps
