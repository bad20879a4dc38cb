"""A measurement of data in natural units, as one of data on the model's scale."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unfog.physics.linear import Operator
from unfog.physics.measurement import Measurement
from unfog.runs.run import Run


@dataclass(frozen=True)
class ScaledMeasurement:
    """y = A x + sigma noise with x on the model's scale.

    Args:
        y: Measurements, (images, channels', *space').
        operator: A, an ``Operator`` or any other function of x.
        sigma: The noise's standard deviation, in the units of ``y``.
        shape: Of x, (channels, *space).
    """

    y: Tensor
    operator: Any
    sigma: float
    shape: tuple[int, ...]

    def of(self, rows: list[int]) -> ScaledMeasurement:
        """The measurements of the images of these numbers."""
        linear = isinstance(self.operator, Operator)
        operator = self.operator.of(rows) if linear else self.operator
        return replace(self, y=self.y[rows], operator=operator)


def on_model_scale(
    run: Run, measurement: Tensor, operator: Operator | Measurement, sigma: float
) -> ScaledMeasurement:
    """The measurement as one of data on the model's scale x', where x = scale x' + offset.

        (y - A offset) / scale = A x' + (sigma / scale) noise      A linear
                             y = A(scale x' + offset) + sigma noise      any other A

    Args:
        run: Its codec gives scale and offset.
        measurement: y of x in natural units, (images, channels', *space').
        operator: A.
        sigma: The noise's standard deviation, in the units of y.

    Returns:
        The measurement of x'.
    """
    if not isinstance(operator, Operator):
        return ScaledMeasurement(
            measurement, lambda x: operator(run.codec.decode(x)), sigma, run.shape
        )
    # The codec is affine: its values at 0 and 1 give offset and scale.
    space = tuple(operator.adjoint(measurement[:1]).shape[2:])
    zero = torch.zeros(1, run.shape[0], *space)
    offset = run.codec.decode(zero)
    one = run.codec.decode(torch.ones_like(zero))
    scale = float((one - offset).flatten()[0])
    y = (measurement - operator(offset)) / scale
    return ScaledMeasurement(y, operator, sigma / scale, (run.shape[0], *space))
