"""Harmonics: DIPY's own matrices, orthonormality, exact rotations, and the covariance of a fit."""

from __future__ import annotations

import warnings

import pytest
import torch

from unfog.dmri import harmonics
from unfog.errors import InputError

SPHERE = harmonics.fibonacci(200)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", ["descoteaux07", "tournier07"])
def test_bases_are_dipys(name, legacy):
    shm = pytest.importorskip("dipy.reconst.shm")
    from dipy.core.geometry import cart2sphere

    _, theta, phi = cart2sphere(*SPHERE.numpy().T)
    function = {"descoteaux07": shm.real_sh_descoteaux, "tournier07": shm.real_sh_tournier}[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = function(8, theta, phi, legacy=legacy)[0]
    ours = harmonics.design(SPHERE, 8, name + "-legacy" * legacy)
    assert float((ours - torch.from_numpy(theirs)).abs().max()) < 1e-10


def test_orthonormal():
    """On a product rule that is exact for the degree: Gauss-Legendre in z, equal steps in the
    angle.
    """
    import numpy as np

    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(9))
    angle = torch.arange(18, dtype=torch.float64) * (2 * torch.pi / 18)
    z, a = torch.meshgrid(nodes, angle, indexing="ij")
    s = (1 - z**2).sqrt()
    u = torch.stack([s * a.cos(), s * a.sin(), z], -1).reshape(-1, 3)
    w = weights[:, None].expand_as(z).reshape(-1) * (2 * torch.pi / 18)
    for name in ("descoteaux07", "descoteaux07-legacy", "tournier07", "mrtrix3"):
        y = harmonics.design(u, 8, name)
        assert torch.allclose(
            y.T @ (w[:, None] * y), torch.eye(45, dtype=torch.float64), atol=1e-12
        )


@pytest.mark.parametrize("basis", ["descoteaux07", "tournier07", "tournier07-legacy"])
def test_rotation_turns_the_function(basis):
    """f(turn^-1 u) by its coefficients is f itself at turned directions, for any rotation; those of
    the cube form their group.
    """
    turn, _ = torch.linalg.qr(
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    )
    c = torch.randn(28, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    turned = harmonics.rotation(turn, 6, basis) @ c
    expected = harmonics.design(SPHERE @ turn, 6, basis) @ c
    assert torch.allclose(harmonics.design(SPHERE, 6, basis) @ turned, expected, atol=1e-10)


def test_octahedral_symmetries():
    """48 different ones, closed under products; a volume that is a linear function of position
    turns as its gradient does.
    """
    turns = harmonics.octahedral()
    assert len({tuple(t.flatten().tolist()) for t in turns}) == 48
    a, b = turns[17], turns[38]
    product = harmonics.rotation(a, 4) @ harmonics.rotation(b, 4)
    assert torch.allclose(product, harmonics.rotation(a @ b, 4), atol=1e-10)
    grid = torch.stack(torch.meshgrid(*[torch.arange(5.0).double() - 2] * 3, indexing="ij"))
    slope = torch.tensor([1.0, 10.0, 100.0]).double()
    for turn in turns:
        turned = harmonics.turn_volume(torch.einsum("i,ixyz->xyz", slope, grid), turn)
        assert torch.equal(turned, torch.einsum("i,ixyz->xyz", turn @ slope, grid))


def test_fit_and_its_covariance():
    g = torch.Generator().manual_seed(0)
    u = torch.nn.functional.normalize(torch.randn(40, 3, generator=g, dtype=torch.float64), dim=1)
    matrix, c = harmonics.design(u, 4), torch.randn(15, generator=g, dtype=torch.float64)
    noisy = matrix @ c + 0.1 * torch.randn(20000, 40, generator=g, dtype=torch.float64)
    found, covariance = harmonics.fit(noisy, matrix)
    assert torch.allclose(harmonics.fit(matrix @ c, matrix)[0], c, atol=1e-10)
    relative = torch.cov(found.T) / 0.01 - covariance
    assert float(relative.abs().max()) < 0.06 * float(covariance.max())


def test_bad_input():
    with pytest.raises(InputError, match="even"):
        harmonics.design(SPHERE, 3)
    with pytest.raises(InputError, match="unit vectors"):
        harmonics.design(2 * SPHERE, 4)
    with pytest.raises(InputError, match="do not determine"):
        harmonics.fit(torch.zeros(10), harmonics.design(SPHERE[:10], 4))
    with pytest.raises(InputError, match="did you mean 'tournier07'"):
        harmonics.design(SPHERE, 4, "tournier7")
