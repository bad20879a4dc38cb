"""The DiT: the published size, every dimension, and that all it is told counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks import DiT, networks
from unfog.networks.layers.positions import Positions, positions

SMALL: dict[str, Any] = {"depth": 2, "width": 24, "heads": 2}
EVERYTHING: dict[str, Any] = {
    **SMALL,
    "vector_width": 24,
    "spatial_channels": 2,
    "token_width": 5,
}
PLACES = ["sinusoidal", "rotary"]


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with every tensor drawn anew, so that nothing is hidden behind a zero."""
    generator = torch.Generator().manual_seed(seed)
    for tensor in network.state_dict().values():
        scale = max(tensor[0].numel(), 1) ** -0.5 if tensor.ndim > 1 else 0.5
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
    return network.eval()


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def everything(batch: int = 2, size: int = 8) -> tuple[Tensor, Tensor, Context]:
    mask = torch.tensor([[True, True, False]]).expand(batch, -1)
    context = Context(
        draw(batch, 24, seed=2), draw(batch, 2, size, size, seed=3), draw(batch, 3, 5, seed=4), mask
    )
    return draw(batch, 3, size, size), torch.linspace(10, 700, batch), context


def relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def test_starts_as_zero_with_blocks_that_change_nothing_and_learns() -> None:
    torch.manual_seed(0)
    dit = networks.build({"name": "dit", **SMALL}, in_channels=1, out_channels=1)
    x, sign = draw(1, 1, 8, 8).expand(2, 1, 8, 8), torch.tensor([1.0, -1.0])
    label = torch.tensor([10.0, 500.0])
    assert dit(x, label).abs().max() == 0
    shown = dit.features(x, label)
    assert all(torch.equal(shown[0], part) for part in shown)
    optimiser = torch.optim.Adam(dit.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = (dit(x, label) - x * sign.view(-1, 1, 1, 1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("space", [(15,), (9, 9), (3, 12), (3, 6, 9)])
@pytest.mark.parametrize("patch", [1, 3])
def test_every_dimension(space: tuple[int, ...], patch: int, places: str) -> None:
    dit = randomised(DiT(2, 3, dims=len(space), **SMALL, patch=patch, positions=places))
    x = draw(2, 2, *space)
    out = dit(x, torch.tensor([1.0, 900.0]))
    assert out.shape == (2, 3, *space)
    # Each end of each axis is heard at the other.
    moved = x.clone()
    moved[(slice(None), slice(None), *(-1,) * len(space))] += 3
    changed = (dit(moved, torch.tensor([1.0, 900.0])) - out).abs().amax((0, 1))
    assert changed.flatten()[-1] > 1e-3
    assert changed.flatten()[0] > 1e-5


@torch.no_grad()
def test_a_patch_is_put_back_where_it_came_from() -> None:
    """Tokens alone, without blocks that mix them: a change of a patch changes that patch."""
    dit = randomised(DiT(1, 1, **SMALL, patch=2))
    for block in dit.blocks:
        nn.init.zeros_(block.project.weight)
        nn.init.zeros_(block.project.bias)
    x, label = draw(1, 1, 6, 8), torch.tensor([5.0])
    moved = x.clone()
    moved[..., 2, 5] += 1
    changed = (dit(moved, label) - dit(x, label))[0, 0].abs() > 1e-6
    inside = torch.zeros(6, 8, dtype=torch.bool)
    inside[2:4, 4:6] = True
    assert torch.equal(changed, inside)


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("part", ["x", "label", "vector", "spatial", "tokens", "token_mask"])
def test_everything_it_is_told_counts(part: str, places: str) -> None:
    dit = randomised(DiT(3, 2, **EVERYTHING, positions=places))
    x, label, context = everything()
    before = dit(x, label, context)
    if part == "x":
        after = dit(x + 0.5 * draw(*x.shape, seed=9), label, context)
    elif part == "label":
        after = dit(x, label + 1, context)
    else:
        value = getattr(context, part)
        other = ~value if part == "token_mask" else value + draw(*value.shape, seed=9)
        after = dit(x, label, replace(context, **{part: other}))
    assert relative(after, before) > 1e-3
    assert before.std() > 0.1


def test_tokens_count_for_nothing_until_they_are_learned() -> None:
    dit = DiT(3, 2, **EVERYTHING)
    for name, tensor in dit.state_dict().items():
        if ".cross." not in name:
            tensor.copy_(0.1 * draw(*tensor.shape, seed=5))
    x, label, context = everything()
    assert context.tokens is not None
    before = dit(x, label, context)
    assert before.std() > 1e-3
    assert torch.equal(dit(x, label, replace(context, tokens=context.tokens + 1)), before)


def test_a_masked_token_does_not_count() -> None:
    dit = randomised(DiT(3, 2, **EVERYTHING))
    x, label, context = everything()
    assert context.tokens is not None
    assert context.token_mask is not None
    before = dit(x, label, context)
    tokens = context.tokens.clone()
    tokens[:, 2] = 50.0
    assert torch.equal(dit(x, label, replace(context, tokens=tokens)), before)
    torch.testing.assert_close(
        dit(x, label, replace(context, tokens=tokens[:, :2], token_mask=None)),
        before,
        rtol=1e-4,
        atol=1e-5,
    )
    none = replace(context, token_mask=torch.zeros_like(context.token_mask))
    assert torch.equal(dit(x, label, none), dit(x, label, replace(none, tokens=tokens)))


@pytest.mark.parametrize("places", PLACES)
def test_a_sample_does_not_depend_on_its_batch(places: str) -> None:
    dit = randomised(DiT(3, 2, **EVERYTHING, positions=places))
    x, label, context = everything(batch=3)
    together = dit(x, label, context)
    for i in range(3):
        row = slice(i, i + 1)
        own = Context(
            *(getattr(context, p)[row] for p in ("vector", "spatial", "tokens", "token_mask"))
        )
        torch.testing.assert_close(
            dit(x[row], label[row], own), together[row], rtol=1e-4, atol=1e-5
        )


def test_bfloat16_stays_close() -> None:
    dit = randomised(DiT(3, 2, **EVERYTHING, positions="rotary"))
    x, label, context = everything()
    exact = dit(x, label, context)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = dit(x, label, context)
    assert mixed.dtype == torch.bfloat16
    assert relative(mixed.float(), exact) < 0.05
    assert relative(dit.bfloat16()(x, label, context).float(), exact) < 0.05


@pytest.mark.parametrize(("depth", "shown"), [(1, [0]), (3, [0, 1, 2]), (8, [1, 3, 5, 7])])
def test_features_are_the_tokens_after_spaced_blocks(depth: int, shown: list[int]) -> None:
    dit = randomised(DiT(3, 2, **{**EVERYTHING, "depth": depth}))
    x, label, context = everything()
    seen: list[Tensor] = []
    for i in shown:
        dit.blocks[i].register_forward_hook(lambda module, given, out: seen.append(out))
    found = dit.features(x, label, context)
    assert len(found) == len(seen) == len(shown)
    assert [part.shape[1] for part in found] == dit.feature_channels
    for part, tokens in zip(found, seen, strict=True):
        assert part.shape == (2, 24, 4, 4)
        assert torch.equal(part[:, :, 2, 3], tokens[:, 11])


# Positions.


def test_sinusoidal_positions_are_the_papers() -> None:
    """Sines and cosines of the column, then of the row."""
    table = positions.build("sinusoidal", width=8, heads=1, dims=2).table(
        (2, 3), torch.device("cpu")
    )
    w = torch.tensor([1.0, 0.01])
    for n, (row, column) in enumerate((r, c) for r in range(2) for c in range(3)):
        expected = [f(p * w) for p in (column, row) for f in (torch.sin, torch.cos)]
        torch.testing.assert_close(table[n], torch.cat(expected))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_sinusoidal_positions_tell_places_apart_and_leave_the_rest(dims: int) -> None:
    build = positions.build("sinusoidal", width=14, heads=1, dims=dims)
    table = build.table((5, 4, 3)[:dims], torch.device("cpu"))
    assert table.shape == ((5, 20, 60)[dims - 1], 14)
    assert torch.cdist(table, table)[~torch.eye(len(table), dtype=torch.bool)].min() > 0.1
    used = 14 // (2 * dims) * 2 * dims
    assert (table[:, used:] == 0).all()


def test_an_extent_stretches_places() -> None:
    stretched = {"name": "sinusoidal", "extent": 3}
    table, whole = (positions.build(p, width=8, heads=1, dims=1) for p in (stretched, "sinusoidal"))
    cpu = torch.device("cpu")
    assert torch.equal(table.table((6,), cpu)[::2], whole.table((3,), cpu))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_rotary_products_depend_on_differences_of_places(dims: int) -> None:
    """q at p times k at p + d is the same for all p, and another for another d."""
    grid = (5, 4, 3)[:dims]
    rotary = positions.build("rotary", width=28, heads=2, dims=dims)
    rotate = rotary.rotation(grid, torch.device("cpu"))
    q, k = (draw(1, 28, 1, seed=s).expand(-1, -1, (5, 20, 60)[dims - 1]) for s in (1, 2))
    products = torch.einsum("bhcn,bhcm->bhnm", *(rotate(p).view(1, 2, 14, -1) for p in (q, k)))
    table = products.view(2, *grid, *grid)
    places = list(torch.cartesian_prod(*map(torch.arange, grid)).view(-1, dims).tolist())
    by_difference: dict[tuple[int, ...], list[Tensor]] = {}
    for p in places:
        for other in places:
            difference = tuple(b - a for a, b in zip(p, other, strict=True))
            by_difference.setdefault(difference, []).append(table[(slice(None), *p, *other)])
    means = []
    for values in by_difference.values():
        torch.testing.assert_close(torch.stack(values), values[0].expand(len(values), -1))
        means.append(values[0])
    every = torch.stack(means)
    assert torch.cdist(every, every)[~torch.eye(len(every), dtype=torch.bool)].min() > 1e-4
    # A rotation keeps lengths, and leaves the first place as it is.
    torch.testing.assert_close(rotate(q).norm(dim=1), q.norm(dim=1))
    assert torch.equal(rotate(q)[..., 0], q[..., 0])


@torch.no_grad()
def test_only_positions_tell_places_apart() -> None:
    """Without them, exchanging two patches exchanges the output's."""

    def exchange(x: Tensor) -> Tensor:
        return torch.cat([x[..., 4:6], x[..., 2:4], x[..., :2], x[..., 6:]], 3)

    dit, x, label = randomised(DiT(1, 1, **SMALL)), draw(1, 1, 2, 8), torch.tensor([5.0])
    changed = {}
    for name in ("none", *PLACES):
        make = Positions if name == "none" else positions.get(name)
        dit.positions = make(24, 2, 2)
        changed[name] = relative(exchange(dit(exchange(x), label)), dit(x, label))
    assert changed["none"] < 1e-5
    assert min(changed["sinusoidal"], changed["rotary"]) > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 4}, "dims 1, 2 or 3"),
        ({"heads": 5}, "24 does not divide into 5 heads"),
        ({"vector_width": 6}, "vector_width is its width, 24"),
        ({"depth": 0}, "at least 1"),
        ({"positions": "rotery"}, "did you mean 'rotary'"),
        ({"positions": {"name": "rotary", "bse": 3}}, "did you mean 'base'"),
        ({"positions": {"name": "sinusoidal", "extent": 0}}, "extent"),
        ({"positions": "rotary", "dims": 3, "heads": 8}, "heads of 6 channels, got 3"),
        ({"dims": 3, "width": 4}, "need a width of 6"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DiT(1, 1, **{**SMALL, **options})


def test_what_it_was_not_built_for_is_refused() -> None:
    x, label, context = everything()
    dit = DiT(3, 2, **EVERYTHING)
    with pytest.raises(InputError, match="vector has size 24, and was given None"):
        dit(x, label, replace(context, vector=None))
    with pytest.raises(InputError, match="tokens has size None, and was given 5"):
        DiT(3, 2, **SMALL)(x, label, Context(tokens=context.tokens))
    with pytest.raises(InputError, match="2-D DiT"):
        dit(x[0], label, context)
    with pytest.raises(InputError, match="multiples of 2, got 8 x 7"):
        dit(x[..., :7], label, context)
