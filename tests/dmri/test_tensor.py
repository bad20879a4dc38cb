"""The tensor fit: exact on tensors, as DIPY's on noise."""

from __future__ import annotations

import numpy as np
import pytest
from support.rings import Ring, with_noise

from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.gradients import GradientTable
from unfog.dmri.tensor import fit_tensors
from unfog.errors import InputError


def test_exact_on_tensors(ring: Ring, gradients: GradientTable) -> None:
    found = fit_tensors(ring.signal[ring.fibrous], gradients)
    d = np.array([1.7, 0.3, 0.3])
    np.testing.assert_allclose(found.md, 1e-3 * d.mean(), rtol=1e-7)
    np.testing.assert_allclose(
        found.fa, np.sqrt(1.5 * ((d - d.mean()) ** 2).sum() / (d**2).sum()), rtol=1e-6
    )
    np.testing.assert_allclose(found.s0, 1.0, rtol=1e-7)
    assert axis_angle(found.direction, ring.direction[ring.fibrous]).max() < 1e-3


def test_as_dipys_weighted_fit(ring: Ring, gradients: GradientTable) -> None:
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    y = with_noise(ring.signal, 0.05)[ring.fibrous][:400].astype(np.float64)
    theirs = TensorModel(
        gradient_table(gradients.bvals, bvecs=gradients.directions), fit_method="WLS"
    ).fit(y)
    ours = fit_tensors(y, gradients)
    np.testing.assert_allclose(ours.fa, theirs.fa, atol=1e-6)
    np.testing.assert_allclose(ours.md, theirs.md, rtol=1e-6)
    assert axis_angle(ours.direction, theirs.directions[:, 0]).max() < 1e-3


def test_axes_are_eigenvectors(gradients: GradientTable) -> None:
    """Of tensors of every shape: as LAPACK's where the axis is single, a unit vector where none
    is.
    """
    turns = np.linalg.qr(np.random.default_rng(0).normal(size=(300, 3, 3)))[0]
    values = np.random.default_rng(1).uniform(0.1, 2.0, (300, 3))
    values[:20] = 0.8  # a ball
    values[20:60] = [1.7, 0.3, 0.3]
    values[60:100] = [1.2, 1.2, 0.2]
    tensors = np.einsum("nij,nj,nkj->nik", turns, values, turns)
    signal = np.exp(
        -1e-3
        * gradients.bvals
        * np.einsum("vi,nij,vj->nv", gradients.directions, tensors, gradients.directions)
    )
    found = fit_tensors(signal, gradients).direction
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)
    sizes, vectors = np.linalg.eigh(tensors)
    single = sizes[:, 2] - sizes[:, 1] > 0.01
    assert single.sum() > 200
    assert axis_angle(found, vectors[:, :, 2])[single].max() < 1e-3
    assert np.abs(np.einsum("ni,nij,nj->n", found, tensors, found) - sizes[:, 2]).max() < 1e-6


def test_voxels_without_signal_are_finite(gradients: GradientTable) -> None:
    y = np.zeros((3, len(gradients)))
    y[1, 5], y[2] = 1.0, -1.0
    found = fit_tensors(y, gradients)
    assert all(np.isfinite(part).all() for part in found)


def test_too_few_directions(gradients: GradientTable) -> None:
    with pytest.raises(InputError, match="6 directions"):
        fit_tensors(np.ones((2, 9)), gradients[:9])
