"""The tensor fit: exact on tensors, as DIPY's on noise."""

from __future__ import annotations

import numpy as np
import pytest
from rings import Ring, with_noise

from unfog.dmri.gradients import GradientTable
from unfog.dmri.measures import axis_angle
from unfog.dmri.tensor import fit_tensors
from unfog.errors import InputError


def test_exact_on_tensors(ring: Ring, gradients: GradientTable) -> None:
    found = fit_tensors(ring.signal[ring.fibrous], gradients)
    d = np.array([1.7, 0.3, 0.3])
    np.testing.assert_allclose(found.md, 1e-3 * d.mean(), rtol=1e-7)
    np.testing.assert_allclose(found.fa, np.sqrt(1.5 * ((d - d.mean()) ** 2).sum() / (d**2).sum()), rtol=1e-6)
    np.testing.assert_allclose(found.s0, 1.0, rtol=1e-7)
    assert axis_angle(found.direction, ring.direction[ring.fibrous]).max() < 1e-3


def test_as_dipys_weighted_fit(ring: Ring, gradients: GradientTable) -> None:
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    y = with_noise(ring.signal, 0.05)[ring.fibrous][:400].astype(np.float64)
    theirs = TensorModel(gradient_table(gradients.bvals, bvecs=gradients.directions), fit_method="WLS").fit(y)
    ours = fit_tensors(y, gradients)
    np.testing.assert_allclose(ours.fa, theirs.fa, atol=1e-6)
    np.testing.assert_allclose(ours.md, theirs.md, rtol=1e-6)
    assert axis_angle(ours.direction, theirs.directions[:, 0]).max() < 1e-3


def test_voxels_without_signal_are_finite(gradients: GradientTable) -> None:
    y = np.zeros((3, len(gradients)))
    y[1, 5], y[2] = 1.0, -1.0
    found = fit_tensors(y, gradients)
    assert all(np.isfinite(part).all() for part in found)


def test_too_few_directions(gradients: GradientTable) -> None:
    with pytest.raises(InputError, match="6 directions"):
        fit_tensors(np.ones((2, 9)), gradients[:9])
