"""Classical reconstruction from any linear measurement, for benchmarks: total variation, wavelets,
and denoisers plugged in.

    total variation
    argmin |A x - y|^2 / 2 + w TV(x),  by the primal-dual iteration (Chambolle & Pock 2011)
    wavelets          argmin |A x - y|^2 / 2 + w |W x|_1, by FISTA (Beck & Teboulle 2009) over
                      randomly shifted grids (compressed sensing:
                      Lustig et al. 2007; cycle spinning: Coifman & Donoho 1995)
    plugged in
    z <- denoise(x, s_k), x <- argmin |A x - y|^2 + w_k |x - z|^2, s_k falling (Venkatakrishnan et
    al. 2013)

Images are (n, 1, rows, columns) in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unfog.physics.linear import Operator

Candidate = tuple[dict[str, Any], Tensor]  # parameters, restored
Denoise = Callable[[np.ndarray, float], np.ndarray]


def norm(operator: Operator, like: Tensor, iterations: int = 12) -> float:
    """The largest singular value, by the power method."""
    x = torch.randn(1, *like.shape[1:], generator=torch.Generator().manual_seed(0))
    for _ in range(iterations):
        x = operator.adjoint(operator(x / x.norm()))
    return float(x.norm()) ** 0.5


def gradient(x: Tensor) -> Tensor:
    """Forward differences, (2, n, 1, rows, columns), zero at the far border."""
    g = torch.zeros(2, *x.shape)
    g[0, :, :, :-1], g[1, :, :, :, :-1] = x.diff(dim=2), x.diff(dim=3)
    return g


def gradient_adjoint(p: Tensor) -> Tensor:
    d = torch.zeros(p.shape[1:])
    d[:, :, :-1] -= p[0, :, :, :-1]
    d[:, :, 1:] += p[0, :, :, :-1]
    d[..., :-1] -= p[1, ..., :-1]
    d[..., 1:] += p[1, ..., :-1]
    return d


def total_variation(operator: Operator, y: Tensor, weight: float, iterations: int = 300) -> Tensor:
    """``weight`` w on the scale of |A x - y|^2 / 2; small weights ask for large steps of x."""
    x = operator.tikhonov(y, torch.tensor(1e-2))
    step = 0.99 / (norm(operator, x) ** 2 + 8) ** 0.5
    primal, dual = 10 * step, step / 10
    ahead, p, q = x, torch.zeros(2, *x.shape), torch.zeros_like(y)
    for _ in range(iterations):
        p = p + dual * gradient(ahead)
        p = p / (p.square().sum(0).sqrt() / weight).clamp(min=1)
        q = (q + dual * (operator(ahead) - y)) / (1 + dual)
        following = x - primal * (gradient_adjoint(p) + operator.adjoint(q))
        ahead, x = 2 * following - x, following
    return x


def wavelets(operator: Operator, y: Tensor, weight: float, iterations: int = 60) -> Tensor:
    """Three levels of symlets with 8 taps."""
    import pywt

    def shrunk(image: np.ndarray, threshold: float, shift: np.ndarray) -> np.ndarray:
        moved = np.roll(image, shift, (0, 1))
        coarse, *fine = pywt.wavedec2(moved, "sym4", "periodization", 3)
        fine = [tuple(pywt.threshold(part, threshold, "soft") for part in level) for level in fine]
        return np.roll(pywt.waverec2([coarse, *fine], "sym4", "periodization"), -shift, (0, 1))

    x = ahead = operator.adjoint(y) * 0
    step, momentum, random = 0.99 / norm(operator, x) ** 2, 1.0, np.random.default_rng(0)
    for _ in range(iterations):
        point = (ahead - step * operator.adjoint(operator(ahead) - y)).numpy()
        shift = random.integers(0, 8, 2)
        following = torch.from_numpy(
            np.stack([[shrunk(image[0], weight * step, shift)] for image in point])
        ).float()
        rise = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead, x, momentum = following + (momentum - 1) / rise * (following - x), following, rise
    return x


def plugged_in(
    operator: Operator,
    y: Tensor,
    sigma: float,
    denoise: Denoise,
    strength: float,
    iterations: int = 2,
) -> Tensor:
    """Half-quadratic splitting from total variation; the denoiser's level falls from 0.05 to
    ``strength`` of the measurement's noise.
    """
    x = total_variation(operator, y, 0.3 * max(sigma, 0.01))
    last = strength * max(sigma, 0.01)
    for level in np.geomspace(max(0.05, last), last, iterations):
        z = torch.from_numpy(
            np.stack([[denoise(image[0], float(level))] for image in x.numpy()])
        ).float()
        x = z + operator.tikhonov(y - operator(z), torch.tensor((sigma / level) ** 2 + 1e-6))
    return z


def nl_means(image: np.ndarray, level: float) -> np.ndarray:
    from skimage.restoration import denoise_nl_means

    return np.asarray(
        denoise_nl_means(image, patch_size=5, patch_distance=7, h=0.7 * level, sigma=level)
    )


def bm3d(image: np.ndarray, level: float) -> np.ndarray:
    import bm3d as peer

    return np.asarray(peer.bm3d(image, level))


def filtered_back_projections(y: Tensor, angles: Tensor) -> Iterator[Candidate]:
    """Of parallel beams (n, 1, angles, detectors), by scikit-image's filters."""
    from skimage.transform import iradon

    for name in ("ramp", "cosine", "hann"):
        views = [
            iradon(one[0].T.numpy(), theta=angles.numpy(), filter_name=name) for one in y.double()
        ]
        yield {"filter": name}, torch.from_numpy(np.stack(views))[:, None].float()


def candidates(
    operator: Operator, y: Tensor, sigma: float, direct: bool
) -> dict[str, Iterator[Candidate]]:
    """Each method over its parameters; ``direct`` where the measurement is a noisy image, which a
    denoiser takes as it is.
    """
    scale = max(sigma, 0.005)

    def plugged(denoise: Denoise) -> Iterator[Candidate]:
        for strength in (0.7, 1.0, 1.4):
            if direct:
                yield (
                    {"level / sigma": strength},
                    torch.from_numpy(
                        np.stack([[denoise(x[0], strength * sigma)] for x in y.numpy()])
                    ).float(),
                )
            else:
                yield (
                    {"last level / sigma": strength},
                    plugged_in(operator, y, sigma, denoise, strength),
                )

    return {
        "total variation": (
            ({"weight / sigma": w}, total_variation(operator, y, w * scale))
            for w in (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
        ),
        "wavelets": (
            ({"weight / sigma": w}, wavelets(operator, y, w * scale))
            for w in (0.01, 0.03, 0.1, 0.3, 1.0, 2.0)
        ),
        "non-local means": plugged(nl_means),
        "BM3D": plugged(bm3d),
    }
