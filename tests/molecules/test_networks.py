"""The equivariant networks: they turn with their input, and padding changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.molecules.egnn import EGNN
from unfog.molecules.transformer import AtomTransformer
from unfog.networks.network import Network

SIZES = (5, 3, 5, 7)


BOTH = pytest.mark.parametrize("kind", [EGNN, AtomTransformer])


def network(kind: type[Network], **options) -> Network:
    torch.manual_seed(0)
    made = kind(9, 9, width=32, layers=3, **options).double()
    for value in made.parameters():
        torch.nn.init.normal_(value, std=0.15)
    return made


def molecules(atoms: int = 8) -> Tensor:
    """Molecules of several sizes, (4, 9, atoms), padded with zeros."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(len(SIZES), 9, atoms, generator=draw, dtype=torch.float64)
    for row, size in enumerate(SIZES):
        x[row, :, size:] = 0
    return x


def turned(x: Tensor, q: Tensor) -> Tensor:
    return torch.cat([torch.einsum("ij,bjn->bin", q, x[:, :3]), x[:, 3:]], 1)


@BOTH
@pytest.mark.parametrize("mirrored", [False, True])
def test_it_turns_and_mirrors_with_its_input(kind: type[Network], mirrored: bool) -> None:
    model, x, t = network(kind), molecules(), torch.rand(4, dtype=torch.float64)
    q, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64))
    if (torch.det(q) < 0) != mirrored:
        q[:, 0] *= -1
    with torch.no_grad():
        expected, found = turned(model(x, t), q), model(turned(x, q), t)
    assert expected[:, :3].abs().max() > 0.1
    assert (found - expected).abs().max() < 1e-10


@BOTH
def test_where_the_molecule_is_does_not_matter(kind: type[Network]) -> None:
    model, x, t = network(kind), molecules(8), torch.rand(4, dtype=torch.float64)
    present = (x != 0).any(1, keepdim=True)
    moved = x.clone()
    moved[:, :3] += 2.5 * present
    with torch.no_grad():
        assert (model(moved, t) - model(x, t)).abs().max() < 1e-10


@BOTH
def test_the_order_of_atoms_and_the_padding_do_not_matter(kind: type[Network]) -> None:
    model, x, t = network(kind), molecules(), torch.rand(4, dtype=torch.float64)
    order = torch.randperm(8)
    with torch.no_grad():
        out = model(x, t)
        assert (model(x[:, :, order], t) - out[:, :, order]).abs().max() < 1e-10
        wide = torch.cat([x, torch.zeros(4, 9, 5, dtype=x.dtype)], 2)
        assert (model(wide, t)[:, :, :8] - out).abs().max() < 1e-12
        alone = model(x[1:2, :, :3], t[1:2])
        assert (alone - out[1:2, :, :3]).abs().max() < 1e-12
    assert bool((out[~(x != 0).any(1, keepdim=True).expand_as(out)] == 0).all())


def test_pairs_are_the_perceptron_of_joined_features() -> None:
    pairs = network(EGNN).layers[0].messages
    h = torch.randn(2, 5, 32, dtype=torch.float64)
    d = torch.rand(2, 5, 5, 2, dtype=torch.float64)
    joined = torch.cat(
        [h[:, :, None].expand(-1, -1, 5, -1), h[:, None].expand(-1, 5, -1, -1), d], -1
    )
    silu = torch.nn.functional.silu
    expected = silu(pairs.second(silu(pairs.first(joined))))
    torch.testing.assert_close(pairs(h, d), expected, atol=1e-12, rtol=0)


@BOTH
def test_a_vector_reaches_every_atom_and_the_label_counts(kind: type[Network]) -> None:
    model, x, t = network(kind, vector_width=4), molecules(), torch.rand(4, dtype=torch.float64)
    told = [Context(vector=v * torch.ones(4, 4, dtype=torch.float64)) for v in (0.0, 1.0)]
    with torch.no_grad():
        a, b = (model(x, t, context) for context in told)
        present = (x != 0).any(1)
        assert bool(((a - b).abs().amax(1)[present] > 1e-6).all())
        assert (model(x, t / 2, told[0]) - a).abs().max() > 1e-3
    assert [m.shape for m in model.features(x, t, told[0])] == [(4, 32, 8)] * 3


def test_the_published_size() -> None:
    with torch.device("meta"):
        egnn = EGNN(9, 9)
    assert sum(p.numel() for p in egnn.parameters()) == 5_339_920


@BOTH
def test_what_it_does_not_take(kind: type[Network]) -> None:
    with pytest.raises(InputError, match="no tokens"):
        kind(9, 9, token_width=8)
    with pytest.raises(InputError, match="dims 1"):
        kind(9, 9, dims=2)
    with pytest.raises(InputError, match="heads must divide"):
        AtomTransformer(9, 9, width=30)


def test_a_transformer_without_atoms_gives_nothing() -> None:
    empty = torch.zeros(2, 9, 4, dtype=torch.float64)
    assert not network(AtomTransformer)(empty, empty[:, 0, 0]).any()


def test_two_atoms_are_pulled_along_the_line_between_them() -> None:
    x = torch.zeros(1, 9, 2, dtype=torch.float64)
    x[0, :3, 0], x[0, 3:5, :] = torch.tensor([0.3, -0.2, 0.5]), 0.25
    x[0, :3, 1] = -x[0, :3, 0]
    with torch.no_grad():
        out = network(AtomTransformer)(x, x[:, 0, 0])[0, :3]
    line = x[0, :3, 0] / x[0, :3, 0].norm()
    assert out.norm() > 0.1
    assert (out - line[:, None] * (line @ out)).abs().max() < 1e-12
