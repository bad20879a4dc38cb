"""The recipe, trained for a moment, and what its runs do: animate, interpolate, loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.randomise import randomised
from torch import Tensor

import unfog
from unfog import builtin  # noqa: F401  (registers the system)
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.runs.run import Run
from unfog.runs.train import configure
from unfog.video.animate import animate, interpolate, loop

SMALL = {
    "training.batch": 2,
    "network.channels": 8,
    "network.head_dim": 8,
    "network.groups": 4,
    "conditions.image.options.width": 16,
    "conditions.image.options.depth": 1,
}


def clips(count: int = 6) -> Tensor:
    """Squares that move by a pixel a frame, (count, 1, 4, 8, 8)."""
    x = torch.zeros(count, 1, 4, 8, 8)
    for n in range(count):
        for t in range(4):
            x[n, 0, t, n % 4 : n % 4 + 3, t : t + 3] = 1
    return x


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two steps, its network drawn anew so that everything it is told moves it."""
    out = tmp_path_factory.mktemp("runs") / "run"
    labels = torch.arange(6) % 3
    trained = unfog.train(
        "dynamicrafter", clips(), out, steps=2, labels=labels, value_range=(0, 1), settings=SMALL
    ).in_precision("fp32")
    randomised(trained.denoiser)
    return trained


def apart(a: Tensor, b: Tensor, least: float = 0.01) -> bool:
    """Whether two clips differ by more than a share of their size."""
    return float((a - b).norm() / b.norm()) > least


def drawn(run: Run, image: Tensor | None = None, **options: Any) -> Tensor:
    picture = clips()[0, :, 0] if image is None else image
    return animate(run, picture, **{"steps": 4, **options})


def test_the_recipe_is_the_paper_s(run: Run) -> None:
    config = run.config
    assert config["prediction"]["name"] == "v"
    assert config["process"]["name"] == "zero-snr"
    assert list(config["conditions"]) == ["frames", "image", "label"]
    drops = {name: part["drop"] for name, part in config["conditions"].items()}
    assert drops == {"frames": 0.0, "image": 0.15, "label": 0.15}
    with pytest.raises(InputError, match="this system is for clips"):
        configure("dynamicrafter", Memory(torch.rand(4, 1, 8, 8)), {"name": "memory"})


def test_clips_are_drawn_by_their_numbers(run: Run) -> None:
    two = drawn(run, samples=2, seed=3)
    assert two.shape == (2, 1, 4, 8, 8)
    assert torch.allclose(drawn(run, samples=1, seed=3), two[:1], atol=1e-4)
    assert apart(two[0], two[1])


def test_both_streams_of_the_picture_move_the_clip(run: Run) -> None:
    """The picture beside the noise and that of the query transformer, changed one at a time."""
    plain = drawn(run)
    part: Any = dict(run.denoiser.conditioner.named())
    other = clips()[3, :, 0]
    moved = []
    for name, shift in (("frames", lambda v: v.roll(3, 3)), ("image", lambda v: v.roll(3, 2))):
        inner = part[name].embed
        part[name].embed = lambda value, inner=inner, shift=shift: inner(shift(value))
        moved.append(drawn(run) - plain)
        del part[name].embed
    a, b = (move.flatten() for move in moved)
    assert min(float(a.norm()), float(b.norm())) > 0.01 * float(plain.norm())
    assert float(a @ b / (a.norm() * b.norm())) < 0.9
    assert apart(drawn(run, other), plain)


def test_guidance_has_a_scale_for_the_picture_and_one_for_the_rest(run: Run) -> None:
    told = {"condition": {"label": torch.tensor([1])}}
    plain = drawn(run, **told)
    by_picture = drawn(run, **told, image_guidance=2.0)
    by_class = drawn(run, **told, guidance=2.0)
    assert apart(by_picture, plain)
    assert apart(by_class, plain)
    assert apart(by_class, by_picture)
    rescaled = drawn(run, **told, guidance=2.0, rescale=0.7)
    assert apart(rescaled, by_class, 1e-4)


def test_between_two_pictures_and_around(run: Run) -> None:
    first, last = clips()[0, :, 0], clips()[3, :, 3]
    between = interpolate(run, first, last, steps=4)
    assert between.shape == (1, 1, 4, 8, 8)
    assert apart(interpolate(run, first, first, steps=4), between)
    around = loop(run, first, steps=4)
    assert torch.equal(around, interpolate(run, first, first, steps=4)[:, :, :3])


def test_what_a_run_cannot_do_is_said(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pictures \(1, 8, 8\)"):
        drawn(run, torch.zeros(1, 7, 8))
    with pytest.raises(InputError, match="finite"):
        drawn(run, torch.full((1, 8, 8), float("nan")))
    with pytest.raises(InputError, match="no frame rate"):
        drawn(run, fps=8.0)
    with pytest.raises(InputError, match="without text"):
        drawn(run, prompt="a square that moves")
    settings = {**SMALL, "conditions.frames.ends": 0.0}
    one = unfog.train("dynamicrafter", clips(), tmp_path / "one", steps=1, settings=settings)
    with pytest.raises(InputError, match="never shown a last frame"):
        interpolate(one, clips()[0, :, 0], clips()[0, :, 0])
    pictures = unfog.train("ddpm", torch.rand(4, 1, 8, 8), tmp_path / "two", steps=1)
    with pytest.raises(InputError, match="no picture to animate"):
        loop(replace(pictures, shape=(1, 4, 8, 8)), clips()[0, :, 0])


def test_a_frame_rate_and_a_text_are_told(tmp_path: Path) -> None:
    """Of data with a frame rate and captions, read as bytes: told, and each moves the clip."""
    data = Memory(clips(), value_range=(0, 1), captions=[f"square {n}" for n in range(6)])
    data.conditions["fps"] = {"name": "vector", "size": 1}
    data._arrays["fps"] = torch.tensor([[8.0]]).expand(6, 1).numpy()
    settings = {**SMALL, "text.name": "bytes"}
    run = unfog.train("dynamicrafter", data, tmp_path / "run", steps=2, settings=settings)
    run = run.in_precision("fp32")
    assert set(run.config["conditions"]) == {"frames", "image", "fps", "text"}
    randomised(run.denoiser)
    plain = drawn(run, prompt="square 1", fps=8)
    assert apart(drawn(run, prompt="square 1", fps=24), plain)
    assert apart(drawn(run, prompt="a circle", fps=8), plain)
    guided = drawn(run, prompt="square 1", fps=8, image_guidance=1.5, guidance=4.0)
    assert apart(guided, plain)
