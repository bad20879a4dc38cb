"""The space-time U-Net: a picture's U-Net on every frame until it learns time; attention and
convolution along time by their formulas; clips of any length.
"""

import pytest
import torch

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.networks import SpaceTimeUNet, UNet
from unfog.networks.layers.temporal import (
    JointAttention,
    TemporalAttention,
    TemporalConvolution,
    fold,
    unfold,
)

KEYS = {
    "channels": 8,
    "multipliers": (1, 2),
    "blocks": 1,
    "attention_levels": (1,),
    "groups": 4,
    "patch": 2,
    "vector_width": 32,
    "spatial_channels": 1,
    "token_width": 6,
}


def inputs(frames=5, batch=2):
    g = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(*shape, generator=g)

    context = Context(
        normal(batch, 32),
        normal(batch, 1, frames, 12, 12),
        normal(batch, 3, 6),
        torch.tensor([[True, True, False]] * batch),
    )
    return normal(batch, 1, frames, 12, 12), normal(batch), context


def networks():
    """A picture's network with weights that are not zero, and the space-time one started by it."""
    torch.manual_seed(0)
    picture, clip = UNet(1, 1, dims=2, **KEYS), SpaceTimeUNet(1, 1, **KEYS)
    for p in picture.parameters():
        torch.nn.init.normal_(p, 0, 0.2)
    loaded = clip.load_state_dict(picture.state_dict(), strict=False)
    assert loaded.unexpected_keys == []
    assert loaded.missing_keys
    assert all(".temporal." in name for name in loaded.missing_keys)
    return picture, clip


def frame_by_frame(picture, x, label, context):
    frames = [
        picture(
            x[:, :, t],
            label,
            Context(context.vector, context.spatial[:, :, t], context.tokens, context.token_mask),
        )
        for t in range(x.shape[2])
    ]
    return torch.stack(frames, 2)


def learned(clip):
    """The network with weights along time that are not zero."""
    for name, p in clip.named_parameters():
        if ".temporal." in name:
            torch.nn.init.normal_(p, 0, 0.3)
    return clip


def test_before_it_learns_time_it_is_the_picture_network_on_every_frame():
    picture, clip = networks()
    x, label, context = inputs()
    expected = frame_by_frame(picture, x, label, context)
    assert torch.allclose(clip(x, label, context), expected, atol=1e-5)
    assert float(expected.detach().std()) > 0.1


def test_a_clip_of_one_frame_is_a_picture_whatever_it_learned_of_time():
    picture, clip = networks()
    x, label, context = inputs(frames=1)
    expected = frame_by_frame(picture, x, label, context)
    assert torch.allclose(learned(clip)(x, label, context), expected, atol=1e-5)


def test_what_it_learned_of_time_joins_frames_and_tells_their_order():
    clip = learned(networks()[1])
    x, label, context = inputs()
    out = clip(x, label, context)
    other = x.clone()
    other[:, :, 4] += 1.0
    assert float((clip(other, label, context) - out)[:, :, 0].detach().abs().max()) > 1e-3
    # Backwards it is another function: the parts along time are not symmetric.
    back = Context(context.vector, context.spatial.flip(2), context.tokens, context.token_mask)
    assert float((clip(x.flip(2), label, back).flip(2) - out).detach().abs().max()) > 1e-3


def test_a_sample_does_not_depend_on_its_batch():
    clip = learned(networks()[1])
    x, label, context = inputs()
    one = Context(
        *(v[:1] for v in (context.vector, context.spatial, context.tokens)), context.token_mask[:1]
    )
    assert torch.allclose(clip(x, label, context)[:1], clip(x[:1], label[:1], one), atol=1e-5)


def test_the_convolution_is_one_in_three_dimensions():
    layer = TemporalConvolution(8, 4, 1e-6)
    torch.nn.init.normal_(layer.conv.weight)
    torch.nn.init.normal_(layer.conv.bias)
    x = torch.randn(2, 8, 5, 3, 4)
    h = torch.nn.functional.silu(torch.nn.functional.group_norm(x, 4, eps=1e-6))
    weight = layer.conv.weight[..., None]
    expected = x + torch.nn.functional.conv3d(h, weight, layer.conv.bias, padding=(1, 0, 0))
    assert torch.allclose(unfold(layer(fold(x), 5), 5), expected, atol=1e-5)


def test_attention_along_time_is_its_formula_beyond_its_reach_too():
    layer = TemporalAttention(8, 4, 4, 1e-6, reach=2)
    for p in layer.parameters():
        torch.nn.init.normal_(p)
    x, frames = torch.randn(2, 8, 6, 3, 4), 6
    out = unfold(layer(fold(x), frames), frames)
    # One place of one clip, head by head.
    normed = unfold(torch.nn.functional.group_norm(fold(x), 4, *layer.norm.parameters()), frames)
    line = normed[1, :, :, 2, 1]
    q, k, v = (layer.qkv.weight[..., 0] @ line + layer.qkv.bias[:, None]).chunk(3)
    heads = []
    for head in range(2):
        rows = slice(4 * head, 4 * head + 4)
        scores = q[rows].T @ k[rows] / 2
        for i in range(frames):
            for j in range(frames):
                scores[i, j] = scores[i, j] + layer.bias[head, max(-2, min(2, j - i)) + 2]
        heads.append(v[rows] @ scores.softmax(1).T)
    h = layer.out.weight[..., 0] @ torch.cat(heads) + layer.out.bias[:, None]
    assert torch.allclose(out[1, :, :, 2, 1], x[1, :, :, 2, 1] + h, atol=1e-4)


def test_short_clips_have_finite_gradients_in_bfloat16():
    clip = learned(SpaceTimeUNet(1, 1, channels=32, multipliers=(1, 2), blocks=1, groups=8))
    for frames in (2, 3):
        with torch.autocast("cpu", torch.bfloat16):
            out = clip(torch.randn(1, 1, frames, 8, 8), torch.randn(1))
        out.float().square().mean().backward()
        assert all(bool(p.grad.isfinite().all()) for p in clip.parameters() if p.grad is not None)


def test_features_are_those_of_clips():
    clip = networks()[1]
    x, label, context = inputs()
    maps = clip.features(x, label, context)
    assert [m.shape[1] for m in maps] == clip.feature_channels
    assert maps[0].shape == (2, 8, 5, 6, 6)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"dims": 2}, "dims 3"),
        ({"temporal_levels": (5,)}, "temporal_levels"),
        ({"reach": 0}, "reach"),
    ],
)
def test_wrong_keys_are_refused(change, word):
    with pytest.raises(InputError, match=word):
        SpaceTimeUNet(1, 1, **{**KEYS, **change})
    with pytest.raises(InputError, match="3 axes"):
        SpaceTimeUNet(1, 1, **KEYS)(torch.zeros(1, 1, 8, 8), torch.zeros(1))


def test_joint_attention_is_that_over_all_places_of_all_frames():
    """By the formula, with its bias by the distance in time; nothing at the beginning."""
    torch.manual_seed(0)
    batch, frames, rows = 2, 3, 2
    layer = JointAttention(8, 4, 4, 1e-6, reach=2)
    x = torch.randn(batch * frames, 8, rows, rows)
    assert torch.equal(layer(x, frames), x)
    for p in layer.parameters():
        torch.nn.init.normal_(p, 0, 0.5)
    qkv = layer.qkv(layer.norm(x).flatten(2)).view(batch, frames, 3, 2, 4, rows * rows)
    q, k, v = qkv.unbind(2)
    distance = layer.distances(frames)
    scores = torch.einsum("bfhdp,bghdq->bhfpgq", q, k) / 2 + distance[None, :, :, None, :, None]
    weights = scores.flatten(4).softmax(-1).view_as(scores)
    h = torch.einsum("bhfpgq,bghdq->bfhdp", weights, v).reshape(batch * frames, 8, rows * rows)
    assert torch.allclose(layer(x, frames), x + layer.out(h).view_as(x), atol=1e-5)


def test_joint_attention_starts_as_nothing():
    torch.manual_seed(0)
    keys = {**KEYS, "temporal_levels": (), "attention_levels": (), "middle_attention": False}
    plain, joint = SpaceTimeUNet(1, 1, **keys), SpaceTimeUNet(1, 1, **keys, joint_levels=(1,))
    plain = learned(plain)
    for p in plain.parameters():
        torch.nn.init.normal_(p, 0, 0.3)
    assert joint.load_state_dict(plain.state_dict(), strict=False).unexpected_keys == []
    x, label, context = inputs(frames=12)
    assert torch.allclose(plain(x, label, context), joint(x, label, context), atol=1e-5)
    with pytest.raises(InputError, match="joint_levels"):
        SpaceTimeUNet(1, 1, **keys, joint_levels=(2,))
