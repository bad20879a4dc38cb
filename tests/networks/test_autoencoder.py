"""Autoencoders: the published sizes, diffusers' numbers, and what each latent space is held to."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from unfog.core.random import generators
from unfog.errors import InputError
from unfog.interop.diffusers_autoencoder import (
    autoencoder_from_diffusers,
    autoencoder_to_diffusers,
)
from unfog.networks.autoencoder import AutoencoderKL, AutoencoderVQ

SMALL = {"channels": 8, "multipliers": (1, 2, 2), "blocks": 1, "groups": 4, "latent_channels": 3}


def _randomised(module, seed=0):
    """Every tensor redrawn, so that nothing rests on how networks start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.2 * torch.randn(p.shape, generator=generator))
    return module


def test_stable_diffusions_autoencoder_has_its_number_of_parameters():
    with torch.device("meta"):
        network = AutoencoderKL(3, 4, multipliers=(1, 2, 4, 4))
    assert network.factor == 8
    assert sum(p.numel() for p in network.parameters()) == 83_653_863


@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_weights_compute_what_they_compute_in_diffusers(kind):
    diffusers = pytest.importorskip("diffusers")
    common = {
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": (8, 16, 24),
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "layers_per_block": 2,
        "latent_channels": 3,
        "norm_num_groups": 4,
    }
    if kind == "kl":
        theirs = diffusers.AutoencoderKL(**common)
    else:
        theirs = diffusers.VQModel(**common, num_vq_embeddings=11)
    theirs = _randomised(theirs).eval().double()
    ours = autoencoder_from_diffusers(theirs.state_dict(), dict(theirs.config)).double().eval()
    x = torch.randn(2, 3, 24, 16, dtype=torch.float64)
    with torch.no_grad():
        if kind == "kl":
            z, wanted = ours.encode(x), theirs.encode(x).latent_dist.mean
        else:
            z, wanted = ours.encode(x), theirs.encode(x).latents
        torch.testing.assert_close(z, wanted, rtol=1e-9, atol=1e-9)
        again = theirs.decode(z).sample
        assert again.std() > 1e-3
        torch.testing.assert_close(ours.decode(z), again, rtol=1e-9, atol=1e-9)
    back = autoencoder_to_diffusers(ours)
    assert back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(back[name], value) for name, value in theirs.state_dict().items())


def test_weights_that_do_not_fit_their_configuration_are_refused():
    network = _randomised(AutoencoderKL(1, dims=2, **SMALL))
    weights = autoencoder_to_diffusers(network)
    config = {
        "in_channels": 1,
        "block_out_channels": (8, 16, 16),
        "layers_per_block": 1,
        "latent_channels": 3,
        "norm_num_groups": 4,
    }
    x = torch.randn(1, 1, 8, 8)
    assert torch.equal(autoencoder_from_diffusers(weights, config).encode(x), network.encode(x))
    with pytest.raises(InputError, match="have no 'encoder"):
        autoencoder_from_diffusers(weights, {**config, "layers_per_block": 2})
    with pytest.raises(InputError, match="does not ask for"):
        autoencoder_from_diffusers({**weights, "more": x}, config)
    with pytest.raises(InputError, match="of pictures, not of 3"):
        autoencoder_to_diffusers(AutoencoderKL(1, dims=3, **SMALL))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kind", [AutoencoderKL, AutoencoderVQ])
def test_every_dimension_comes_back_in_its_own_size(dims, kind):
    network = kind(2, dims=dims, **SMALL)
    x = torch.randn(2, 2, *(8, 16, 12)[:dims])
    z = network.encode(x)
    assert z.shape == (2, 3, *(2, 4, 3)[:dims])
    assert network.decode(z).shape == x.shape
    with pytest.raises(InputError, match="divide by 4"):
        network.encode(torch.randn(1, 2, *(8, 16, 10)[:dims][::-1]) if dims == 3 else x[..., :-1])


def test_the_kl_penalty_is_the_divergence_from_a_standard_normal():
    network = _randomised(AutoencoderKL(1, dims=2, weight=0.3, **SMALL)).double()
    x = torch.randn(3, 1, 8, 12, dtype=torch.float64)
    coded = network(x, generators(0, range(3)))
    mean, logvar = network.moments(x).chunk(2, 1)
    divergence = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(0.0, 1.0))
    wanted = 0.3 * divergence.flatten(1).sum(1) / x[0].numel()
    torch.testing.assert_close(coded.penalty, wanted)
    # The latents are drawn: with other randomness the reconstruction is another.
    assert not torch.equal(coded.x, network(x, generators(1, range(3))).x)


def test_each_place_takes_the_nearest_code_and_the_gradient_passes_straight_through():
    network = _randomised(AutoencoderVQ(1, dims=2, codes=7, commitment=0.25, **SMALL)).eval()
    x = torch.randn(2, 1, 8, 8)
    z = network.encode(x)
    quantised, number = network.quantise(z)
    # By looking at every code.
    distance = (z[:, None] - network.codebook.weight[None, :, :, None, None]).norm(dim=2)
    assert torch.equal(number, distance.argmin(1))
    gaps = (quantised - z).square().flatten(1).mean(1)
    torch.testing.assert_close(network(x, generators(0, range(2))).penalty, 1.25 * gaps)
    # Decoding depends on the code alone, and hands its gradient to z.
    near = (z + 0.1 * (quantised - z)).detach().requires_grad_()
    out = network.decode(near)
    torch.testing.assert_close(out, network.decode(quantised))
    assert torch.autograd.grad(out.sum(), near)[0].abs().max() > 0


def test_codes_that_nothing_uses_move_to_the_data():
    network = _randomised(AutoencoderVQ(1, dims=2, codes=64, idle=2, **SMALL)).train()
    with torch.no_grad():
        network.codebook.weight.add_(100)
    network.unused.zero_()
    x = torch.randn(4, 1, 16, 16)
    for step in range(2):
        network(x, generators(step, range(4)))
        assert network.codebook.weight.min() > 90
    network(x, generators(2, range(4)))
    used = network.quantise(network.encode(x))[1].unique()
    assert len(used) > 16


def test_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        network = _randomised(
            AutoencoderKL(1, dims=3, checkpointing=checkpointing, **SMALL)
        ).train()
        x = torch.randn(1, 1, 8, 8, 8, generator=torch.Generator().manual_seed(1))
        network(x, generators(0, [0])).x.square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)
