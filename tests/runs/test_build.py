"""What a config's network is told by the data and the conditions, whichever network it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import unfog.builtin  # noqa: F401  (registers every system)
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.runs.build import build, learned_parts
from unfog.runs.train import train
from unfog.runs.train_from_config import configure
from unfog.systems import get, names

TINY: dict[str, list[str]] = {
    "unet": ["network.channels=8", "network.groups=4"],
    "dit": ["network.name=dit", "network.width=16", "network.heads=2", "network.depth=2"],
}
WIDTHS = {"unet": 32, "dit": 16}


def memory(*space: int, classes: int = 3) -> Memory:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, 1, *space, generator=generator)
    return Memory(x, torch.arange(6) % classes, len(space))


def config(system: str, dataset: Memory, *settings: str) -> dict[str, Any]:
    return configure(system, dataset, {"name": "memory"}, settings)


def test_dit_xl_2_has_the_published_size() -> None:
    """675 129 632 parameters by its authors' code, of which 256 x 1152 are the fixed table of
    positions, which is computed here; the table of 1000 classes and a null is the condition's.
    """
    section = {
        **config("improved-ddpm", memory(8, 8)),
        "shape": [4, 32, 32],
        "conditions": {"label": {"name": "class", "count": 1000}},
        "network": {"name": "dit", "depth": 28, "width": 1152, "heads": 16, "patch": 2},
    }
    with torch.device("meta"):
        network, conditioner = learned_parts(section)
    sizes = [sum(p.numel() for p in part.parameters()) for part in (network, conditioner)]
    assert sizes[1] == 1001 * 1152
    assert sum(sizes) == 674_834_720 == 675_129_632 - 256 * 1152
    assert network.state_dict().keys() == dict(network.named_parameters()).keys()


@pytest.mark.parametrize("network", TINY)
def test_conditions_reach_any_network(network: str) -> None:
    section = config("edm", memory(8, 8), *TINY[network])
    section["conditions"] = {
        "label": {"name": "class", "count": 3},
        "age": {"name": "vector", "size": 2},
        "image": {"name": "spatial", "channels": 1},
        "text": {"name": "tokens", "size": 4, "width": 6},
    }
    denoiser = build(section).denoiser
    assert denoiser.network.embedding_width == WIDTHS[network]
    torch.manual_seed(0)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([0.01, 0.02], dtype=torch.float64)
    given = {
        "label": torch.tensor([0, 2]),
        "age": torch.ones(2, 2),
        "image": torch.ones(2, 1, 8, 8),
        "text": torch.ones(2, 3, 4),
    }
    full = denoiser(x, t, **given).mean
    for name in given:
        fewer = denoiser(x, t, **{k: v for k, v in given.items() if k != name}).mean
        assert (fewer - full).norm() > 1e-3 * full.norm()


@pytest.mark.parametrize(
    "system",
    [
        n
        for n in names()
        if get(n).trains == "denoiser"
        and get(n).codec is None
        and get(n).patch is None
        and not get(n).encoder
        and get(n).text is None
        and get(n).recipe.__module__.startswith("unfog.systems")  # not of another modality
    ],
)
def test_every_system_takes_a_dit(system: str) -> None:
    data = memory(8, 8)
    data.captions = ("a cat",) * len(data)
    words = [] if get(system).text is None else ["text.name=bytes"]
    section = config(system, data, *TINY["dit"], *words)
    denoiser = build(section).denoiser
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 0.9], dtype=torch.float64)
    given = {"label": torch.tensor([0, 2])} if "label" in denoiser.conditioner.parts else {}
    context = denoiser.conditioner(x, given)
    outs = 1 if denoiser.variance is None else 2
    assert torch.equal(denoiser.output(x, t, context), torch.zeros(2, outs, 8, 8))


@pytest.mark.parametrize("network", TINY)
@pytest.mark.parametrize("space", [(16,), (8, 4), (4, 4, 8)])
def test_dims_follow_the_data(space: tuple[int, ...], network: str) -> None:
    section = config("ddpm", memory(*space), *TINY[network])
    section["network"].pop("dims", None)
    parts = build(section)
    assert parts.denoiser.network.dims == len(space)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["network.patch=3"], "multiples of 3, got 8 x 8"),
        (["network.dims=3"], "A 3-D DiT takes .* set the network's 'dims'"),
        (["network.heads=3"], "16 does not divide into 3 heads"),
        (["network.positions=rotery"], "did you mean 'rotary'"),
        (["network.chanels=3"], "Unknown setting 'network.chanels'"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_and_nothing_written(
    settings: list[str], words: str, tmp_path: Path
) -> None:
    pairs = dict(pair.split("=") for pair in [*TINY["dit"], *settings])
    with pytest.raises(InputError, match=words):
        train("ddpm", memory(8, 8), tmp_path / "run", steps=2, settings=_typed(pairs))
    assert not (tmp_path / "run").exists()


def _typed(pairs: dict[str, str]) -> dict[str, Any]:
    return {key: int(value) if value.isdigit() else value for key, value in pairs.items()}
