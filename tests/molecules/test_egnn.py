"""The equivariant network: it turns with its input, and padding changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.molecules.egnn import EGNN

SIZES = (5, 3, 5, 7)


def network(**options) -> EGNN:
    torch.manual_seed(0)
    egnn = EGNN(9, 9, width=32, layers=3, **options).double()
    for value in egnn.parameters():
        torch.nn.init.normal_(value, std=0.15)
    return egnn


def molecules(atoms: int = 8) -> Tensor:
    """Molecules of several sizes, (4, 9, atoms), padded with zeros."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(len(SIZES), 9, atoms, generator=draw, dtype=torch.float64)
    for row, size in enumerate(SIZES):
        x[row, :, size:] = 0
    return x


def turned(x: Tensor, q: Tensor) -> Tensor:
    return torch.cat([torch.einsum("ij,bjn->bin", q, x[:, :3]), x[:, 3:]], 1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_it_turns_and_mirrors_with_its_input(mirrored: bool) -> None:
    egnn, x, t = network(), molecules(), torch.rand(4, dtype=torch.float64)
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    if (torch.det(q) < 0) != mirrored:
        q[:, 0] *= -1
    with torch.no_grad():
        expected, found = turned(egnn(x, t), q), egnn(turned(x, q), t)
    assert expected[:, :3].abs().max() > 0.1
    assert (found - expected).abs().max() < 1e-10


def test_where_the_molecule_is_does_not_matter() -> None:
    egnn, x, t = network(), molecules(8), torch.rand(4, dtype=torch.float64)
    present = (x != 0).any(1, keepdim=True)
    moved = x.clone()
    moved[:, :3] += 2.5 * present
    with torch.no_grad():
        assert (egnn(moved, t) - egnn(x, t)).abs().max() < 1e-10


def test_the_order_of_atoms_and_the_padding_do_not_matter() -> None:
    egnn, x, t = network(), molecules(), torch.rand(4, dtype=torch.float64)
    order = torch.randperm(8)
    with torch.no_grad():
        out = egnn(x, t)
        assert (egnn(x[:, :, order], t) - out[:, :, order]).abs().max() < 1e-10
        wide = torch.cat([x, torch.zeros(4, 9, 5, dtype=x.dtype)], 2)
        assert (egnn(wide, t)[:, :, :8] - out).abs().max() < 1e-12
        alone = egnn(x[1:2, :, :3], t[1:2])
        assert (alone - out[1:2, :, :3]).abs().max() < 1e-12
    assert bool((out[~(x != 0).any(1, keepdim=True).expand_as(out)] == 0).all())


def test_pairs_are_the_perceptron_of_joined_features() -> None:
    pairs = network().layers[0].messages
    h = torch.randn(2, 5, 32, dtype=torch.float64)
    d = torch.rand(2, 5, 5, 2, dtype=torch.float64)
    joined = torch.cat(
        [h[:, :, None].expand(-1, -1, 5, -1), h[:, None].expand(-1, 5, -1, -1), d], -1
    )
    silu = torch.nn.functional.silu
    expected = silu(pairs.second(silu(pairs.first(joined))))
    torch.testing.assert_close(pairs(h, d), expected, atol=1e-12, rtol=0)


def test_a_vector_reaches_every_atom_and_the_label_counts() -> None:
    egnn, x, t = network(vector_width=4), molecules(), torch.rand(4, dtype=torch.float64)
    told = [Context(vector=v * torch.ones(4, 4, dtype=torch.float64)) for v in (0.0, 1.0)]
    with torch.no_grad():
        a, b = (egnn(x, t, context) for context in told)
        present = (x != 0).any(1)
        assert bool(((a - b).abs().amax(1)[present] > 1e-6).all())
        assert (egnn(x, t / 2, told[0]) - a).abs().max() > 1e-3
    assert [m.shape for m in egnn.features(x, t, told[0])] == [(4, 32, 8)] * 3


def test_the_published_size() -> None:
    with torch.device("meta"):
        egnn = EGNN(9, 9)
    assert sum(p.numel() for p in egnn.parameters()) == 5_339_920


def test_what_it_does_not_take() -> None:
    with pytest.raises(InputError, match="no tokens"):
        EGNN(9, 9, token_width=8)
    with pytest.raises(InputError, match="dims 1"):
        EGNN(9, 9, dims=2)
