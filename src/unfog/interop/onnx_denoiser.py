"""A denoiser's network as an ONNX file, for programs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from unfog.core.conditioning import Context
from unfog.errors import MissingExtra
from unfog.networks.network import Network

OPSET = 18


class _Called(nn.Module):
    """A network as ONNX calls it: (x, label), or (x, label, classes) with whole numbers."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        context = Context()
        if classes is not None:
            vector = one_hot(classes, self.network.vector_width or 1).float()
            context = Context(vector=vector)
        out: Tensor = self.network(x, label, context)
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
    example: list[Tensor] = [torch.randn(2, *shape), torch.tensor([1.0, 500.0])]
    names = ["x", "label"]
    if network.vector_width is not None:
        example.append(torch.tensor([0, network.vector_width - 1]))
        names.append("classes")
    batch = torch.export.Dim("batch", min=1)
    shapes: Any = {name: {0: batch} for name in names}
    called = _Called(network).eval()
    if "classes" not in names:
        shapes["classes"] = None
        example_args: tuple[Any, ...] = (*example, None)
    else:
        example_args = tuple(example)
    with torch.no_grad():
        torch.onnx.export(
            called,
            example_args,
            str(path),
            input_names=names,
            output_names=["out"],
            dynamic_shapes=shapes,
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    return names
