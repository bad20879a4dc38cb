"""A DiT with diffusers' weights computes diffusers' numbers, and back. Every tensor is drawn anew:
as it starts, a DiT is the zero function, and everything would agree.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.core.conditions import ClassCondition
from unfog.errors import InputError
from unfog.interop.diffusers import DiffusersNetwork
from unfog.interop.diffusers_dit import (
    dit_from_diffusers,
    dit_to_diffusers,
    load_diffusers_dit,
    save_diffusers_dit,
)
from unfog.networks import DiT
from unfog.networks.layers.patches import shuffle, unshuffle

SMALL: dict[str, Any] = {
    "num_attention_heads": 4,
    "attention_head_dim": 8,
    "in_channels": 3,
    "out_channels": 6,
    "num_layers": 2,
    "sample_size": 12,
    "patch_size": 2,
    "num_embeds_ada_norm": 5,
}
PATCH_3 = {**SMALL, "out_channels": None, "num_layers": 3, "patch_size": 3, "norm_eps": 1e-3}
CONFIGS = {"learned variance": SMALL, "patch of 3": PATCH_3}
LABEL = torch.tensor([3.0, 871.0, 40.0])
CLASSES = torch.tensor([1, 4, 5])  # the last is the null


def randomise(network: nn.Module) -> None:
    """Every tensor drawn anew; the blocks' copies of the embeddings stay copies."""
    generator = torch.Generator().manual_seed(0)
    state = network.state_dict()
    for name, tensor in state.items():
        scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
        tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
        if ".norm1.emb." in name:
            tensor.copy_(state["transformer_blocks.0." + name.split(".", 2)[2]])


def reference(config: dict[str, Any]) -> Any:
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.DiTTransformer2DModel(**config).eval()
    randomise(model)
    return model


def theirs(model: Any, x: Tensor, classes: Tensor = CLASSES, label: Tensor = LABEL) -> Tensor:
    """Diffusers' output. It lays its patches out in a square, whatever the image; here they are
    laid out as the image is.
    """
    out: Tensor = model(x, label, classes, return_dict=False)[0]
    patch = model.config.patch_size
    return shuffle(unshuffle(out, patch).reshape(*_patches(out, x, patch)), patch)


def _patches(out: Tensor, x: Tensor, patch: int) -> tuple[int, ...]:
    return len(x), out.shape[1] * patch**2, x.shape[2] // patch, x.shape[3] // patch


def vectors(condition: ClassCondition, classes: Tensor = CLASSES) -> Context:
    """The vectors of classes, of which the one past the last is the null."""
    keep = classes < condition.count
    context: Context = condition(classes.clamp(max=condition.count - 1), keep, torch.empty(3, 1))
    return context


def image(height: int, width: int) -> Tensor:
    return torch.randn(3, 3, height, width, generator=torch.Generator().manual_seed(1))


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    assert theirs.std() > 0.1
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("size", [(12, 12), (6, 24), (48, 12), (24, 24)])
@torch.no_grad()
def test_the_same_weights_compute_the_same(name: str, size: tuple[int, int]) -> None:
    model, x = reference(CONFIGS[name]), image(*size)
    dit, condition = dit_from_diffusers(model)
    assert_same(dit(x, LABEL, vectors(condition)), theirs(model, x))


@torch.no_grad()
def test_what_counts_there_counts_here() -> None:
    """Were the label or the class lost on both sides, the outputs would still agree."""
    model, x = reference(SMALL), image(12, 12)
    dit, condition = dit_from_diffusers(model)
    other = torch.tensor([0, 2, 3])
    for ours, expected in (
        (dit(x, LABEL, vectors(condition, other)), theirs(model, x, other)),
        (dit(x, LABEL + 50, vectors(condition)), theirs(model, x, label=LABEL + 50)),
    ):
        assert_same(ours, expected)
        assert (expected - theirs(model, x)).norm() > 1e-2 * expected.norm()


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_there_and_back(name: str) -> None:
    model = reference(CONFIGS[name])
    state, config = dit_to_diffusers(*dit_from_diffusers(model))
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(state[key], value) for key, value in model.state_dict().items())
    again = type(model)(**{k: v for k, v in config.items() if not k.startswith("_")}).eval()
    again.load_state_dict(state)
    assert torch.equal(theirs(again, image(12, 12)), theirs(model, image(12, 12)))


@torch.no_grad()
def test_folders_go_both_ways(tmp_path: Path) -> None:
    model, x = reference(SMALL), image(12, 12)
    model.save_pretrained(tmp_path / "theirs")
    dit, condition = load_diffusers_dit(tmp_path / "theirs")
    save_diffusers_dit(dit, condition, tmp_path / "pipeline" / "transformer")
    (tmp_path / "pipeline" / "model_index.json").write_text("{}")
    back = type(model).from_pretrained(tmp_path / "pipeline" / "transformer")
    assert torch.equal(theirs(back, x), theirs(model, x))
    again, classes = load_diffusers_dit(tmp_path / "pipeline")
    assert torch.equal(again(x, LABEL, vectors(classes)), dit(x, LABEL, vectors(condition)))
    # One-hot classes, as of any network of diffusers.
    one_hot = Context(vector=torch.eye(6)[CLASSES])
    assert torch.equal(DiffusersNetwork(model)(x, LABEL, one_hot), theirs(model, x))


# Below, diffusers is not needed.


def ours(**options: Any) -> tuple[DiT, ClassCondition]:
    defaults = {"depth": 2, "width": 16, "heads": 2, "vector_width": 16, "embedding_shift": 1.0}
    return DiT(1, 2, **{**defaults, **options}), ClassCondition(3, 16)


@torch.no_grad()
def test_ours_survive_a_folder_exactly(tmp_path: Path) -> None:
    dit, classes = ours(mlp_norm_eps=1e-4)
    randomise(dit)
    save_diffusers_dit(dit, classes, tmp_path, sample_size=8)
    again, _ = load_diffusers_dit(tmp_path)
    given = torch.randn(2, 1, 8, 8), torch.tensor([1.0, 500.0]), Context(vector=torch.randn(2, 16))
    assert dit(*given).std() > 0.1
    assert torch.equal(again(*given), dit(*given))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm_type": "ada_norm"}, "norm_type"),
        ({"activation_fn": "geglu"}, "activation_fn"),
        ({"num_layers": 1}, "transformer_blocks.1"),
        ({"num_layers": 3}, "have no 'transformer_blocks.2"),
        ({"num_embeds_ada_norm": 4}, "embedding_table"),
        ({"in_channels": 2}, "pos_embed.proj"),
    ],
)
def test_what_cannot_be_read_is_refused(change: dict[str, Any], message: str) -> None:
    state, config = dit_to_diffusers(*ours(), sample_size=8)
    with pytest.raises(InputError, match=message):
        dit_from_diffusers(state, {**config, **change})


def test_blocks_that_differ_in_their_embeddings_are_refused() -> None:
    state, config = dit_to_diffusers(*ours(), sample_size=8)
    key = "transformer_blocks.1.norm1.emb.timestep_embedder.linear_1.bias"
    state[key] = state[key] + 1
    with pytest.raises(InputError, match="differ from the other blocks"):
        dit_from_diffusers(state, config)


@pytest.mark.parametrize(
    "options",
    [
        {"dims": 3},
        {"positions": "rotary"},
        {"token_width": 4},
        {"embedding_shift": 0.0},
        {"mlp_ratio": 2},
        {"vector_width": None},
    ],
)
def test_what_cannot_be_written_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        dit_to_diffusers(*ours(**options), sample_size=8)


def test_the_size_of_images_is_asked_for() -> None:
    with pytest.raises(InputError, match="sample_size"):
        dit_to_diffusers(*ours())
    stretched = ours(positions={"name": "sinusoidal", "extent": 4})
    assert dit_to_diffusers(*stretched)[1]["sample_size"] == 8
    with pytest.raises(InputError, match="sample_size"):
        dit_to_diffusers(*stretched, sample_size=16)
