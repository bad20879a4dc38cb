r"""The noise's deviation from the air in magnitudes, where it is Rayleigh's: sigma |n_1 + i n_2|.

Differences of neighbours, which ``physics.noise`` takes, are smaller in air than in tissue, by
sqrt(2 - pi / 2) = 0.655, so they read too little where an image holds much air.
"""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor
from torch.nn.functional import avg_pool2d

SIDE = 5  # of the windows in which air is told from tissue
SPREAD = 0.88  # mean^2 / mean square of a window: 0.785 in air, nearer 1 the more signal there is
# The power of windows of air follows a gamma law of shape 25. Of those from 0.5 to 1.1 of its mean,
# where windows that hold a little tissue are few, the median is at 0.9148.
LOW, HIGH, MEDIAN = 0.5, 1.1, 0.9148
STARTS = (0.02, 0.1, 0.3, 0.5)  # of the dim windows, from where the level of air is looked for
LEAST = 400  # windows
ENOUGH = 1 << 20  # values; of more planes some are looked at, evenly spaced
RAYLEIGH, CLOSE = math.pi / 4, 0.02  # mean^2 / mean square of Rayleigh's law
WHITE = (0.55, 0.75)  # the mixed differences of white Rayleigh noise, which are 0.65 sigma


def air_sigma(x: Tensor) -> float | None:
    """The deviation of either part of Rician noise, from the air of planes (n, channels, rows,
    columns) together; None where there is no air whose noise is white and follows Rayleigh's law.
    """
    if min(x.shape[2:]) < SIDE or bool((x < 0).any()):
        return None
    x = x[:: max(1, x.numel() // ENOUGH)]
    # The power and the spread of windows without zeros, which were not measured.
    power, mean = avg_pool2d(x**2, SIDE, 1) / 2, avg_pool2d(x, SIDE, 1)
    filled = avg_pool2d((x > 0).float(), SIDE, 1) > 1 - 0.5 / SIDE**2
    spread = mean**2 / (2 * power).clamp(min=1e-30)
    dim = power[filled & (spread < SPREAD)]
    if len(dim) < LEAST:
        return None
    # The lowest level about which windows crowd, if it is air's.
    for start in np.quantile(dim.numpy(), STARTS):
        level = _level(power[filled], float(start))
        air = filled & (power > LOW * level) & (power < HIGH * level)
        if _is_white_rayleigh(x, air, math.sqrt(level)):
            return math.sqrt(level)
    return None


def _level(power: Tensor, level: float) -> float:
    """The mean power of air about a level, by the median of the windows near it."""
    for _ in range(100):
        near = power[(power > LOW * level) & (power < HIGH * level)]
        last, level = level, float(near.median()) / MEDIAN if len(near) else level
        if abs(level - last) <= 1e-5 * level:
            break
    return level


def _is_white_rayleigh(x: Tensor, air: Tensor, sigma: float) -> bool:
    """Whether the pixels in the middle of windows of air follow Rayleigh's law and differ from
    their neighbours as white noise does.

    Args:
        x: Planes, (n, channels, rows, columns).
        air: Which of their windows hold air, (n, channels, rows - 4, columns - 4).
        sigma: The deviation that was found.

    Returns:
        Whether they do.
    """
    if int(air.sum()) < LEAST:
        return False
    edge = SIDE // 2
    values = x[..., edge:-edge, edge:-edge][air]
    ratio = float(values.mean() ** 2 / (values**2).mean())
    mixed = x[..., 1:, 1:] - x[..., 1:, :-1] - x[..., :-1, 1:] + x[..., :-1, :-1]
    difference = float(mixed[..., edge : 1 - edge, edge : 1 - edge][air].abs().median())
    white = WHITE[0] < 1.4826 * difference / 2 / sigma < WHITE[1]
    return white and abs(ratio - RAYLEIGH) < CLOSE
