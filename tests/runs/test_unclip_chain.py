"""DALL-E 2's chain on small pictures with texts of 24 kinds: text to embedding to picture, judged
by another joint encoder, which saw other pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from support.captioned import COLOURS, CORNERS, corners
from torch import Tensor
from torch.nn.functional import cosine_similarity

import unfog
from unfog.runs.joint_codec import JointEncoderCodec
from unfog.runs.run import Run
from unfog.sampling.best_of import nearest
from unfog.sampling.slerp import slerp

pytestmark = pytest.mark.slow
KINDS = COLOURS * CORNERS
ENCODER: dict[str, Any] = {
    "joint_encoder.channels": 16,
    "joint_encoder.embedding": 16,
    "joint_encoder.width": 32,
    "training.batch": 48,
    "training.ema": 0.98,
}
PRIOR: dict[str, Any] = {
    "network.depth": 2,
    "network.width": 64,
    "network.length": 3,
    "training.batch": 64,
    "training.lr": 2e-3,
    "training.ema": 0.99,
}
DECODER: dict[str, Any] = {
    "network.channels": 24,
    "network.groups": 4,
    "network.blocks": 1,
    "training.batch": 32,
    "training.lr": 2e-3,
    "training.ema": 0.99,
}


@dataclass(frozen=True)
class Chain:
    """The trained parts, and another encoder, the judge."""

    encoder: JointEncoderCodec
    judge: JointEncoderCodec
    prior: Run
    decoder: Run

    def found(self, pictures: Tensor) -> Tensor:
        """The kind of text that the judge finds nearest to each picture."""
        seen = self.judge.decode(self.judge.encode(pictures))
        return (seen @ self.judge.text(*texts()).T).argmax(1)

    def draw(self, unit: Tensor, seed: int = 0) -> Tensor:
        """Pictures of embeddings, unit vectors (batch, numbers)."""
        given = {"embedding": self.encoder.standard(unit)}
        return self.decoder.sample(len(unit), steps=20, condition=given, seed=seed)


def texts() -> tuple[Tensor, Tensor]:
    """The text of each kind, with its mask."""
    words, kind = torch.eye(COLOURS + CORNERS), torch.arange(KINDS)
    colour, corner = words[kind // CORNERS], words[COLOURS + kind % CORNERS]
    text = torch.stack([colour, corner, torch.zeros_like(colour)], 1)
    return text, torch.tensor([1.0, 1.0, 0.0]).expand(KINDS, -1)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    folder = tmp_path_factory.mktemp("chain")
    patch = pytest.MonkeyPatch()
    patch.setenv("UNFOG_CACHE", str(folder / "cache"))
    data, others = corners(600)[0], corners(400, seed=99)[0]
    encoder, judge = (
        unfog.train_joint_encoder(
            "contrastive", one, folder / name, steps=150, seed=k, settings=ENCODER
        )
        for k, (name, one) in enumerate((("encoder", data), ("judge", others)))
    )
    place = str(encoder.path)
    settings = {**PRIOR, "codec.run": place}
    prior = unfog.train("dalle2-prior", data, folder / "p", steps=500, settings=settings)
    settings = {**DECODER, "encoder.run": place}
    decoder = unfog.train("dalle2-decoder", data, folder / "d", steps=600, settings=settings)
    patch.undo()
    return Chain(encoder, judge, prior, decoder)


def drawn_embeddings(chain: Chain, shuffled: bool = False) -> tuple[Tensor, Tensor]:
    """Two embeddings of each kind's text, (2, kinds, numbers), and the text's own."""
    text, mask = texts()
    told = text.roll(7, 0) if shuffled else text
    given = {"text": told.repeat(2, 1, 1), "text_mask": mask.repeat(2, 1)}
    draws = chain.prior.sample(2 * KINDS, condition=given, guidance=2.0, batch=2 * KINDS)
    return draws.unflatten(0, (2, KINDS)), chain.encoder.text(text, mask)


def test_a_text_becomes_a_picture_of_it(chain: Chain) -> None:
    draws, text = drawn_embeddings(chain)
    kept = nearest(draws, text)
    assert (kept * text).sum(1).mean() > (draws * text).sum(-1).mean()
    hits = (chain.found(chain.draw(kept)) == torch.arange(KINDS)).float().mean()
    assert float(hits) > 12 / KINDS  # by chance 1 / 24
    # With the texts turned round, chance.
    draws, text = drawn_embeddings(chain, shuffled=True)
    hits = (chain.found(chain.draw(draws[0])) == torch.arange(KINDS)).float().mean()
    assert float(hits) < 4 / KINDS


def test_variations_keep_the_text_of_a_picture(chain: Chain) -> None:
    data, kinds = corners(96, seed=5)
    x = data.batch(range(96))["x"]
    unit = chain.encoder.decode(chain.encoder.encode(x))
    variations = chain.draw(unit)
    assert float((chain.found(variations) == kinds).float().mean()) > 12 / KINDS
    assert (variations - x).square().mean() > 1e-4


def test_interpolation_leaves_one_end_for_the_other(chain: Chain) -> None:
    x = corners(96, seed=6)[0].batch(range(96))["x"]
    unit = chain.encoder.decode(chain.encoder.encode(x))
    first, second = unit[:48], unit[48:]
    ends = [chain.judge.decode(chain.judge.encode(part)) for part in (x[:48], x[48:])]
    similar = []
    for share in torch.linspace(0, 1, 5):
        pictures = chain.draw(slerp(first, second, float(share)), seed=3)
        seen = chain.judge.decode(chain.judge.encode(pictures))
        similar.append([float(cosine_similarity(seen, end).mean()) for end in ends])
    to_first, to_second = zip(*similar, strict=True)
    assert list(to_first) == sorted(to_first, reverse=True), similar
    assert list(to_second) == sorted(to_second), similar
