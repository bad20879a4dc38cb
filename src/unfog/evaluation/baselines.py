r"""Classical restoration with parameters tuned on the truth: the baselines of a learned prior.

Each function sweeps methods and parameters and keeps the best mean PSNR in the mask, scored against
the truth of the very images it restores. Nobody has that truth in practice, so these are upper
bounds of the methods, and any report must say "tuned on the truth". Arrays are (n, height, width)
in [0, 1]; masks broadcast to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from unfog.errors import InputError, MissingExtra
from unfog.evaluation.images import psnr
from unfog.physics.noise import rician_to_gaussian
from unfog.physics.operators import BlockAverage

Array = NDArray[Any]


class Best(NamedTuple):
    """The winner of a sweep: its name and parameters, the restored images (n, height, width) and
    their mean PSNR in dB.
    """

    name: str
    params: dict[str, Any]
    restored: Array
    psnr: float


def best_denoiser(noisy: Array, truth: Array, mask: Array, sigma: float) -> Best:
    """The best of non-local means (Buades et al. 2005) and total variation (Rudin et al. 1992,
    solved after Chambolle 2004).

    Each is tried as it is and with the Rician bias removed, before or after: the noise may be
    Gaussian or Rician.

    Args:
        noisy: (n, height, width).
        truth: (n, height, width).
        mask: Broadcasts to them; where PSNR is taken.
        sigma: Deviation of the noise.

    Returns:
        The winner.
    """
    return _best(_denoised(noisy, sigma), truth, mask)


def best_inpainter(image: Array, hole: Array, truth: Array, mask: Array) -> Best:
    """The best of biharmonic inpainting (Damelin & Hoang 2018) and total variation: min TV(u) with
    u = image outside the hole, after Chambolle & Pock 2011.

    Args:
        image: (n, height, width).
        hole: Broadcasts to it, True where the image is unknown.
        truth: (n, height, width).
        mask: Broadcasts to them; PSNR is taken in the hole within the mask.

    Returns:
        The winner.
    """
    # A copy, as scikit-image needs a writable array.
    hole = np.broadcast_to(np.asarray(hole, bool), image.shape).copy()
    return _best(_inpainted(image, hole), truth, hole & np.asarray(mask, bool))


def best_upsampler(low: Array, factor: int, truth: Array, mask: Array) -> Best:
    """The best of bicubic and spline up-sampling, with back-projection x <- x + B(y - A x), B the
    up-sampling and A the average of blocks (Irani & Peleg 1991).

    Args:
        low: (n, height / factor, width / factor), averages of blocks.
        factor: Pixels of a block along each axis.
        truth: (n, height, width).
        mask: Broadcasts to it; where PSNR is taken.

    Returns:
        The winner.

    Raises:
        InputError: The sizes do not fit.
    """
    if tuple(n * factor for n in low.shape[1:]) != truth.shape[1:]:
        raise InputError(f"Images {low.shape[1:]} times {factor} are not {truth.shape[1:]}.")
    return _best(_upsampled(low, factor), truth, mask)


Candidate = tuple[str, dict[str, Any], Array]


def _best(candidates: Iterable[Candidate], truth: Array, mask: Array) -> Best:
    """The candidate of highest mean PSNR in the mask, clipped to [0, 1]."""
    target, inside = _tensor(truth), _tensor(np.asarray(mask, bool))
    winner = Best("", {}, truth, -np.inf)
    for name, params, restored in candidates:
        clipped = np.clip(restored, 0, 1)
        score = float(psnr(_tensor(clipped), target, inside.expand_as(target)).mean())
        if score > winner.psnr:
            winner = Best(name, params, clipped, score)
    return winner


def _tensor(x: Array) -> Tensor:
    """(..., height, width) -> (n, 1, height, width)."""
    return torch.from_numpy(np.ascontiguousarray(x).reshape(-1, 1, *x.shape[-2:]))


def _skimage() -> tuple[ModuleType, ModuleType]:
    try:
        from skimage import restoration, transform
    except ImportError as error:
        raise MissingExtra("demo", "scikit-image") from error
    return restoration, transform


def _denoised(noisy: Array, sigma: float) -> Iterator[Candidate]:
    """Candidates for either kind of noise: the Rician bias kept, removed first or removed last."""
    unbiased = _unbiased(noisy, sigma)
    for bias, images in (("kept", noisy), ("removed first", unbiased)):
        for name, params, restored in _gaussian_denoised(images, sigma):
            yield name, {**params, "bias": bias}, restored
            if images is noisy:
                yield name, {**params, "bias": "removed last"}, _unbiased(restored, sigma)


def _unbiased(y: Array, sigma: float) -> Array:
    return np.asarray(rician_to_gaussian(torch.from_numpy(y), sigma).numpy())


def _gaussian_denoised(images: Array, sigma: float) -> Iterator[Candidate]:
    """Candidates of non-local means and total variation for Gaussian noise."""
    restoration, _ = _skimage()
    # Patch sizes and strengths of non-local means, then weights of total variation.
    for (patch, distance), strength in product(((3, 6), (5, 11)), (0.5, 0.6, 0.7, 0.8, 1.0)):
        options = {
            "patch_size": patch,
            "patch_distance": distance,
            "h": strength * sigma,
            "sigma": sigma,
        }
        restored = np.stack([restoration.denoise_nl_means(x, **options) for x in images])
        yield (
            "non-local means",
            {"patch": patch, "distance": distance, "h / sigma": strength},
            restored,
        )
    for strength in (0.4, 0.5, 0.6, 0.7, 0.9, 1.2):
        restored = np.stack(
            [
                restoration.denoise_tv_chambolle(x, weight=strength * sigma, max_num_iter=200)
                for x in images
            ]
        )
        yield "total variation", {"weight / sigma": strength}, restored


def _inpainted(image: Array, hole: Array) -> Iterator[Candidate]:
    """Candidates of biharmonic and total-variation inpainting."""
    restoration, _ = _skimage()
    smooth = np.stack(
        [restoration.inpaint_biharmonic(x * ~h, h) for x, h in zip(image, hole, strict=True)]
    )
    yield "biharmonic", {}, smooth
    yield from _total_variation_inpainted(smooth, hole)


def _total_variation_inpainted(
    start: Array, hole: Array, stops: tuple[int, ...] = (30, 100, 300, 1000)
) -> Iterator[Candidate]:
    """Total variation by the primal-dual iteration from ``start`` (Chambolle & Pock 2011), a
    candidate at each of ``stops``: stopping early is a parameter like another.
    """
    data, u = start.astype(np.float32), start.astype(np.float32)
    ahead, dual = u, np.zeros((2, *u.shape), np.float32)
    # Step sizes whose product is 1 / |gradient|^2 = 1/8.
    primal_step, dual_step = (np.float32(0.1), np.float32(1.25))
    for iteration in range(1, max(stops) + 1):
        # Ascent in the dual, projected to |p| <= 1; descent in the image; over-relaxation.
        dual = dual + dual_step * _gradient(ahead)
        dual /= np.maximum(1, np.hypot(dual[0], dual[1]))
        following = np.where(hole, u + primal_step * _divergence(dual), data)
        ahead, u = 2 * following - u, following
        if iteration in stops:
            yield "total variation", {"iterations": iteration}, u


def _gradient(u: Array) -> Array:
    """Forward differences along both axes of space, zero at the far border, (2, n, height,
    width).
    """
    g = np.zeros((2, *u.shape), u.dtype)
    g[0, :, :-1], g[1, :, :, :-1] = u[:, 1:] - u[:, :-1], u[:, :, 1:] - u[:, :, :-1]
    return g


def _divergence(p: Array) -> Array:
    """The divergence of p (2, n, height, width), minus the adjoint of ``_gradient``."""
    d: Array = np.zeros_like(p[0])
    d[:, :-1] += p[0, :, :-1]
    d[:, 1:] -= p[0, :, :-1]
    d[:, :, :-1] += p[1, :, :, :-1]
    d[:, :, 1:] -= p[1, :, :, :-1]
    return d


def _upsampled(
    low: Array, factor: int, stops: tuple[int, ...] = (0, 1, 2, 4, 8, 16, 32)
) -> Iterator[Candidate]:
    """Candidates of each up-sampling after each number of back-projections in ``stops``."""
    _, transform = _skimage()
    average, measured = BlockAverage(factor), _tensor(low)

    def bicubic(y: Tensor) -> Tensor:
        return interpolate(y, scale_factor=factor, mode="bicubic")

    def spline(y: Tensor) -> Tensor:
        size = tuple(n * factor for n in y.shape[2:])
        return _tensor(
            np.stack(
                [transform.resize(image, size, order=3, mode="edge") for image in y[:, 0].numpy()]
            )
        )

    for name, enlarge in (("bicubic", bicubic), ("spline", spline)):
        x = enlarge(measured)
        for iteration in range(max(stops) + 1):
            if iteration in stops:
                yield name, {"back-projections": iteration}, x[:, 0].numpy()
            # Back-projection, x <- x + B(y - A x).
            x = x + enlarge(measured - average(x))
