"""The U-Net: DDPM's size, every dimension, and that all it is told counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks import UNet, networks
from unfog.networks.layers.blocks import convolution

SMALL: dict[str, Any] = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "groups": 4}
EVERYTHING: dict[str, Any] = {
    **SMALL,
    "vector_width": 6,
    "spatial_channels": 2,
    "token_width": 5,
    "head_dim": 4,
}


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
        draw(batch, 6, seed=2), draw(batch, 2, size, size, seed=3), draw(batch, 3, 5, seed=4), mask
    )
    return draw(batch, 3, size, size), torch.linspace(10, 700, batch), context


def relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm()).item()


def test_ddpm_for_cifar_has_the_published_size() -> None:
    unet = networks.build({"name": "unet", "modulation": "add"}, in_channels=3, out_channels=3)
    assert sum(p.numel() for p in unet.parameters()) == 35_746_307


@pytest.mark.parametrize("modulation", ["add", "scale-shift"])
def test_starts_as_zero_and_learns(modulation: str) -> None:
    torch.manual_seed(0)
    unet = UNet(1, 1, **SMALL, modulation=modulation)
    x, label, sign = (
        draw(1, 1, 8, 8).expand(2, 1, 8, 8),
        torch.tensor([10.0, 500.0]),
        torch.tensor([1.0, -1.0]),
    )
    assert unet(x, label).abs().max() == 0
    optimiser = torch.optim.Adam(unet.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        loss = (unet(x, label) - x * sign.view(-1, 1, 1, 1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("space", [(13,), (16,), (9, 7), (8, 12), (1, 5), (5, 6, 7)])
@pytest.mark.parametrize("patch", [1, 3])
def test_any_size_in_every_dimension(space: tuple[int, ...], patch: int) -> None:
    unet = randomised(UNet(2, 3, dims=len(space), **SMALL, patch=patch, coordinates=True))
    x = draw(2, 2, *space)
    out = unet(x, torch.tensor([1.0, 900.0]))
    assert out.shape == (2, 3, *space)
    # Each end of each axis is heard at the other: nothing is cropped away, nothing is out of reach.
    moved = x.clone()
    moved[(slice(None), slice(None), *(-1,) * len(space))] += 3
    changed = (unet(moved, torch.tensor([1.0, 900.0])) - out).abs().amax((0, 1))
    assert changed.flatten()[-1] > 1e-3
    assert changed.flatten()[0] > 0


@pytest.mark.parametrize("dims", [1, 3])
def test_the_dimensions_agree(dims: int) -> None:
    """A 2-D net whose kernels are those of a 1-D one, on data constant along the new axis, agrees
    with it; likewise 3-D from 2-D.
    """
    low, high = sorted((dims, 2))
    lesser, greater = UNet(1, 1, dims=low, **SMALL), UNet(1, 1, dims=high, **SMALL)
    randomised(lesser)
    weights = {}
    for (name, value), target in zip(
        lesser.state_dict().items(), greater.state_dict().values(), strict=True
    ):
        weights[name] = (
            value
            if value.shape == target.shape
            else nn.functional.pad(value.unsqueeze(-1), (target.shape[-1] // 2,) * 2)
        )
    greater.load_state_dict(weights)
    x, label = draw(2, 1, *(6,) * low), torch.tensor([3.0, 5.0])
    stacked = x.unsqueeze(-1).expand(*x.shape, 6)
    torch.testing.assert_close(
        greater(stacked, label),
        lesser(x, label).unsqueeze(-1).expand_as(stacked),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("modulation", ["add", "scale-shift"])
@pytest.mark.parametrize("part", ["x", "label", "vector", "spatial", "tokens", "token_mask"])
def test_everything_it_is_told_counts(part: str, modulation: str) -> None:
    unet = randomised(UNet(3, 2, **EVERYTHING, modulation=modulation))
    x, label, context = everything()
    before = unet(x, label, context)
    if part == "x":
        after = unet(x + 0.5 * draw(*x.shape, seed=9), label, context)
    elif part == "label":
        after = unet(x, label + 1, context)
    else:
        value = getattr(context, part)
        other = ~value if part == "token_mask" else value + draw(*value.shape, seed=9)
        after = unet(x, label, replace(context, **{part: other}))
    assert relative(after, before) > 1e-3
    assert before.std() > 0.1


def test_a_masked_token_does_not_count() -> None:
    unet = randomised(UNet(3, 2, **EVERYTHING))
    x, label, context = everything()
    assert context.tokens is not None
    assert context.token_mask is not None
    before = unet(x, label, context)
    tokens = context.tokens.clone()
    tokens[:, 2] = 50.0
    assert torch.equal(unet(x, label, replace(context, tokens=tokens)), before)
    torch.testing.assert_close(
        unet(x, label, replace(context, tokens=tokens[:, :2], token_mask=None)),
        before,
        rtol=1e-4,
        atol=1e-5,
    )
    none = replace(context, token_mask=torch.zeros_like(context.token_mask))
    other = replace(none, tokens=tokens)
    assert unet(x, label, none).isfinite().all()
    assert torch.equal(unet(x, label, none), unet(x, label, other))


@pytest.mark.parametrize("modulation", ["add", "scale-shift"])
def test_a_sample_does_not_depend_on_its_batch(modulation: str) -> None:
    unet = randomised(UNet(3, 2, **EVERYTHING, modulation=modulation, patch=2, coordinates=True))
    x, label, context = everything(batch=3)
    together = unet(x, label, context)
    for i in range(3):
        row = slice(i, i + 1)
        assert context.vector is not None
        assert context.spatial is not None
        assert context.tokens is not None
        assert context.token_mask is not None
        own = Context(
            context.vector[row], context.spatial[row], context.tokens[row], context.token_mask[row]
        )
        torch.testing.assert_close(
            unet(x[row], label[row], own), together[row], rtol=1e-4, atol=1e-5
        )


@torch.no_grad()
def test_coordinates_tell_places_apart() -> None:
    """Without attention a convolution cannot tell the inside of a constant image apart; with
    coordinates it can.
    """
    options = {**SMALL, "multipliers": (1,), "attention_levels": (), "middle_attention": False}
    label, x = torch.tensor([5.0]), torch.zeros(1, 1, 64, 4)
    spread = [
        float(randomised(UNet(1, 1, **options, coordinates=c))(x, label)[0, 0, 24:40].std(0).max())
        for c in (False, True)
    ]
    assert spread[0] < 1e-4 < 1e-2 < spread[1]


def test_heads_are_not_one_head() -> None:
    one, two = (randomised(UNet(1, 1, **SMALL, head_dim=h)) for h in (None, 4))
    x, label = draw(1, 1, 8, 8), torch.tensor([5.0])
    assert relative(two(x, label), one(x, label)) > 1e-3


@pytest.mark.parametrize("modulation", ["add", "scale-shift"])
def test_bfloat16_stays_close(modulation: str) -> None:
    unet = randomised(UNet(3, 2, **EVERYTHING, modulation=modulation))
    x, label, context = everything()
    exact = unet(x, label, context)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = unet(x, label, context)
    assert mixed.dtype == torch.bfloat16
    assert relative(mixed.float(), exact) < 0.05
    assert relative(unet.bfloat16()(x, label, context).float(), exact) < 0.05


@pytest.mark.parametrize("blocks", [1, 2])
def test_features_are_each_levels_last_map_and_the_bottom(blocks: int) -> None:
    unet = randomised(UNet(3, 2, **{**EVERYTHING, "blocks": blocks}))
    x, label, context = everything(size=10)
    seen: list[Tensor] = []
    for module in [*(level.stages[-1] for level in unet.down), unet.middle[-1]]:
        module.register_forward_hook(lambda module, given, out: seen.append(out))
    found = unet.features(x, label, context)
    assert len(found) == len(seen) == 3
    assert all(torch.equal(a, b) for a, b in zip(found, seen, strict=True))
    assert [part.shape[1] for part in found] == unet.feature_channels


def test_dropout_only_in_training() -> None:
    unet = randomised(UNet(1, 1, **SMALL, dropout=0.5))
    x, label = draw(1, 1, 8, 8), torch.tensor([5.0])
    assert torch.equal(unet(x, label), unet(x, label))
    unet.train()
    assert not torch.equal(unet(x, label), unet(x, label))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dims": 4}, "dims 1, 2 or 3"),
        ({"modulation": "scale-shft"}, "did you mean 'scale-shift'"),
        ({"groups": 3}, "3 groups"),
        ({"head_dim": 3}, "heads of 3"),
        ({"attention_levels": (2,)}, "attention_levels"),
        ({"channels": 9, "groups": 3}, "even width"),
        ({"downsample_padding": 2}, "0 or 1"),
        ({"blocks": 0}, "at least 1"),
        ({"blocks": (1, 1, 1)}, "one for each of 2 levels"),
        ({"halvings": -1}, "0 or more"),
        ({"halvings": 1, "multipliers": (2, 2)}, "first multiplier is 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UNet(1, 1, **{**SMALL, **options})


def test_a_context_it_was_not_built_for_is_refused() -> None:
    x, label, context = everything()
    unet = UNet(3, 2, **EVERYTHING)
    with pytest.raises(InputError, match="vector has size 6, and was given None"):
        unet(x, label, replace(context, vector=None))
    with pytest.raises(InputError, match="tokens has size None, and was given 5"):
        UNet(3, 2, **SMALL)(x, label, Context(tokens=context.tokens))
    with pytest.raises(InputError, match="2-D U-Net"):
        unet(x[0], label, context)


def test_detail_is_the_noise_in_its_own_units():
    """White noise on a constant gives d = n - mean(n), whatever the constant, the level and the
    channel's scale.
    """
    from unfog.core.prediction import EDMF
    from unfog.networks.layers.detail import Detail

    data, sigma = [1.5, 0.02], torch.tensor([0.01, 0.3], dtype=torch.float64)
    noise = torch.randn(2, 2, 9, 9, generator=torch.Generator().manual_seed(0))
    x = torch.tensor([1.0, -0.1])[None, :, None, None] + sigma.float()[:, None, None, None] * noise
    scaled = x * EDMF(data).input_scale(torch.ones_like(sigma), sigma)[..., None, None].float()
    found = Detail(data, 2)(scaled, 0.25 * sigma.log())
    expected = torch.asinh(noise - torch.nn.functional.avg_pool2d(noise, 3, 1, 1))
    assert torch.allclose(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-3)


def test_a_shortcut_adds_the_input_times_a_factor_of_the_label() -> None:
    plain = UNet(2, 4, **SMALL, patch=2)
    short = UNet(2, 4, **SMALL, patch=2, shortcut=True)
    x, label = draw(3, 2, 8, 6), torch.tensor([5.0, 300.0, 999.0])
    assert torch.equal(short(x, label), torch.zeros(3, 4, 8, 6))  # zero at first, as without it
    randomised(short)
    plain.load_state_dict(short.state_dict(), strict=False)
    share = (short(x, label) - plain.eval()(x, label)) / torch.cat([x, x], 1)
    # One factor a label and channel on the mean, nothing on the variance.
    assert share[:, 2:].abs().max() == 0
    factors = share[:, :2].flatten(2).median(2).values
    assert torch.allclose(share[:, :2], factors[..., None, None].expand(3, 2, 8, 6), atol=1e-2)
    assert (factors[0] - factors[1]).abs().min() > 1e-2
    with pytest.raises(InputError, match="shortcut adds 3 channels to 1"):
        UNet(3, 1, **SMALL, shortcut=True)


def test_a_picture_shortcut_adds_the_picture_times_a_factor_of_the_label() -> None:
    torch.manual_seed(0)
    unet = UNet(2, 2, **SMALL, spatial_channels=3, picture_shortcut=True)
    assert unet.picture_shortcut is not None
    torch.nn.init.normal_(unet.picture_shortcut.weight)
    x, picture, label = torch.randn(2, 2, 8, 8), torch.randn(2, 3, 8, 8), torch.rand(2)
    with torch.no_grad():
        # The network itself begins as zero.
        factors = unet(x, label, Context(spatial=picture)) / picture[:, :2]
    torch.testing.assert_close(factors, factors[:, :, :1, :1].expand_as(factors))
    assert (factors[0, 0, 0, 0] - factors[1, 0, 0, 0]).abs() > 1e-3
    with pytest.raises(InputError, match="adds 2 channels of the context, which has 1"):
        UNet(2, 2, **SMALL, spatial_channels=1, picture_shortcut=True)


def test_a_shortcut_learns_to_pass_noise_through_patches() -> None:
    """A narrow network of patches of 4 x 4 pixels gives back its input at once, or not at all."""

    def error(shortcut: bool) -> float:
        torch.manual_seed(0)
        unet = UNet(1, 1, **SMALL, patch=4, shortcut=shortcut)
        adam = torch.optim.Adam(unet.parameters(), lr=3e-3)
        for _ in range(60):
            x, label = torch.randn(8, 1, 16, 16), torch.full((8,), 999.0)
            loss = (unet(x, label) - x).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
        return loss.item()

    assert error(shortcut=True) < 0.02 < 0.2 < error(shortcut=False)


@pytest.mark.parametrize("shape", [(2, 2, 2), (2, 4, 4), (4, 4, 4)])
def test_weight_gradients_of_small_volumes_are_right_in_bfloat16(shape):
    # torch's own are wrong by their own size on maps two voxels deep (findings).
    torch.manual_seed(0)
    layer = convolution(3, 16, 16)
    x, towards = torch.randn(2, 2, 16, *shape)
    gradients = []
    for lower in (False, True):
        layer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=lower):
            out = layer(x)
        out.float().backward(towards)
        gradients.append(layer.weight.grad.clone())
    assert float((gradients[1] - gradients[0]).abs().max()) < 0.02 * float(gradients[0].abs().max())
