"""What tissue looks like: a grey level for each kind in any order, and texture at every scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unfog.data.synthesis.fields import Array, Random, smooth_field
from unfog.data.synthesis.filters import gaussian

# Typical grey levels, 0 to 1; contrasts are these, disturbed, or drawn with no regard to them.
CONTRASTS = {
    "t1": {"bone": 0.05, "marrow": 0.75, "skin": 0.5, "fat": 0.95, "muscle": 0.4, "csf": 0.12,
           "grey": 0.42, "white": 0.65, "nuclei": 0.52, "vessel": 0.2, "sheet": 0.35,
           "lesion": 0.3, "air": 0.0, "other": 0.45},
    "t2": {"bone": 0.05, "marrow": 0.45, "skin": 0.4, "fat": 0.6, "muscle": 0.2, "csf": 0.95,
           "grey": 0.5, "white": 0.35, "nuclei": 0.38, "vessel": 0.05, "sheet": 0.2,
           "lesion": 0.75, "air": 0.0, "other": 0.4},
    "flair": {"bone": 0.05, "marrow": 0.4, "skin": 0.4, "fat": 0.6, "muscle": 0.35, "csf": 0.08,
              "grey": 0.55, "white": 0.42, "nuclei": 0.5, "vessel": 0.1, "sheet": 0.3,
              "lesion": 0.95, "air": 0.0, "other": 0.4},
    "pd": {"bone": 0.08, "marrow": 0.6, "skin": 0.5, "fat": 0.8, "muscle": 0.55, "csf": 0.85,
           "grey": 0.8, "white": 0.65, "nuclei": 0.7, "vessel": 0.3, "sheet": 0.4, "lesion": 0.85,
           "air": 0.0, "other": 0.6},
}  # fmt: skip


def contrast(random: Random) -> dict[str, float]:
    """A grey level for each kind of tissue: in four of ten heads any order, else a disturbed T1,
    T2, FLAIR or proton density.
    """
    kinds = list(CONTRASTS["t1"])
    if random.uniform() < 0.4:
        levels = dict(zip(kinds, random.uniform(0, 1, len(kinds)), strict=True))
        if random.uniform() < 0.8:
            levels["air"] = 0.0
        if random.uniform() < 0.7:
            levels["bone"] = float(random.uniform(0, 0.2))
        return levels
    typical = CONTRASTS[str(random.choice(["t1", "t1", "t2", "flair", "pd"]))]
    gamma, spread = np.exp(random.normal(0, 0.3)), random.uniform(0.02, 0.15)
    levels = {
        kind: float(np.clip(level**gamma + random.normal(0, spread), 0.0, 1.0))
        for kind, level in typical.items()
    }
    levels["air"] = 0.0
    return levels


@dataclass
class Textures:
    """Random fields that tissues share, each with its own strength of each: drawn once a head.

    Args:
        random: Numbers are drawn from it.
        shape: Of the grid, (X, Y, Z).
        voxel: Their side in mm.
    """

    random: Random
    shape: tuple[int, ...]
    voxel: float

    def __post_init__(self) -> None:
        random, shape, mm = self.random, self.shape, 1 / self.voxel
        # Waves of 60 mm down to 3 mm; two of them longer along one axis than along the others.
        spacings = [30.0, 9.0, 4.0, 1.6]
        self.fields = [
            smooth_field(random, shape, s * mm * random.uniform(0.7, 1.4)) for s in spacings
        ]
        for length, width in ((8.0, 1.2), (14.0, 2.0)):
            stretched = np.full(3, width * mm * random.uniform(0.7, 1.4))
            stretched[random.integers(3)] = length * mm
            self.fields.append(smooth_field(random, shape, stretched))
        # Grain: white noise, blurred by less than a voxel or a little more.
        grain = random.standard_normal(shape, dtype=np.float32)
        grain = gaussian(grain, random.uniform(0.3, 1.1), 2.5)
        self.fields.append(grain / grain.std())
        self.scales = (0.05, 0.03, 0.025, 0.025, 0.015, 0.015, 0.008)
        # From almost plain tissue, as an average of many scans shows it, to strong textures.
        self.strength = float(np.exp(random.uniform(np.log(0.1), np.log(1.2))))

    def of(self, level: float, strength: float = 1.0) -> Array:
        """A tissue of that mean grey level, (X, Y, Z)."""
        image = np.full(self.shape, level, dtype=np.float32)
        for field, scale in zip(self.fields, self.scales, strict=True):
            if self.random.uniform() < 0.75:
                amplitude = (
                    self.strength
                    * strength
                    * (0.25 + level)
                    * scale
                    * np.exp(self.random.normal(0, 0.7))
                )
                image += np.float32(amplitude * self.random.choice([-1, 1])) * field
        return image
