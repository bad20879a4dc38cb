"""DiffWave: its size, its layers by plain formulas, its schedule and its few steps."""

import math

import numpy as np
import pytest
import torch

from unfog.audio.diffwave import DiffWave, KnotEmbedding
from unfog.audio.mel_condition import MelCondition, MelFeatures
from unfog.audio.recipe import diffwave_vocoder
from unfog.audio.schedule import FAST
from unfog.core.conditioning import Context
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.core.random import generators, normal
from unfog.errors import InputError
from unfog.runs.build import learned_parts
from unfog.sampling.grids import grids
from unfog.sampling.loop import solve
from unfog.sampling.samplers import samplers

PROCESS = {"name": "ddpm-linear", "beta_start": 1e-4, "beta_end": 0.05, "steps": 50}


def drawn_anew(module):
    """The module with every parameter drawn, since it starts as the zero function."""
    g = torch.Generator().manual_seed(0)
    for p in module.parameters():
        scale = 0.1 if p.ndim < 2 else p[0].numel() ** -0.5
        p.data = scale * torch.randn(p.shape, generator=g)
    return module


def test_the_published_configuration_has_its_parameters():
    class Data:
        name, shape, voxel, conditions = "sounds", (1, 4096), (1 / 22_050,), {}

    config = diffwave_vocoder(Data())
    config |= {"shape": [1, 4096], "codec": {"name": "identity"}}
    network, conditioner = learned_parts(config)
    count = sum(p.numel() for part in (network, conditioner) for p in part.parameters())
    assert count == 2_619_971  # 2.62 M, the authors' code has as many
    assert config["sampling"]["steps"] == len(FAST) == 6


def test_layers_are_those_of_the_paper():
    net = drawn_anew(DiffWave(1, 1, channels=4, layers=4, cycle=3, vector_width=5)).double()
    x = torch.randn(2, 1, 40, dtype=torch.float64)
    n, v = torch.tensor([3.0, 7.0]), torch.randn(2, 5, dtype=torch.float64)
    # Equations 2 of the paper, term by term.
    e, h, total = net.embedding(n), net.enter(x).relu(), 0
    for layer, dilation in zip(net.layers, (1, 2, 4, 1), strict=True):
        y = torch.nn.functional.pad(h + layer.label(e)[..., None], (dilation, dilation))
        w = layer.conv.weight
        taps = [y[..., k * dilation : k * dilation + 40] for k in range(3)]
        y = sum(w[..., k] @ tap for k, tap in enumerate(taps)) + layer.conv.bias[:, None]
        y = y + layer.vector(v)[..., None]
        z = torch.sigmoid(y[:, :4]) * torch.tanh(y[:, 4:])
        out = layer.out.weight[..., 0] @ z + layer.out.bias[:, None]
        h, total = (h + out[:, :4]) / math.sqrt(2), total + out[:, 4:]
    expected = net.leave(net.skip(total / 2).relu())
    found = net(x, n, Context(vector=v))
    assert torch.allclose(found, expected, atol=1e-12)
    assert [m.shape for m in net.features(x, n, Context(vector=v))] == [(2, 4, 40)] * 2


def test_it_starts_at_zero_and_checks_its_context():
    net = DiffWave(1, 1, channels=4, layers=2, cycle=2, spatial_channels=3)
    x, n = torch.randn(1, 1, 20), torch.zeros(1)
    out = net(x, n, Context(spatial=torch.randn(1, 3, 20)))
    assert torch.equal(out, net.leave.bias.view(1, 1, 1).expand_as(out))
    with pytest.raises(InputError, match="spatial"):
        net(x, n)
    with pytest.raises(InputError, match="no text"):
        DiffWave(1, 1, token_width=8)


def test_the_embedding_is_linear_between_knots():
    embedding = KnotEmbedding(50)
    k = np.arange(64)
    angle = 7 * 10.0 ** (4 * k[:40] / 63)
    assert embedding.table[7, :40].numpy() == pytest.approx(np.sin(angle), abs=1e-3)
    assert embedding.table[7, 64:104].numpy() == pytest.approx(np.cos(angle), abs=1e-3)
    embedding.hidden, embedding.out = torch.nn.Identity(), torch.nn.Identity()
    embedding.hidden.weight = embedding.table
    silu = torch.nn.functional.silu
    middle = silu(silu(embedding.table[7:9].mean(0)))
    assert torch.allclose(embedding(torch.tensor([7.5]))[0], middle)


def test_six_steps_are_the_authors():
    """The fast schedule and its aligned steps, by algorithm 2 of the paper's appendix B."""
    process = processes.build(PROCESS)
    grid = grids.build("betas")(process, 6)
    told = labels.build("diffwave")(process, grid)
    # The training table and the fast one, in the paper's symbols.
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.05, 50))
    beta = np.array(FAST)
    bar = np.cumprod(1 - beta)
    steps = []
    for one in bar:
        t = max(k for k in range(49) if alpha_bar[k] >= one - 1e-12)
        root, low = alpha_bar[t] ** 0.5, alpha_bar[t + 1] ** 0.5
        steps.append(t + (root - one**0.5) / (root - low))
    assert told[:-1].flip(0).numpy() == pytest.approx(steps, abs=1e-6)

    # One trajectory by the paper's reverse process, the network's noise a plain function.
    class Plain(torch.nn.Module):
        def forward(self, x, label, context):
            return torch.tanh(x + 0.01 * label.view(-1, 1, 1))

    denoiser = NetworkDenoiser(
        Plain(), process, predictions.build("noise"), labels.build("diffwave")
    )
    start = torch.randn(2, 1, 16, dtype=torch.float64)
    found = solve(denoiser, start, grid, samplers.build("ddpm"), randomness=generators(0, range(2)))
    x, streams = start.numpy().copy(), generators(0, range(2))
    for n in range(5, -1, -1):
        eps = np.tanh(x + 0.01 * np.float32(steps[n]))
        x = (x - beta[n] / (1 - bar[n]) ** 0.5 * eps) / (1 - beta[n]) ** 0.5
        if n:
            noise = normal((2, 1, 16), streams, like=start).numpy()
            x = x + ((1 - bar[n - 1]) / (1 - bar[n]) * beta[n]) ** 0.5 * noise
    assert found.numpy() == pytest.approx(x, abs=1e-6)
    with pytest.raises(InputError, match="6 steps, not 5"):
        grids.build("betas")(process, 5)


def test_the_spectrogram_reaches_the_grid_of_the_samples():
    condition = drawn_anew(MelCondition(16_000, bands=6, hop=16, window=64))
    x = torch.randn(2, 1, 16 * 9)
    m, _ = condition.derive(x, generators(0, range(2)))
    assert m.shape == (2, 6, 9)
    context = condition(m, None, x)
    assert context.spatial.shape == (2, 6, 144)
    # Where it is hidden, it is that of silence.
    hidden = condition(m, torch.tensor([True, False]), x)
    assert torch.equal(hidden.spatial[0], context.spatial[0])
    assert torch.equal(hidden.spatial[1], condition.null(x).spatial[1])
    # A frame moves the samples near it alone.
    other = m.clone()
    other[:, :, 4] += 0.5
    moved = (condition(other, None, x).spatial - context.spatial).detach().abs().amax((0, 1))
    assert float(moved[:32].max()) == 0
    assert float(moved[64:80].min()) > 0
    with pytest.raises(InputError, match="spectrogram of sounds"):
        condition(m[..., :5], None, x)
    with pytest.raises(InputError, match="hop of a vocoder"):
        MelCondition(16_000, hop=200)


def test_features_of_a_spectrogram_are_between_its_frames():
    condition = MelFeatures(16_000, channels=3, bands=6, hop=16, window=64)
    x = torch.randn(2, 1, 16 * 9 - 5)
    m, _ = condition.derive(x, generators(0, range(2)))
    s = condition(m, None, x).spatial
    assert s.shape == (2, 3, 139)
    assert condition.sizes["spatial_channels"] == 3
    # A frame moves the samples from the one before it to the one after it, and no others.
    other = m.clone()
    other[:, :, 4] += 0.5
    moved = (condition(other, None, x).spatial - s).detach().abs().amax((0, 1))
    assert moved.nonzero()[:, 0].tolist() == list(range(48, 80))
    assert torch.equal(condition(m, torch.zeros(2).bool(), x).spatial, condition.null(x).spatial)
