"""DALL-E 2's decoder and upsamplers as runs: what they are told reaches the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.captioned import corners

import unfog
from unfog.core.low_resolution import reduced
from unfog.data.memory import Memory
from unfog.errors import InputError
from unfog.runs.build import drops
from unfog.runs.embeddings import encoder_of
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.runs.upsample import small_picture, upsample
from unfog.sampling.slerp import slerp

SMALL: dict[str, Any] = {
    "network.channels": 16,
    "network.groups": 4,
    "training.batch": 8,
    "training.warmup": 5,
    "training.lr": 2e-3,
}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A decoder of pictures of 8 x 8, of a barely trained joint encoder."""
    folder = tmp_path_factory.mktemp("unclip")
    patch = pytest.MonkeyPatch()
    patch.setenv("UNFOG_CACHE", str(folder / "cache"))
    data = corners(60)[0]
    sizes = {"joint_encoder.channels": 8, "joint_encoder.embedding": 8, "training.batch": 16}
    encoder = unfog.train_joint_encoder("contrastive", data, folder / "j", steps=5, settings=sizes)
    more = {"encoder.run": str(encoder.path)}
    run = unfog.train("dalle2-decoder", data, folder / "d", steps=8, settings={**SMALL, **more})
    patch.undo()
    return run


def test_the_decoder_is_told_the_embedding_and_the_text(decoder: Run) -> None:
    data = corners(4, seed=3)[0].batch(range(4))
    encoder = encoder_of(decoder.config)
    given = {
        "embedding": encoder.encode(data["x"]),
        "text": data["text"],
        "text_mask": data["text_mask"],
    }
    full = decoder.sample(4, steps=3, condition=given)
    for change in (
        {"embedding": given["embedding"].roll(1, 0)},
        {"text": given["text"].roll(1, 1)},
        {"embedding_mask": torch.tensor([[True, False]]).expand(4, 2)},
        {"embedding_mask": torch.tensor([[False, True]]).expand(4, 2)},
    ):
        assert (decoder.sample(4, steps=3, condition={**given, **change}) - full).norm() > 1e-3
    assert drops(decoder.config)["embedding"] == [0.1, 0.0, 0.0]
    assert drops(decoder.config)["text"] == 0.5
    # From a unit vector, as a prior gives it, to the decoder's scale.
    unit = encoder.decode(given["embedding"])
    torch.testing.assert_close(encoder.standard(unit), given["embedding"])
    between = encoder.standard(slerp(unit, unit.roll(1, 0), 0.5))
    assert torch.isfinite(decoder.sample(4, steps=3, condition={"embedding": between})).all()


def test_a_decoder_needs_its_encoder(decoder: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--set encoder\.run=RUN"):
        unfog.train("dalle2-decoder", corners(8)[0], tmp_path / "d", steps=1)
    assert not (tmp_path / "d").exists()
    with pytest.raises(InputError, match="no joint encoder"):
        unfog.train(
            "dalle2-decoder",
            corners(8)[0],
            tmp_path / "d",
            settings={"encoder.run": str(decoder.path)},
        )


@pytest.mark.parametrize("system", ["dalle2-upsampler", "imagen-upsampler"])
def test_an_upsampler_is_trained_and_enlarges(system: str, tmp_path: Path) -> None:
    x = torch.rand(20, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    settings = {**SMALL, "training.checkpoint_every": 2}
    run = unfog.train(system, Memory(x), tmp_path / "run", steps=4, settings=settings)
    plan, small = Plan.of(run, steps=3), reduced(x[:3], 4)
    out = upsample(run, small, plan, level=0.2)
    assert out.shape == (3, 1, 16, 16)
    # A picture has its own noise, whatever its batch; another level is another condition.
    assert torch.allclose(upsample(run, small, plan, level=0.2, batch=2), out, atol=1e-5)
    assert (upsample(run, small, plan, level=0.0) - out).norm() > 1e-4
    assert (upsample(run, small.roll(1, 0), plan, level=0.2) - out).norm() > 1e-4
    values = small_picture(run, small, range(3), level=0.2)
    assert values["low_level"].tolist() == pytest.approx([0.2] * 3)
    # A larger picture is enlarged as well, whole or in windows; a smaller one is refused.
    assert upsample(run, reduced(x[:1], 2), plan).shape == (1, 1, 32, 32)
    assert upsample(run, reduced(x[:1], 2), plan, windows=True).shape == (1, 1, 32, 32)
    with pytest.raises(InputError, match="was given"):
        upsample(run, reduced(x[:1], 8), plan)
    with pytest.raises(InputError, match="levels from 0 to"):
        upsample(run, small, plan, level=1.5)
    with pytest.raises(InputError, match="does not divide"):
        unfog.train(system, Memory(torch.rand(4, 1, 18, 18)), tmp_path / "none", steps=1)


def test_guidance_keeps_the_small_picture(tmp_path: Path) -> None:
    """Guided towards a text, both estimates are told the picture: it is never a null."""
    data = corners(20)[0]
    run = unfog.train("imagen-upsampler", data, tmp_path / "run", steps=3, settings=SMALL)
    batch = data.batch(range(3))
    given = small_picture(run, reduced(batch["x"], 4), range(3), level=0.1)
    text = {"text": batch["text"], "text_mask": batch["text_mask"]}
    told: list[bool] = []
    part = run.denoiser.conditioner.parts["low"]
    part.register_forward_pre_hook(lambda _, values: told.append(values[0] is not None))
    run.sample(3, steps=2, condition={**given, **text}, guidance=3.0)
    assert told == [True] * 4
    with pytest.raises(InputError, match="no upsampler"):
        upsample(
            unfog.train("imagen-base", data, tmp_path / "b", steps=1, settings=SMALL),
            batch["x"],
            Plan.of(run),
        )
