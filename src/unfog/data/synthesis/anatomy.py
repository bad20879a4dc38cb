"""Heads, and bodies that are none, as tissue painted over tissue, from the air inwards.

A surface is where a signed distance vanishes, in coordinates that smooth random fields have moved;
a voxel that it cuts is a mixture by the part that lies inside. The cortex folds along the surfaces
where a random field vanishes: a labyrinth of sheets, as sulci are. Vessels run where two such
surfaces meet.
"""

from __future__ import annotations

import numpy as np

from unfog.data.synthesis.appearance import Textures, contrast
from unfog.data.synthesis.fields import (
    Array,
    Numbers,
    Random,
    coverage,
    smooth_field,
    zero_distance,
)


class Painter:
    """A volume of grey levels on isotropic voxels, painted on.

    Args:
        random: Numbers are drawn from it.
        size: Voxels a side.
        voxel: Their side in mm.
    """

    def __init__(self, random: Random, size: int, voxel: float) -> None:
        self.random, self.shape, self.voxel = random, (size,) * 3, voxel
        self.textures = Textures(random, self.shape, voxel)
        self.levels = contrast(random)
        self.image = self.tissue("air", 0.0)

    def tissue(self, kind: str, strength: float | None = None) -> Array:
        """What a kind of tissue looks like in every voxel."""
        if strength is None:
            strength = float(np.exp(self.random.normal(0, 0.5)))
        return self.textures.of(self.levels[kind], strength)

    def paint(self, distance: Numbers, kind: str, within: Array | None = None) -> Array:
        """Paint a kind of tissue where a distance in mm is positive; gives the coverage."""
        soft = self.random.choice([1.0, 1.0, 1.5, 2.5])  # borders of tissues may be gradual
        cover = coverage(distance.astype(np.float32, copy=False), soft * self.voxel)
        if within is not None:
            cover *= within
        self.image += cover * (self.tissue(kind) - self.image)
        return cover

    def field(self, millimetres: float) -> Array:
        """A random field whose shortest wave is twice that long."""
        return smooth_field(self.random, self.shape, millimetres / self.voxel)

    def surfaces(self, millimetres: float, level: float = 0.0) -> Array:
        """The signed distance in mm to where a random field takes a value."""
        return zero_distance(self.field(millimetres) - np.float32(level), self.voxel)

    def vessels(self, within: Array, spacing: float, radius: float, kind: str = "vessel") -> None:
        """Tubes where two random surfaces meet, of a radius in mm."""
        first, second = self.surfaces(spacing), self.surfaces(spacing)
        size = np.float32(radius) * np.exp(np.float32(0.3) * self.field(2 * spacing))
        self.paint(size - np.sqrt(first**2 + second**2), kind, within)

    def blobs(self, within: Array, kind: str, spacing: float, level: float) -> None:
        """What lies above a value of a random field, about 2.5 for few and small ones."""
        self.paint(self.surfaces(spacing, level), kind, within)


def coordinates(
    painter: Painter, centre: Numbers, moves: tuple[tuple[float, float], ...]
) -> list[Array]:
    """Where voxels lie from a centre in mm, (3, ...), each moved by smooth fields: pairs of a
    spacing of knots and an amplitude in mm.
    """
    n, voxel = painter.shape[0], painter.voxel
    line = (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(voxel)
    found = []
    for axis in range(3):
        place = np.float32(line - centre[axis]).reshape([-1 if k == axis else 1 for k in range(3)])
        moved = np.broadcast_to(place, painter.shape).copy()
        for spacing, amplitude in moves:
            moved += np.float32(amplitude) * painter.field(spacing)
        found.append(moved)
    return found


def ellipsoid(points: list[Array], axes: Numbers, centre: Numbers | None = None) -> Array:
    """The signed distance in mm to an ellipsoid's surface, to first order, positive inside."""
    shift = np.zeros(3) if centre is None else centre
    away = [p - np.float32(c) for p, c in zip(points, shift, strict=True)]
    scaled = np.sqrt(sum((a / np.float32(s)) ** 2 for a, s in zip(away, axes, strict=True)))
    slope = np.sqrt(sum((a / np.float32(s * s)) ** 2 for a, s in zip(away, axes, strict=True)))
    return np.asarray((1 - scaled) * scaled / (slope + np.float32(1e-4)), dtype=np.float32)


def head(random: Random, size: int, voxel: float) -> Array:
    """The grey levels of a head, or of a part of one, (size, size, size): air 0, others in about
    [0, 1]. A quarter of the heads are stripped of what is outside the brain.
    """
    painter = Painter(random, size, voxel)
    axes = np.array([72.0, 92.0, 85.0]) * random.uniform(0.85, 1.15, 3)
    # Small volumes are centred anywhere in the head, mostly where its brain is.
    spare = np.clip(axes - size * voxel / 2, 0, None) + 8
    centre = random.uniform(-1, 1, 3) * spare
    points = coordinates(painter, centre, ((40, 5.0), (15, 1.5), (6, 0.4)))
    depth = ellipsoid(points, axes)
    scalp, skull, fluid = random.uniform(3, 10), random.uniform(4, 9), random.uniform(1, 5)
    thick = np.float32(1) * painter.field(25)
    inside = depth - np.float32(scalp + skull + fluid) - 0.8 * thick
    if random.uniform() < 0.75:
        _shell(painter, points, depth, thick, scalp, skull)
        if random.uniform() < 0.85:
            _face(painter, points, axes)
        cover = painter.paint(
            depth - np.float32(scalp + skull), "csf", _above(painter, points, axes)
        )
        cover = cover * _above(painter, points, axes)
    else:
        cover = painter.paint(inside + np.float32(random.uniform(-1, 2)), "csf")
    _brain(painter, points, inside, cover)
    return painter.image


def _above(painter: Painter, points: list[Array], axes: Numbers) -> Array:
    """Where a head holds brain and not its face and neck, from 0 to 1."""
    base = points[2] + np.float32(0.45 * axes[2]) + np.float32(0.25) * np.clip(-points[1], -40, 60)
    return coverage(base, painter.voxel)


def _shell(
    painter: Painter, points: list[Array], depth: Array, thick: Array, scalp: float, skull: float
) -> None:
    """Skin, fat with septa and vessels, muscle at the sides, and the skull with its marrow."""
    random = painter.random
    skin = np.float32(random.uniform(1, 2.5))
    body = painter.paint(depth, "skin")
    painter.paint(depth - skin, "fat")
    painter.paint(0.35 - np.abs(painter.surfaces(4)), "sheet", body)
    painter.vessels(body, 8, random.uniform(0.4, 1.0))
    # Muscle between fat and bone, where a field is high.
    painter.paint(np.minimum(depth - 0.5 * scalp, 4 * painter.field(25)), "muscle")
    bone = depth - np.float32(scalp) + 0.7 * thick
    painter.paint(bone, "bone")
    table = np.float32(random.uniform(1, 2.2))
    marrow = np.minimum(bone - table, np.float32(skull) - table - bone) + 0.8 * painter.field(10)
    painter.paint(marrow, "marrow")
    painter.blobs(coverage(marrow, painter.voxel), "bone", 3, 1.2)


def _face(painter: Painter, points: list[Array], axes: Numbers) -> None:
    """Below the brain: muscles, fat, bone and glands in layers, sheets between them, hollows and
    eyes.
    """
    random, below = painter.random, 1 - _above(painter, points, axes)
    body = coverage(ellipsoid(points, axes * random.uniform(0.85, 1.0)), painter.voxel) * below
    for kind in random.permutation(["fat", "muscle", "other", "bone", "marrow", "grey"])[:5]:
        spacing = random.uniform(6, 16)
        painter.blobs(body, str(kind), spacing, random.uniform(0.2, 1.0))
    painter.paint(0.4 - np.abs(painter.surfaces(7)), "sheet", body)
    painter.blobs(body, "air", random.uniform(8, 14), random.uniform(0.8, 1.5))
    painter.vessels(body, 12, random.uniform(0.8, 2.5))
    for side in (-1, 1):
        place = np.array([side * 0.45 * axes[0], 0.72 * axes[1], -0.35 * axes[2]])
        painter.paint(ellipsoid(points, np.array([12.0, 12, 12]), place), "csf")
        painter.paint(
            ellipsoid(points, np.array([4.5, 2, 4.5]), place + np.array([0, 10, 0])), "other"
        )


def _brain(painter: Painter, points: list[Array], inside: Array, cover: Array) -> None:
    """Grey matter about sulci, white matter, ventricles, nuclei, a cerebellum of finer folds,
    vessels and, in some brains, lesions.
    """
    random = painter.random
    # Sulci: sheets of a labyrinth that fade out in the depth; the falx is one more, at x = 0.
    reach = np.float32(random.uniform(16, 32))
    sulcus = np.abs(painter.surfaces(random.uniform(4.5, 8)))
    fine = points[2] + np.float32(0.25 * 85) + 0.7 * (points[1] + 30)
    if random.uniform() < 0.6:  # the cerebellum
        leaves = np.abs(painter.surfaces(random.uniform(2.5, 4)))
        sulcus = np.where(fine < 0, leaves, sulcus)
    fade = np.clip(inside / reach, 0, 2) ** 3 * np.float32(random.uniform(1, 4))
    pial = np.minimum(inside, np.minimum(sulcus + fade, np.abs(points[0]) + 0.5))
    gap = 0.35 * painter.field(20) + np.float32(random.uniform(-0.1, 1.0))
    matter = pial - gap
    grey = painter.paint(matter, "grey", cover)
    ribbon = np.float32(random.uniform(1.8, 3.2)) + 0.4 * painter.field(12)
    white = painter.paint(matter - ribbon, "white", cover)
    # A slow change of grey level through the ribbon, as cortical layers have it.
    layers = np.float32(random.normal(0, 0.02)) * np.clip(matter, 0, 4)
    painter.image += grey * (1 - white) * layers
    core = coverage(inside - reach, painter.voxel) * cover
    for kind, spacing, level in (("nuclei", 9, 0.7), ("grey", 8, 1.2), ("nuclei", 5, 1.3)):
        painter.blobs(core, kind, spacing * random.uniform(0.8, 1.3), level)
    for _ in range(2):  # ventricles: flat ellipsoids, moved far by smooth fields
        place = np.array([random.normal(0, 10), random.normal(0, 20), random.normal(5, 10)])
        hollow = ellipsoid(points, random.uniform([4, 12, 4], [12, 32, 14]), place)
        painter.paint(hollow + 2 * painter.field(10), "csf", cover)
    painter.blobs(white, "vessel", 1.2, 2.6)  # perivascular spaces
    painter.vessels(cover, random.uniform(8, 14), random.uniform(0.3, 1.0))
    painter.vessels(cover * (1 - grey), 10, random.uniform(0.6, 1.6))
    if random.uniform() < 0.4:
        painter.blobs(white, "lesion", random.uniform(1.5, 6), random.uniform(1.6, 2.4))
    if random.uniform() < 0.08:  # the void of an implant or a cavity
        place = random.uniform(-40, 40, 3)
        void = ellipsoid(points, random.uniform(4, 15, 3), place)
        painter.paint(void, str(random.choice(["air", "csf", "lesion"])), cover)


def body(random: Random, size: int, voxel: float) -> Array:
    """The grey levels of a body that is no head, (size, size, size): cylinders, shells, blobs,
    sheets and tubes of any tissue in any order.
    """
    painter = Painter(random, size, voxel)
    extent = size * voxel
    points = coordinates(painter, random.uniform(-0.2, 0.2, 3) * extent, ((25, 4.0), (8, 1.0)))
    axes = random.uniform(0.3, 0.9, 3) * extent
    axes[random.integers(3)] *= random.choice([1, 5])  # a limb
    depth, kinds = ellipsoid(points, axes), [k for k in painter.levels if k != "air"]
    whole = painter.paint(depth, str(random.choice(kinds)))
    for _ in range(int(random.integers(2, 7))):
        kind, shape = str(random.choice(kinds)), random.integers(5)
        if shape == 0:
            painter.paint(depth - np.float32(random.uniform(0, 0.3) * extent), kind)
        elif shape == 1:
            painter.blobs(whole, kind, random.uniform(2, 15), random.uniform(0, 2))
        elif shape == 2:
            sheet = np.float32(random.uniform(0.3, 2.5)) - np.abs(
                painter.surfaces(random.uniform(3, 12))
            )
            painter.paint(sheet, kind, whole)
        elif shape == 3:
            painter.vessels(whole, random.uniform(4, 12), random.uniform(0.4, 3), kind)
        else:
            place, part = (
                random.uniform(-0.3, 0.3, 3) * extent,
                random.uniform(0.05, 0.4, 3) * extent,
            )
            painter.paint(ellipsoid(points, part, place), kind, whole)
    return painter.image
