"""A measurement of data in natural units, as one of data on the model's scale."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from unfog.core.codec import Codec
from unfog.physics.linear import Operator
from unfog.physics.measurement import Measurement
from unfog.runs.run import Run


@dataclass(frozen=True)
class Decoded:
    """The measurement A(decode(x')) of what a model works on, differentiable."""

    operator: Operator | Measurement
    codec: Codec

    def __call__(self, x: Tensor) -> Tensor:
        return self.operator(self.codec.decode(x))

    def of(self, rows: list[int]) -> Decoded:
        """That of the images of these numbers."""
        if not isinstance(self.operator, Operator):
            return self
        return Decoded(self.operator.of(rows), self.codec)


@dataclass(frozen=True)
class ScaledMeasurement:
    """y = A x + sigma noise with x on the model's scale.

    Args:
        y: Measurements, (images, channels', *space').
        operator: A.
        sigma: The noise's standard deviation, in the units of ``y``.
        shape: Of x, (channels, *space).
    """

    y: Tensor
    operator: Operator | Decoded
    sigma: float
    shape: tuple[int, ...]

    def of(self, rows: list[int]) -> ScaledMeasurement:
        """The measurements of the images of these numbers."""
        return replace(self, y=self.y[rows], operator=self.operator.of(rows))


def _image_shape(
    run: Run, measurement: Tensor, operator: Operator | Measurement
) -> tuple[int, ...]:
    """The shape of the image that was measured, (channels, *space)."""
    if not isinstance(operator, Operator):
        return run.shape
    return (run.shape[0], *operator.adjoint(measurement[:1]).shape[2:])


def on_model_scale(
    run: Run, measurement: Tensor, operator: Operator | Measurement, sigma: float
) -> ScaledMeasurement:
    """The measurement as one of data on the model's scale x', where x = scale x' + offset.

        (y - A offset) / scale = A x' + (sigma / scale) noise      A linear
                             y = A(decode(x')) + sigma noise     any other A, or any other codec

    Args:
        run: Its codec gives scale and offset.
        measurement: y of x in natural units, (images, channels', *space').
        operator: A.
        sigma: The noise's standard deviation, in the units of y.

    Returns:
        The measurement of x'.
    """
    if not run.codec.affine:
        shape = _image_shape(run, measurement, operator)
        decoded = Decoded(operator, run.codec)
        return ScaledMeasurement(measurement, decoded, sigma, run.codec.latent_shape(shape))
    if not isinstance(operator, Operator):
        return ScaledMeasurement(measurement, Decoded(operator, run.codec), sigma, run.shape)
    # The codec is affine: its values at 0 and 1 give offset and scale.
    space = tuple(operator.adjoint(measurement[:1]).shape[2:])
    zero = torch.zeros(1, run.shape[0], *space)
    offset = run.codec.decode(zero)
    one = run.codec.decode(torch.ones_like(zero))
    scale = float((one - offset).flatten()[0])
    y = (measurement - operator(offset)) / scale
    return ScaledMeasurement(y, operator, sigma / scale, (run.shape[0], *space))
