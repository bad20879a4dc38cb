"""The phantom: its truth is its own, and measures read from it what they should."""

from __future__ import annotations

import numpy as np
import pytest

from unfog.data.builtin.packages import member
from unfog.dmri.checks.errors_to_truth import axis_angle, errors_to_truth
from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.phantom import Phantom, _watson, make_phantom, real_gradients
from unfog.errors import InputError

SMALL = (20, 48, 12)


@pytest.fixture(scope="module")
def phantom(gradients: GradientTable) -> Phantom:
    try:
        member("nilearn", "_t1_tal_nlin_sym_09a_converted.nii.gz")
    except InputError as error:
        pytest.skip(str(error))
    return make_phantom(gradients[:40], seed=1, anatomy=mni_anatomy(SMALL))


def test_fractions_and_directions(phantom: Phantom) -> None:
    inside = phantom.fractions[phantom.mask]
    np.testing.assert_allclose(inside.sum(1), 1, atol=1e-6)
    assert inside.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(phantom.directions, axis=-1), 1, atol=1e-9)
    families = (phantom.fractions[phantom.white][:, :3] > 0).sum(1)
    assert all((families == n).mean() > 0.04 for n in (1, 2, 3))
    assert phantom.fractions[..., 5].max() > 0.3


def test_signals_are_plausible(phantom: Phantom) -> None:
    """White matter near 1 without weighting, its FA high, fluid bright and free."""
    assert phantom.b0 == pytest.approx(1, abs=0.1)
    truth = phantom.tensors()
    white, fluid = phantom.white[phantom.mask], phantom.fractions[phantom.mask][:, 4] > 0.95
    assert 0.5 < np.median(truth.fa[white]) < 0.8
    assert 0.6e-3 < np.median(truth.md[white]) < 0.9e-3
    assert np.median(truth.fa[fluid]) < 0.1
    assert np.median(truth.md[fluid]) == pytest.approx(3e-3, rel=0.05)


def test_one_fibre_points_along_its_family(phantom: Phantom) -> None:
    alone = phantom.fractions[..., 0] > 0.95
    found = phantom.tensors().direction[alone[phantom.mask]]
    assert np.median(axis_angle(found, phantom.directions[alone][:, 0])) < 0.5


def test_seeds(phantom: Phantom, gradients: GradientTable) -> None:
    table = gradients[:3]
    again = make_phantom(table, seed=1, anatomy=mni_anatomy(SMALL))
    np.testing.assert_array_equal(again.fractions, phantom.fractions)
    np.testing.assert_allclose(again.signal, phantom.signal[..., :3], rtol=1e-12)
    other = make_phantom(table, seed=2, anatomy=mni_anatomy(SMALL))
    np.testing.assert_array_equal(other.mask, phantom.mask)
    assert np.abs(other.fractions - phantom.fractions).max() > 0.5


@pytest.mark.parametrize("kappa", [4.0, 14.0, 40.0])
def test_the_rings_are_watsons(kappa: float) -> None:
    """Their mean of cos^2 and its square are Watson's."""
    mean = np.array([[0.0, 0.6, 0.8]])
    pairs = _watson(mean, np.array([kappa]))
    u = np.linspace(0, 1, 20001)
    density = np.exp(kappa * (u**2 - 1))
    assert sum(float(weight[0]) for _, weight in pairs) == pytest.approx(1)
    for power in (2, 4):
        found = sum(
            float(weight[0]) * float((fibre[0] @ mean[0]) ** power) for fibre, weight in pairs
        )
        assert found == pytest.approx(float((density * u**power).sum() / density.sum()), abs=0.006)


def test_measures(phantom: Phantom) -> None:
    perfect = errors_to_truth(phantom.signal, phantom)
    assert max(abs(value) for value in perfect) < 1e-3
    brighter = errors_to_truth(phantom.signal + 0.01 * phantom.b0, phantom)
    assert brighter.signal == pytest.approx(1)
    assert brighter.signal_bias == pytest.approx(1)
    assert brighter.fa_bias < 0
    assert errors_to_truth(1.5 * phantom.signal, phantom).fa == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="like with like"):
        errors_to_truth(phantom.signal[..., :5], phantom)


def test_angles_between_axes() -> None:
    a, b = np.eye(3), np.array([[-1.0, 0, 0], [1, 0, 0], [0, 1, 1]])
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    assert axis_angle(a, b).tolist() == pytest.approx([0, 90, 45])


def test_real_tables() -> None:
    table = real_gradients("small_64D", b0=4)
    assert (len(table), int(table.b0.sum())) == (68, 4)
    assert list(table.shells()) == [pytest.approx(994, abs=1)]
