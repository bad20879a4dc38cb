"""DALL-E 2's parts trained small: the prior against a closed form, and with two pictures a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import unfog
from unfog.data.dataset import ArrayDataset
from unfog.data.memory import Memory, measured_codec
from unfog.errors import InputError
from unfog.runs.run import Run

SMALL: dict[str, Any] = {
    "network.depth": 2,
    "network.width": 64,
    "network.heads": 2,
    "training.warmup": 50,
    "training.ema": 0.995,
    "training.checkpoint_every": 10_000,
}
NUMBERS, SIZE = 4, 3


def trained(out: Path, x: Tensor, kinds: dict[str, Any], values: dict[str, Any], **settings: Any):
    data = ArrayDataset("memory", x.numpy(), measured_codec(x.numpy()), kinds, values)
    steps = settings.pop("steps")
    return unfog.train("dalle2-prior", data, out, steps=steps, settings={**SMALL, **settings})


def gaussian_pairs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Vectors x = 1 + A y + L n of standard normal y and n: (x, y, A, L)."""
    g = torch.Generator().manual_seed(0)
    a = 0.6 * torch.randn(NUMBERS, SIZE, generator=g)
    turn = torch.linalg.qr(torch.randn(NUMBERS, NUMBERS, generator=g))[0]
    spread = turn @ torch.diag(torch.linspace(0.5, 1, NUMBERS))
    y = torch.randn(20_000, SIZE, generator=g)
    return 1 + y @ a.T + torch.randn(20_000, NUMBERS, generator=g) @ spread.T, y, a, spread


@pytest.mark.slow
def test_the_prior_of_gaussian_pairs_is_their_conditional_gaussian(tmp_path: Path) -> None:
    """Mean and VARIANCE of x given y within 5 %. The sampler is exact for a Gaussian, so the error
    is that of the network.
    """
    x, y, a, spread = gaussian_pairs()
    kinds = {"summary": {"name": "vector", "size": SIZE}}
    settings: dict[str, Any] = {"training.batch": 256, "training.lr": 3e-3}
    run = trained(tmp_path / "run", x, kinds, {"summary": y.numpy()}, steps=2000, **settings)
    grid = {"name": "log-snr", "sigma_max": 40.0, "sigma_min": 0.6}
    texts, each = torch.randn(8, SIZE, generator=torch.Generator().manual_seed(5)), 1000
    draws = run.sample(
        8 * each,
        sampler="calibrated-draws",
        steps=4,
        grid=grid,
        condition={"summary": texts.repeat_interleave(each, 0)},
        batch=2 * each,
    ).view(8, each, NUMBERS)
    mean, expected = draws.mean(1), 1 + texts @ a.T
    assert (mean - expected).norm() < 0.05 * expected.norm()
    variance, exact = draws.var(1).mean(0), (spread @ spread.T).diagonal()
    assert ((variance / exact - 1).abs() < 0.05).all(), variance / exact
    # The text decides much: without it the variance is another.
    assert ((x.var(0) / exact - 1).abs() > 0.2).any()


def test_other_systems_refuse_vectors(tmp_path: Path) -> None:
    """All but those that have a perceptron for them."""
    data = Memory(torch.randn(8, 4), dims=0)
    for system in ("improved-ddpm", "ncsn", "imagen-upsampler"):
        with pytest.raises(InputError, match="holds vectors"):
            unfog.train(system, data, tmp_path / "run", steps=1)
    assert unfog.train("ddpm", data, tmp_path / "taken", steps=1).shape == (4,)


def test_a_prior_draws_vectors_in_their_own_units(tmp_path: Path) -> None:
    """Data far from 0, so that what is not decoded stands out."""
    x = 100 + 20 * torch.randn(64, NUMBERS, generator=torch.Generator().manual_seed(0))
    settings = {**SMALL, "network.width": 16}
    data = Memory(x, dims=0)
    run = unfog.train("dalle2-prior", data, tmp_path / "run", steps=2, settings=settings)
    draws = run.sample(16, steps=4)
    assert draws.shape == (16, NUMBERS)
    assert ((draws.mean(0) - 100).abs() < 40).all()


@pytest.mark.slow
def test_both_pictures_of_a_text_appear(tmp_path: Path) -> None:
    """Six captions of two tokens, each with two embeddings: draws are near one or the other."""
    g = torch.Generator().manual_seed(1)
    centres = torch.nn.functional.normalize(torch.randn(6, 2, NUMBERS, generator=g), dim=-1)
    caption, picture = torch.arange(12) // 2, torch.arange(12) % 2
    words = torch.eye(6)[torch.stack([caption, (caption + 1) % 6], 1)]
    rows = torch.arange(12).repeat(40)
    run: Run = trained(
        tmp_path / "run",
        centres[caption, picture][rows] + 0.05 * torch.randn(480, NUMBERS, generator=g),
        {"text": {"name": "tokens", "size": 6}},
        {"text": words[rows].numpy(), "text_mask": torch.ones(480, 2).numpy()},
        steps=1000,
        **{"training.batch": 128, "training.lr": 3e-3, "network.length": 2},
    )
    each = 60
    text = words[::2].repeat_interleave(each, 0)
    mask = torch.ones(len(text), 2, dtype=torch.bool)
    draws = run.sample(len(text), condition={"text": text, "text_mask": mask}, batch=len(text))
    distances = torch.cdist(draws.view(6, each, NUMBERS), centres)  # (caption, draw, picture)
    near, which = distances.min(2)
    assert (near < 0.35).float().mean() > 0.9
    first = (which == 0).float().mean(1)
    assert ((first > 0.2) & (first < 0.8)).all(), first
