r"""Ridge regression of a shell's signals on harmonics, which knows nothing of anatomy: what a prior
must be better than.

    c = (B^T B + lambda L)^-1 B^T S,   L = diag(l^2 (l + 1)^2)     (Descoteaux et al. 2007),

with lambda by generalised cross-validation (Golub et al. 1979),

    least |(1 - H) S|^2 / (tr (1 - H))^2,   H = B (B^T B + lambda L)^-1 B^T.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.harmonics import degrees
from unfog.dmri.shells import ORDER, basis

LAMBDAS = 10.0 ** np.arange(-6, 2, 0.25)


def ridge(
    signals: NDArray[Any], directions: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Signals at other directions of a shell.

    Args:
        signals: (voxels, n), with white noise.
        directions: (n, 3), unit axes that were measured.
        at: (m, 3), those to predict.

    Returns:
        (voxels, m).
    """
    b = basis(directions).numpy()
    inverse = _smoother(b, _best_lambda(signals.astype(np.float64), b))
    return np.asarray(signals @ (basis(at).numpy() @ inverse).T, np.float32)


def _smoother(b: NDArray[np.float64], weight: float) -> NDArray[np.float64]:
    """(B^T B + lambda L)^-1 B^T, (15, n); order 0 hardly weighed, so that it can be inverted."""
    order = degrees(ORDER).numpy().astype(np.float64)
    penalty = weight * (order * (order + 1)) ** 2 + 1e-9
    return np.asarray(np.linalg.solve(b.T @ b + np.diag(penalty), b.T))


def _best_lambda(signals: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The weight of least generalised cross-validation over all voxels."""
    power, n = signals.T @ signals, len(b)
    scores = []
    for weight in LAMBDAS:
        left = np.eye(n) - b @ _smoother(b, weight)
        scores.append(np.trace(left @ power @ left.T) / max(np.trace(left), 1e-9) ** 2)
    return float(LAMBDAS[int(np.argmin(scores))])
