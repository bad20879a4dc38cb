"""LPIPS through the library's interface, by a stand-in for it: its weights are not at hand here."""

import sys
from types import ModuleType

import pytest
import torch

from unfog.core.random import generator
from unfog.errors import InputError
from unfog.evaluation.perceptual import lpips


class StandIn(torch.nn.Module):
    """The library's interface: pictures in [-1, 1] of three channels, and (n, 1, 1, 1)."""

    def __init__(self, net: str, verbose: bool) -> None:
        super().__init__()
        assert net == "alex"

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        assert x.shape[1] == 3
        assert float(x.min()) >= -1
        return (x - y).abs().mean((1, 2, 3), keepdim=True)


def test_pictures_are_handed_over_as_the_library_takes_them(monkeypatch) -> None:
    library = ModuleType("lpips")
    library.LPIPS = StandIn
    monkeypatch.setitem(sys.modules, "lpips", library)
    x = torch.rand(20, 1, 32, 32, generator=generator("x"))
    found = lpips(x, torch.zeros_like(x))
    torch.testing.assert_close(found, 2 * x.mean((1, 2, 3)))
    with pytest.raises(InputError, match="32 pixels"):
        lpips(x[..., :16], x[..., :16])


def test_a_missing_library_names_its_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    x = torch.rand(1, 3, 32, 32)
    with pytest.raises(InputError, match="torchvision"):
        lpips(x, x)
