"""A denoiser's network as an ONNX file, for programs without torch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from unfog.core.conditioning import Context
from unfog.errors import MissingExtra
from unfog.networks.network import Network

OPSET = 18


class _Called(nn.Module):
    """A network as ONNX calls it: (x, label)."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        out: Tensor = self.network(x, label, Context())
        return out


class _CalledOfClass(_Called):
    """A network of classes as ONNX calls it: (x, label, classes), these whole numbers."""

    def forward(self, x: Tensor, label: Tensor, classes: Tensor) -> Tensor:  # type: ignore[override]
        vector = one_hot(classes, self.network.vector_width or 1).float()
        out: Tensor = self.network(x, label, Context(vector=vector))
        return out


def write_onnx(network: Network, path: Path, shape: tuple[int, ...]) -> list[str]:
    """Write a network as ONNX, for batches of any size.

    Args:
        network: The network, which takes no condition but a class as a one-hot vector.
        path: The new file.
        shape: Of a sample, (channels, *space).

    Returns:
        The names of its inputs: x (batch, channels, *space) float32, label (batch,) float32, and
        classes (batch,) int64 where there are such.

    Raises:
        MissingExtra: onnx or onnxscript is not installed.
    """
    for package in ("onnx", "onnxscript"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtra("onnx", package) from error
    called: nn.Module = _Called(network)
    example = {"x": torch.randn(2, *shape), "label": torch.tensor([1.0, 500.0])}
    if network.vector_width is not None:
        called = _CalledOfClass(network)
        example["classes"] = torch.tensor([0, network.vector_width - 1])
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it misses torchvision
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            called.eval(),
            tuple(example.values()),
            str(path),
            input_names=list(example),
            output_names=["out"],
            dynamic_shapes={name: {0: batch} for name in example},
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    return list(example)
