"""Prompts that lie beside a run, drawn without its text encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from unfog.data.dataset import ArrayDataset
from unfog.errors import InputError
from unfog.runs.kept_prompts import PROMPTS, keep_prompts, kept_prompts
from unfog.runs.prompts import Prompt, text_condition
from unfog.runs.run import Run
from unfog.runs.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    data = ArrayDataset(
        "arrays",
        np.random.default_rng(0).random((8, 1, 8, 8), np.float32),
        {"name": "range", "low": 0, "high": 1},
    )
    data.captions = tuple("abcdefgh")
    settings = {"text.name": "bytes", "training.batch": 4}
    return train(
        "text-to-image", data, tmp_path_factory.mktemp("words") / "run", steps=2, settings=settings
    )


def test_kept_prompts_draw_what_the_encoder_would(run: Run) -> None:
    prompts = ["a red heart", "ü"]
    assert keep_prompts(run, prompts).name == PROMPTS
    found, states = kept_prompts(run)
    assert found == prompts
    read = text_condition(run, [Prompt.plain(prompt) for prompt in prompts])
    assert all(torch.equal(states[name], read[name]) for name in ("text", "text_mask"))
    drawn = [run.sample(2, condition=c, guidance=2.0, steps=2) for c in (states, read)]
    assert torch.equal(*drawn)


def test_a_run_without_prompts_and_a_broken_file_say_so(run: Run, tmp_path: Path) -> None:
    keep_prompts(run, ["a"])
    (run.path / PROMPTS).write_bytes(b"not a table")
    with pytest.raises(InputError, match="cannot be read"):
        kept_prompts(run)
    (run.path / PROMPTS).unlink()
    with pytest.raises(InputError, match="--text"):
        kept_prompts(run)
