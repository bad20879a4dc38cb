r"""An anatomical phantom with exact truth, to measure methods on and never to train them: it shares
nothing with ``unfog.dmri.simulation.simulate``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unfog.dmri.gradient_files import read_fsl
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.anatomy import Anatomy, mni_anatomy
from unfog.dmri.tensor import Tensors, fit_tensors
from unfog.errors import MissingExtra

Array = NDArray[np.float64]

FAMILIES, LEAST_SHARE = 3, 0.15  # weaker families are left out of a voxel
RINGS, SPOKES = 5, 8  # of the quadrature over a population's directions
CHUNK = 2048  # voxels simulated at once


@dataclass(frozen=True)
class Phantom:
    """A scan without noise and all that is true of it.

    ``signal`` (X, Y, Z, volumes) is about 1 in white matter at b = 0. ``directions`` (X, Y, Z, 3
    families, 3) are unit vectors in world axes. ``fractions`` (X, Y, Z, 6) of the families, grey
    matter, fluid and lesion sum to 1 in the ``mask`` (X, Y, Z). ``white`` (X, Y, Z) marks voxels
    that are mostly fibres. ``affine`` (4, 4) takes voxels to mm.
    """

    signal: Array
    gradients: GradientTable
    directions: Array
    fractions: Array
    mask: NDArray[np.bool_]
    white: NDArray[np.bool_]
    affine: Array

    @property
    def b0(self) -> float:
        """The mean signal of white matter at b = 0, which noise and errors are stated
        relative to.
        """
        return float(
            self.signal[self.white if self.white.any() else self.mask][:, self.gradients.b0].mean()
        )

    def tensors(self) -> Tensors:
        """The tensors fitted to the noise-free signal in the mask: the truth for FA, MD and
        principal direction.
        """
        return fit_tensors(self.signal[self.mask], self.gradients)


def make_phantom(
    gradients: GradientTable, seed: int = 0, anatomy: Anatomy | None = None, lesions: int = 2
) -> Phantom:
    """Fill an anatomy with fibres, and simulate its scan.

    White matter holds three bent families of fibres (callosal arcs, a corticospinal fan,
    association bundles that run front to back), one, two or three a voxel. The signal of a voxel,
    per unit of white matter's at b = 0, is the sum over its compartments,

        family     f_i <stick + zeppelin>_Watson(kappa), with
                   f_in e^(-b D (g.u)^2) + (1 - f_in) e^(-b D_r - b (D_a - D_r) (g.u)^2)
        grey       e^(-b D + (b D)^2 K / 6)                (kurtosis K; Jensen et al. 2005)
        fluid      e^(-b D)
        lesion     e^(-b D), in place of a part of the white matter

    all times a smooth bias field. Diffusivities, fractions and amplitudes vary smoothly and from
    voxel to voxel.

    Args:
        gradients: The table to simulate.
        seed: Of bundles, lesions and textures.
        anatomy: The tissues; the MNI152 template's about the ventricles unless given.
        lesions: How many.

    Returns:
        The phantom.
    """
    random, anatomy = np.random.default_rng(seed), anatomy or mni_anatomy()
    tissue, mask, shape = anatomy.tissue, anatomy.mask, anatomy.tissue.shape[:3]
    # Fibres and lesions in the tissue, their signals, and the bias field.
    directions, weights = _families(anatomy.place, random)
    fractions = _fractions(tissue, weights, _lesions(shape, tissue[..., 0], lesions, random))
    signal = np.zeros((*shape, len(gradients)))
    signal[mask] = _signal(
        gradients, directions[mask], fractions[mask], _Varied(random, shape, mask)
    )
    signal *= 1 + 0.12 * _smooth(random, shape, 10.0)[..., None]
    white = mask & (fractions[..., :FAMILIES].sum(-1) > 0.7)
    return Phantom(signal, gradients, directions, fractions, mask, white, anatomy.affine)


def _families(place: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Unit directions (X, Y, Z, 3 families, 3), and the share of white matter of each family (X, Y,
    Z, 3).

    Each family is a bundle of curves with two coordinates that stay the same along a curve. Its
    direction is the curve's tangent, and its share depends on those coordinates alone, so that
    fibres neither begin nor end inside their bundle.
    """
    x, y, z = np.moveaxis(place, -1, 0)
    depth, root, bow = (
        random.uniform(-0.2, 0.1),
        random.uniform(0.8, 1.2),
        random.uniform(0.25, 0.4),
    )
    up, aside = z - depth, np.where(x < 0, -1.0, 1.0)
    sway, dip = bow * np.cos(1.6 * y), bow * np.sin(1.6 * y + 0.5)
    # Of each family: its two coordinates, and the tangent.
    callosal = np.hypot(0.8 * x, up), y + 0.3 * x**2, np.stack([up, -0.6 * x * up, -0.64 * x], -1)
    fan = x / (z + root), y / (z + root), np.stack([x, y, z + root], -1)
    run = aside * 1.6 * bow * np.sin(1.6 * y), np.ones_like(x), 1.6 * bow * np.cos(1.6 * y + 0.5)
    association = np.abs(x) + sway, z - dip, np.stack(run, -1)
    bundles = [callosal, fan, association]
    along = np.stack([direction for *_, direction in bundles], -2)
    liking = np.stack([_waves(u, v, random) for u, v, _ in bundles], -1) + np.array(
        [0.35, 0.1, 0.0]
    )
    # Shares by a softmax of random functions of the coordinates; small ones become 0.
    weight = np.exp(4 * (liking - liking.max(-1, keepdims=True)))
    weight /= weight.sum(-1, keepdims=True)
    weight[weight < LEAST_SHARE] = 0
    length = np.linalg.norm(along, axis=-1, keepdims=True)
    return along / np.maximum(length, 1e-9), np.asarray(weight / weight.sum(-1, keepdims=True))


def _waves(u: Array, v: Array, random: np.random.Generator, count: int = 6) -> Array:
    """A smooth random function of two coordinates, of variance about 1/4: a sum of plane waves."""
    total = np.zeros_like(u)
    for angle, wave, phase in random.uniform((0, 8, 0), (2 * math.pi, 22, 2 * math.pi), (count, 3)):
        total += np.cos(wave * (math.cos(angle) * u + math.sin(angle) * v) + phase) / math.sqrt(
            2 * count
        )
    return np.asarray(total)


def _lesions(
    shape: tuple[int, ...], white: Array, count: int, random: np.random.Generator
) -> Array:
    """The part of white matter that lesions replace, (X, Y, Z): blobs 3 to 5 voxels across, up to
    80 % in the middle.
    """
    seats, grid = (
        np.argwhere(white > 0.9),
        np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1),
    )
    part = np.zeros(shape)
    for _ in range(count if len(seats) else 0):
        centre, radius = random.choice(seats), random.uniform(1.5, 2.5)
        apart = np.linalg.norm((grid - centre) * random.uniform(0.8, 1.25, 3), axis=-1)
        part = np.maximum(part, random.uniform(0.4, 0.8) / (1 + np.exp(3 * (apart - radius))))
    return part


def _fractions(tissue: Array, weights: Array, lesion: Array) -> Array:
    """Fractions (X, Y, Z, 6) of the families, grey matter, fluid and lesion."""
    white, grey, fluid = np.moveaxis(tissue, -1, 0)
    families = weights * (white * (1 - lesion))[..., None]
    return np.concatenate([families, np.stack([grey, fluid, white * lesion], -1)], -1)


class _Varied:
    """A generator of tissue properties for the voxels in a mask: a mean, a smooth change across the
    head and a texture from voxel to voxel.
    """

    def __init__(
        self, random: np.random.Generator, shape: tuple[int, ...], mask: NDArray[np.bool_]
    ) -> None:
        self.random, self.shape, self.mask = random, shape, mask

    def __call__(self, mean: float, smooth: float = 0.06, texture: float = 0.03) -> Array:
        """Values (voxels,) about ``mean`` > 0, with these relative standard deviations."""
        changes = smooth * _smooth(self.random, self.shape, 4.0)[
            self.mask
        ] + texture * self.random.standard_normal(int(self.mask.sum()))
        return np.asarray(mean * np.exp(changes))


def _signal(
    gradients: GradientTable, directions: Array, fractions: Array, varied: _Varied
) -> Array:
    """The signal (voxels, volumes) of all compartments; diffusivities in um^2/ms, b in ms/um^2."""
    b = 1e-3 * gradients.bvals[None]
    grey_d, grey_k = varied(0.85)[:, None], varied(0.7)[:, None]
    # Grey matter, fluid and lesion, each amplitude x fraction x response.
    parts = [
        (varied(1.25) * fractions[:, 3])[:, None]
        * np.exp(-b * grey_d + (b * grey_d).clip(0, 3 / grey_k) ** 2 * grey_k / 6),
        (varied(2.2) * fractions[:, 4])[:, None] * np.exp(-b * varied(3.0, 0.02, 0.01)[:, None]),
        (varied(1.3) * fractions[:, 5])[:, None] * np.exp(-b * varied(1.3)[:, None]),
    ]
    amplitude, properties = varied(1.0, 0.04, 0.04), [varied(m) for m in (0.55, 2.0, 1.8, 0.55)]
    # The families, voxels with any of them in chunks.
    for family in range(FAMILIES):
        share = amplitude * fractions[:, family]
        kappa = varied(14.0, 0.4, 0.1)
        held = np.flatnonzero(share > 0)
        for chunk in np.array_split(held, max(1, len(held) // CHUNK)):
            bundle = _bundle(
                gradients, directions[chunk, family], kappa[chunk], [p[chunk] for p in properties]
            )
            parts[0][chunk] += share[chunk, None] * bundle
    return np.asarray(sum(parts))


def _bundle(gradients: GradientTable, mean: Array, kappa: Array, properties: list[Array]) -> Array:
    """The signal (voxels, volumes) of a stick and a zeppelin whose directions spread about their
    ``mean`` (voxels, 3) by Watson's law of concentration ``kappa`` (voxels,).
    """
    inside, stick, along, across = (p[:, None] for p in properties)
    b, total = 1e-3 * gradients.bvals[None], np.zeros((len(mean), len(gradients)))
    for fibre, weight in _watson(mean, kappa):
        cosine2 = (fibre @ gradients.directions.T) ** 2
        intra = np.exp(-b * stick * cosine2)
        extra = np.exp(-b * (across + (along - across) * cosine2))
        total += weight[:, None] * (inside * intra + (1 - inside) * extra)
    return total


def _watson(mean: Array, kappa: Array) -> list[tuple[Array, Array]]:
    """A quadrature over Watson's density e^(kappa (u.mean)^2): directions (voxels, 3) with weights
    (voxels,), on ``RINGS`` rings about the mean.

    With w = 1 - cos of the angle the density is e^(-kappa w (2 - w)) dw. The rings are Gauss's
    points under e^(-kappa w), and the rest goes into their weights. Means of cos^2 are exact to
    .005.
    """
    # Two axes orthogonal to the mean.
    other = np.where(np.abs(mean[:, :1]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(mean, other)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(mean, first)
    # The rings, (rings, voxels), and their weights.
    nodes, shares = np.polynomial.legendre.leggauss(RINGS)
    w = -np.log(1 - (nodes[:, None] + 1) / 2 * (1 - np.exp(-kappa))) / kappa  # (rings, voxels)
    weights = shares[:, None] * np.exp(kappa * w * (w - 1))
    weights /= SPOKES * weights.sum(0)
    directions: list[tuple[Array, Array]] = []
    # The spokes of each ring; every other ring is turned by half a step.
    for ring, (cosine, weight) in enumerate(zip(1 - w, weights, strict=True)):
        for spoke in range(SPOKES):
            angle = 2 * math.pi * (spoke + 0.5 * (ring % 2)) / SPOKES
            aside = math.cos(angle) * first + math.sin(angle) * second
            directions.append(
                (cosine[:, None] * mean + np.sqrt(1 - cosine**2)[:, None] * aside, weight)
            )
    return directions


def _smooth(random: np.random.Generator, shape: tuple[int, ...], length: float) -> Array:
    """A Gaussian random field of unit variance and correlation ``length`` in voxels, made by its
    spectrum.
    """
    frequency = np.stack(np.meshgrid(*(np.fft.fftfreq(side) for side in shape), indexing="ij"))
    white = np.fft.fftn(random.standard_normal(shape))
    field = np.fft.ifftn(white * np.exp(-((math.pi * length) ** 2) * (frequency**2).sum(0))).real
    return np.asarray((field - field.mean()) / max(field.std(), 1e-12))


def real_gradients(name: str = "small_64D", b0: int = 6) -> GradientTable:
    """A scanner's gradient table that comes with DIPY, such as small_64D, with ``b0`` volumes at b
    = 0 in front in place of its own.
    """
    try:
        from dipy.data import get_fnames
    except ImportError as error:
        raise MissingExtra("dmri", "DIPY") from error
    _, bvals, bvecs = get_fnames(name=name)
    table = read_fsl(bvals, bvecs, np.eye(4))
    weighted = table[~table.b0]
    return GradientTable(
        np.append(np.zeros(b0), weighted.bvals),
        np.append(np.zeros((b0, 3)), weighted.directions, 0),
    )
