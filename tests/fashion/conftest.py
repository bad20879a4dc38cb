"""A tiny run of garments, drawn here so that no data need be fetched; what it learned does not
matter.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import invoke

TINY = ("training.batch=4", "network.channels=8", "network.groups=4", "training.warmup=500")


def shirts(count: int = 40, side: int = 16) -> np.ndarray:
    """Shirts of random width, sleeves and grey, (count, 1, side, side) uint8."""
    numbers = np.random.default_rng(0)
    x = np.zeros((count, 1, side, side), np.uint8)
    for picture in x[:, 0]:
        half, sleeve = int(numbers.integers(2, 5)), int(numbers.integers(2, 11))
        middle, grey = side // 2, int(numbers.integers(80, 255))
        picture[2:14, middle - half : middle + half] = grey
        picture[2 : 2 + sleeve, middle - half - 2 : middle + half + 2] = grey
    return x


@pytest.fixture(scope="session")
def garment_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run, trained for two steps on the user's own pictures, without labels."""
    folder = tmp_path_factory.mktemp("garments")
    np.save(folder / "shirts.npy", shirts())
    tiny = " ".join(f"--set {setting}" for setting in TINY)
    line = f"train fashion --data garments --set data.path={folder / 'shirts.npy'} --steps 2 {tiny}"
    status, out, err = invoke(f"{line} --out {folder / 'run'}")
    assert status == 0, out + err
    return folder / "run"
