"""A joint encoder as a run: trained, resumed, opened, searched, and under a prior."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.captioned import corners

import unfog
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.runs.folder import load_weights
from unfog.runs.joint_codec import JointEncoderCodec
from unfog.training.guard import Interrupted
from unfog.workflows.inspect import inspect_path

SMALL: dict[str, Any] = {
    "joint_encoder.channels": 16,
    "joint_encoder.embedding": 16,
    "joint_encoder.width": 32,
    "training.batch": 48,
    "training.warmup": 20,
    "training.ema": 0.98,
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> JointEncoderCodec:
    out = tmp_path_factory.mktemp("joint") / "run"
    return unfog.train_joint_encoder("contrastive", corners(400)[0], out, steps=150, settings=SMALL)


def test_held_out_pictures_find_their_texts(encoder: JointEncoderCodec) -> None:
    data, shown = corners(200, seed=7)
    batch = data.batch(range(200))
    pictures = encoder.decode(encoder.encode(batch["x"]))
    texts = encoder.text(batch["text"], batch["text_mask"])
    found = shown[(pictures @ texts.T).argmax(1)]
    accuracy = float((found == shown).float().mean())
    assert accuracy > 0.8  # by chance 1 in 24
    # A shuffled text is another: by chance again.
    shuffled = shown[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    assert float((found == shuffled).float().mean()) < 0.2


def test_embeddings_have_mean_0_and_deviation_1(encoder: JointEncoderCodec) -> None:
    x = corners(400)[0].batch(range(400))["x"]
    z = encoder.encode(x)
    assert z.shape == (400, 16)
    assert float(z.mean(0).abs().max()) < 0.05
    assert float((z.std(0) - 1).abs().max()) < 0.05
    torch.testing.assert_close(encoder.decode(z).norm(dim=1), torch.ones(400))


def test_the_run_is_described_and_draws_nothing(encoder: JointEncoderCodec) -> None:
    facts = inspect_path(encoder.path)
    assert facts["kind"] == "joint encoder"
    assert facts["embedding"] == 16
    assert facts["scale"] > 5
    with pytest.raises(InputError, match="joint encoder of pictures and text"):
        unfog.load(encoder.path)
    with pytest.raises(InputError, match=r"call unfog\.train_joint_encoder"):
        unfog.train("contrastive", corners(8)[0], encoder.path.parent / "new")
    with pytest.raises(InputError, match="no captions"):
        unfog.train_joint_encoder(
            "contrastive", Memory(torch.rand(4, 1, 8, 8)), encoder.path.parent / "new"
        )


def test_a_run_that_was_stopped_ends_as_the_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = corners(60)[0]
    settings = {**SMALL, "training.batch": 8, "training.checkpoint_every": 3}
    unfog.train_joint_encoder("contrastive", data, tmp_path / "whole", steps=6, settings=settings)
    from unfog.training import loop

    class Stop:
        def __init__(self) -> None:
            self.asked = 0

        def __enter__(self) -> Stop:
            return self

        def __exit__(self, *_: object) -> None: ...

        @property
        def code(self) -> int | None:
            self.asked += 1
            return 130 if self.asked == 4 else None

    with monkeypatch.context() as patched:
        patched.setattr(loop, "Signals", Stop)
        with pytest.raises(Interrupted):
            unfog.train_joint_encoder(
                "contrastive", data, tmp_path / "cut", steps=6, settings=settings
            )
    with pytest.raises(InputError, match="did not end"):
        JointEncoderCodec(str(tmp_path / "cut"))
    unfog.train_joint_encoder("contrastive", data, tmp_path / "cut", resume=True)
    whole, cut = load_weights(tmp_path / "whole"), load_weights(tmp_path / "cut")
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_a_prior_is_trained_on_its_embeddings(
    encoder: JointEncoderCodec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNFOG_CACHE", str(tmp_path / "cache"))
    settings = {"codec.run": str(encoder.path), "network.width": 32, "network.depth": 1}
    data = corners(60)[0]
    out = tmp_path / "prior"
    run = unfog.train("dalle2-prior", data, out, steps=3, settings=settings | {"training.batch": 8})
    batch = data.batch(range(5))
    given = {"text": batch["text"], "text_mask": batch["text_mask"]}
    draws = run.sample(5, steps=3, condition=given, guidance=2.0)
    assert draws.shape == (5, 16)
    torch.testing.assert_close(draws.norm(dim=1), torch.ones(5))
    assert run.config["codec"]["sha256"] == encoder.sha256
    with pytest.raises(InputError, match="needs a trained joint encoder"):
        unfog.train("dalle2-prior", data, tmp_path / "none", steps=1)
