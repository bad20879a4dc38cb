"""Captions as a run's condition: read once, kept by captions and encoder, the same encoder asked
for ever after.
"""

import numpy as np
import pytest
import torch

from unfog.data.dataset import ArrayDataset
from unfog.errors import InputError
from unfog.runs import text_states
from unfog.runs.prompts import Prompt
from unfog.runs.text_states import Captioned
from unfog.runs.train import train
from unfog.text.encoder import TextEncoder, TextStates

CAPTIONS = ("a red heart", "a cat", "a red heart", "the very long tale of a dog")
SMALL = {
    "network.channels": 8,
    "network.groups": 4,
    "network.head_dim": 8,
    "training.batch": 4,
    "training.warmup": 1,
    "training.precision": "fp32",
}


class Lengths(TextEncoder):
    """States that are the lengths of words; counts how often it reads."""

    width, pooled_width, max_tokens, sha256 = 2, 3, 32, "0" * 64

    def __init__(self):
        self.read = 0

    def encode(self, prompts):
        self.read += len(prompts)
        words = [prompt.split() for prompt in prompts]
        longest = max(map(len, words))
        tokens = torch.zeros(len(prompts), longest, 2)
        mask = torch.zeros(len(prompts), longest, dtype=torch.bool)
        for k, some in enumerate(words):
            tokens[k, : len(some), 0] = torch.tensor([float(len(w)) for w in some])
            mask[k, : len(some)] = True
        return TextStates(tokens, mask, torch.tensor([[float(len(p)), 0, 1] for p in prompts]))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNFOG_CACHE", str(tmp_path / "cache"))


def pictures(captions=CAPTIONS):
    draw = np.random.default_rng(0)
    data = ArrayDataset(
        "arrays",
        draw.integers(0, 256, (len(captions), 3, 8, 8)).astype(np.uint8),
        {"name": "range", "low": 0, "high": 255},
        options={"captions": captions},
    )
    data.captions = captions
    return data


def test_each_caption_is_read_once_and_kept():
    reader = Lengths()
    batch = Captioned(pictures(), reader).batch([2, 1])
    assert reader.read == 3
    # The pooled vector, three words of 1, 3 and 5 letters; padded to the longest caption of all.
    assert batch["text"].shape == (2, 8, 3)
    assert batch["text"][0, 0].tolist() == [11, 0, 1]
    assert batch["text"][0, 1:4, 0].tolist() == [1, 3, 5]
    assert batch["text_mask"].sum(1).tolist() == [4, 3]
    again = Lengths()
    kept = Captioned(pictures(), again).batch([2, 1])
    assert again.read == 0
    assert all(torch.equal(kept[name], batch[name]) for name in batch)


def test_other_captions_and_another_encoder_are_read_anew():
    Captioned(pictures(), Lengths()).batch([0])
    reader = Lengths()
    Captioned(pictures(("a blue heart", *CAPTIONS[1:])), reader).batch([0])
    assert reader.read == 4
    other = Lengths()
    other.sha256 = "1" * 64
    Captioned(pictures(), other).batch([0])
    assert other.read == 3


def test_data_without_captions_are_refused():
    data = pictures()
    data.captions = None
    with pytest.raises(InputError, match="has no captions"):
        Captioned(data, Lengths())


def test_a_run_keeps_its_encoder_and_takes_no_other(t5_folder, tmp_path):
    settings = {**SMALL, "text.name": "t5", "text.path": str(t5_folder)}
    run = train("text-to-image", pictures(), tmp_path / "run", steps=2, settings=settings)
    assert run.config["text"]["path"] == str(t5_folder)
    assert len(run.config["text"]["sha256"]) == 64
    assert run.config["conditions"]["text"]["size"] == 16
    reader = text_states.reader_of(run.config, run.name)
    assert reader.values(["a cat"])["text"].shape == (1, 4, 16)
    # The same network is refused another encoder's states.
    weights = t5_folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    text_states._built.cache_clear()
    with pytest.raises(InputError, match="has changed since"):
        text_states.reader_of(run.config, run.name)


def test_a_moved_encoder_is_the_same_run(t5_folder, tmp_path):
    settings = {**SMALL, "text.name": "t5", "text.path": str(t5_folder)}
    train("text-to-image", pictures(), tmp_path / "run", steps=1, settings=settings)
    run = train(
        "text-to-image",
        pictures(),
        tmp_path / "run",
        steps=2,
        resume=True,
    )
    assert run.config["text"]["path"] == str(t5_folder)


def test_other_systems_read_text_when_they_are_told_to(tmp_path):
    settings = {**SMALL, "text.name": "bytes", "text.max_tokens": 16}
    del settings["network.head_dim"]
    run = train("ddpm", pictures(), tmp_path / "run", steps=1, settings=settings)
    assert run.config["conditions"]["text"] == {"name": "bytes", "length": 16, "drop": 0.1}
    plain = train("ddpm", pictures(), tmp_path / "plain", steps=1, settings={"training.batch": 2})
    assert "text" not in plain.config
    with pytest.raises(InputError, match="was trained without text"):
        text_states.reader_of(plain.config, plain.name)


@pytest.mark.parametrize(
    ("text", "parts", "weights"),
    [
        ("a heart at 10:30", ("a heart at 10:30",), (1.0,)),
        ("red:3 | blue", ("red", "blue"), (0.75, 0.25)),
        ("red: 0.5|blue:0.5", ("red", "blue"), (0.5, 0.5)),
        ("note: red | blue:1", ("note: red", "blue"), (0.5, 0.5)),
    ],
)
def test_weights_are_read_between_bars(text, parts, weights):
    prompt = Prompt.of(text)
    assert (prompt.parts, prompt.weights) == (parts, weights)


@pytest.mark.parametrize("text", ["", " ", "red |", "red:0 | blue", "red:-1 | blue", ":2 | blue"])
def test_bad_prompts_are_refused(text):
    with pytest.raises(InputError, match="prompt is"):
        Prompt.of(text)


def test_an_array_comes_with_its_captions(tmp_path):
    x = np.random.default_rng(0).random((4, 3, 8, 8))
    settings = {**SMALL, "text.name": "bytes"}
    run = train("text-to-image", x, tmp_path / "run", steps=1, settings=settings, captions=CAPTIONS)
    assert run.config["conditions"]["text"]["name"] == "bytes"
    with pytest.raises(InputError, match="3 captions of 4 samples"):
        train("text-to-image", x, tmp_path / "none", steps=1, captions=CAPTIONS[:3])
