"""What a text model needs of its text: trained for a minute on shapes with captions, each part of
the text is taken away, and the pictures say so.

A caption names a colour and a shape, "a red disc". Colours are judged by the hue of the middle, and
shapes by the corners that a square fills and a disc does not.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unfog.data.builtin.packages import is_fetched
from unfog.data.dataset import ArrayDataset
from unfog.runs.guided import Guidance
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.text_states import NAME
from unfog.runs.train import train
from unfog.text.minilm import PACKAGE

SIDE = 16
COLOURS = {
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "purple": (1, 0, 1),
    "black": (0, 0, 0),
}
SHAPES = ("square", "disc")
CAPTIONS = [f"a {colour} {shape}" for colour in COLOURS for shape in SHAPES]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not is_fetched(PACKAGE), reason="minilm is not fetched"),
]


def picture(colour: str, shape: str, draw: np.random.Generator) -> np.ndarray:
    """A shape on white, of a size and at a place of its own, (3, SIDE, SIDE)."""
    radius, (y, x) = draw.uniform(4.5, 6), draw.uniform(6.5, 8.5, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    far = np.stack([abs(rows - y), abs(columns - x)])
    inside = far.max(0) <= radius if shape == "square" else (far**2).sum(0) <= radius**2
    paint = 255.0 * np.array(COLOURS[colour])[:, None, None]
    return np.where(inside, paint, 255.0).astype(np.float32)


def shapes(shuffled: bool = False) -> ArrayDataset:
    """600 pictures with captions, right ones or, ``shuffled``, those of other pictures."""
    draw = np.random.default_rng(0)
    captions = [CAPTIONS[k % len(CAPTIONS)] for k in range(600)]
    x = np.stack([picture(*caption.split()[1:], draw) for caption in captions])
    told = [captions[k] for k in draw.permutation(600)] if shuffled else captions
    data = ArrayDataset(
        "arrays", x, {"name": "range", "low": 0, "high": 255}, options={"captions": told}
    )
    data.captions = tuple(told)
    return data


def learn(data: ArrayDataset, out) -> Run:
    settings = {
        "network.channels": 16,
        "network.multipliers": [1, 2, 3],
        "network.attention_levels": [1, 2],
        "network.patch": 2,
        "network.groups": 4,
        "network.head_dim": 16,
        "network.octaves": 0,
        "training.batch": 16,
        "training.lr": 3e-3,
        "training.warmup": 50,
        "training.precision": "fp32",
        "conditions.text.token_width": 32,
    }
    return train("text-to-image", data, out, steps=900, settings=settings)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return learn(shapes(), tmp_path_factory.mktemp("shapes") / "run")


def drawn(run: Run, prompts: list[str], **options) -> torch.Tensor:
    """A sample a prompt, (prompts, 3, SIDE, SIDE) in [0, 1]."""
    condition = text_condition(run, [Prompt.of(prompt) for prompt in prompts])
    hidden = options.pop("hidden", None)
    if hidden is not None:
        condition[f"{NAME}_mask"][:, hidden] = False
    options = {"guidance": 2.0, "steps": 12, **options}
    return run.sample(len(prompts), condition=condition, batch=64, **options) / 255


def colours_of(x: torch.Tensor) -> list[str]:
    """The nearest colour of each picture's middle."""
    middle = x[:, :, 6:10, 6:10].mean((2, 3))
    known = torch.tensor(list(COLOURS.values()), dtype=middle.dtype)
    return [list(COLOURS)[k] for k in torch.cdist(middle, known).argmin(1)]


def right(run: Run, guidance: float = 2.0, **options) -> float:
    """The share of samples in the colour that was asked for; by chance 1 of 6."""
    prompts = 4 * CAPTIONS
    found = colours_of(drawn(run, prompts, guidance=guidance, **options))
    return float(np.mean([c == p.split()[1] for c, p in zip(found, prompts, strict=True)]))


def diversity(run: Run, guidance: float) -> float:
    """The mean distance of the middles' colours among samples of one prompt."""
    x = drawn(run, ["a red disc"] * 48, guidance=guidance)
    middle = x[:, :, 6:10, 6:10].mean((2, 3))
    return float(torch.cdist(middle, middle).mean())


def test_samples_show_their_captions(run: Run) -> None:
    assert right(run) > 0.9
    red, blue = drawn(run, ["a red disc"] * 8), drawn(run, ["a blue disc"] * 8)
    middle = (slice(None), slice(None), slice(6, 10), slice(6, 10))
    red, blue = (x[middle].mean((0, 2, 3)) for x in (red, blue))
    assert red[0] > red[2] + 0.5
    assert blue[2] > blue[0] + 0.5


def test_guidance_brings_captions_and_takes_diversity(run: Run) -> None:
    """Between none and the model as it is, which is right about these captions already."""
    scales = (0.0, 0.4, 1.0)
    shares, spreads = ([of(run, w) for w in scales] for of in (right, diversity))
    assert shares[0] < 0.35
    assert shares[0] + 0.1 < shares[1] < shares[2] - 0.1
    assert spreads[0] > spreads[1] > 2 * spreads[2]


def test_captions_of_other_pictures_teach_nothing(tmp_path) -> None:
    shuffled = learn(shapes(shuffled=True), tmp_path / "run")
    assert right(shuffled) < 0.35


@pytest.mark.parametrize("hidden", [slice(0, 1), slice(1, None)], ids=["pooled", "tokens"])
def test_each_part_of_the_text_matters(run: Run, hidden: slice) -> None:
    whole, without = drawn(run, CAPTIONS), drawn(run, CAPTIONS, hidden=hidden)
    again = drawn(run, CAPTIONS)
    assert torch.equal(whole, again)
    assert float((whole - without).abs().mean()) > 0.01


def test_without_its_text_a_sample_is_by_chance(run: Run) -> None:
    assert right(run, hidden=slice(0, None), guidance=1.0) < 0.35


def test_a_negative_prompt_turns_away(run: Run) -> None:
    condition = text_condition(run, [Prompt.of("a red square")])
    share = {}
    for name, negative in (("plain", {}), ("negative", condition)):
        x = drawn(run, ["a square"] * 32, guidance=Guidance(3.0, negative=negative))
        share[name] = colours_of(x).count("red") / 32
    assert share["negative"] <= share["plain"]
    assert share["negative"] < 0.1


def test_weighted_prompts_lie_between(run: Run) -> None:
    """More weight on blue, more blue."""
    blues = [
        float(drawn(run, [f"a red disc:{1 - w} | a blue disc:{w}"] * 8)[:, 2, 6:10, 6:10].mean())
        for w in (0.1, 0.5, 0.9)
    ]
    assert blues[0] < blues[1] < blues[2]
