r"""The feature spaces of distances, by name: a distance means nothing without its features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.evaluation.features import NAME, feature_network, image_features
from unfog.evaluation.learned_features import learned_network

BATCH = 256


@dataclass(frozen=True)
class FeatureSpace:
    """A feature space.

    Args:
        title: What it is, for a report.
        of: From samples (n, channels, *space) in [0, 1] to features (n, d).
    """

    title: str
    of: Callable[[Tensor], Tensor]


feature_spaces: Registry[FeatureSpace] = Registry("feature space")


@feature_spaces.register("pixels")
def pixels(x: Tensor, labels: Tensor | None = None) -> FeatureSpace:
    """The samples' own numbers; the others of this registry take the same arguments.

    Args:
        x: Real samples (n, channels, *space) in [0, 1], for spaces that are learned.
        labels: Their classes (n,), where they have some.

    Returns:
        The space.
    """
    return FeatureSpace("the samples' own numbers", lambda samples: samples.flatten(1).float())


@feature_spaces.register("imagenet")
def imagenet(x: Tensor, labels: Tensor | None = None) -> FeatureSpace:
    """EfficientNet-Lite0's, trained on ImageNet; a Frechet distance in them is no FID, whose
    network is another.
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3):
        raise InputError(
            f"ImageNet's features are of pictures in grey or colour, not of samples "
            f"{tuple(x.shape[1:])}; take the features 'pixels'."
        )
    network = feature_network()
    return FeatureSpace(
        f"EfficientNet-Lite0 on ImageNet ({NAME})",
        lambda samples: image_features(samples.float().clamp(0, 1), network),
    )


@feature_spaces.register("data")
def learned(x: Tensor, labels: Tensor | None = None) -> FeatureSpace:
    """A small network's that is trained on the real samples themselves."""
    network = learned_network(x, labels)
    task = "turns" if labels is None else "classes"

    def of(samples: Tensor) -> Tensor:
        return torch.cat([network.features(part.float()) for part in torch.split(samples, BATCH)])

    return FeatureSpace(f"a network trained on the data to tell {task} apart", of)
