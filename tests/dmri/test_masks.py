"""The head in a scan, found by itself."""

from __future__ import annotations

import numpy as np
import pytest
from support.rings import with_noise

from unfog.dmri.gradients import GradientTable
from unfog.dmri.masks import brain_mask
from unfog.files.nifti import new_volume

B0S, SHAPE = 2, (32, 32, 8)


@pytest.mark.parametrize("fluid", [1.0, 8.0], ids=["as tissue", "bright"])
def test_tissue_is_inside_however_bright_fluid_is(fluid: float) -> None:
    """A ball of tissue about fluid, in air: Otsu's threshold parts bright fluid from the rest."""
    table = GradientTable(np.r_[0.0, 0.0, np.full(12, 1000.0)], np.r_[np.zeros((2, 3)), _axes()])
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    radius = np.hypot(x, y)
    tissue, inner = radius < 0.75, radius < 0.4
    signal = np.zeros((*SHAPE, len(table)), np.float32)
    signal[tissue] = np.exp(-0.7e-3 * table.bvals)
    signal[inner] = fluid * np.exp(-3e-3 * table.bvals)
    volume = new_volume(with_noise(signal, 0.1), np.eye(4))
    found = brain_mask(volume, table)
    assert found[tissue].mean() > 0.98
    assert not found[radius > 0.9].any()


def _axes() -> np.ndarray:
    from unfog.dmri.harmonics import fibonacci

    return np.asarray(fibonacci(24)[:12].numpy())
