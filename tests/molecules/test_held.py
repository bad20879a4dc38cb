"""Fragments that a network is told of: the space of the rest, the loss, and what is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unfog.core.conditioning import Conditioner
from unfog.core.denoiser import Denoiser, NetworkDenoiser, Posterior
from unfog.core.label import log_sigma_label
from unfog.core.prediction import predictions
from unfog.core.process import EDM
from unfog.core.space import spaces
from unfog.molecules import held
from unfog.molecules.fragment import Fragment
from unfog.molecules.keep import KeptFragment
from unfog.molecules.recipe import SIGMA_DATA
from unfog.molecules.sizes import masks_of
from unfog.molecules.state import SPACE
from unfog.molecules.transformer import AtomTransformer
from unfog.training.objectives import objectives
from unfog.training.objectives.objective import given

SIZES, LARGEST = [6, 8, 5], 8
TIMES = {"name": "log-normal", "mean": -0.9, "std": 1.3}


def batch(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Molecules whose first three atoms are heavy, and where their atoms are."""
    mask, draw = masks_of(SIZES, LARGEST), torch.Generator().manual_seed(0)
    x = torch.randn(3, 9, LARGEST, generator=draw, dtype=dtype)
    x[:, 3:] = 0
    x[:, 4, :3], x[:, 3, 3:] = 0.25, 0.25
    return {"x": spaces.build(SPACE).within(mask).project(x), "mask": mask}


def model() -> NetworkDenoiser:
    torch.manual_seed(0)
    network = AtomTransformer(9, 9, width=16, layers=2, vectors=8, heads=2, spatial_channels=1)
    prediction = predictions.build({"name": "edm", "sigma_data": SIGMA_DATA})
    parts = {"fragment": held.FragmentCondition()}
    return NetworkDenoiser(network, EDM(15.0), prediction, log_sigma_label(), Conditioner(parts))


def objective(name: str, drop: float) -> object:
    return objectives.build(
        {"name": name, "times": TIMES}, drop={"fragment": drop}, space=spaces.build(SPACE)
    )


def test_the_rest_is_the_orthogonal_complement_of_the_fragment() -> None:
    some, operator = batch(torch.float64), Fragment(3, LARGEST)
    kept = (torch.arange(LARGEST) < 3).double().expand(3, 1, -1)
    space = held.Rest(inner=spaces.build(SPACE).within(some["mask"]), fragment=kept)
    draw = torch.Generator().manual_seed(1)
    u, v = (torch.randn(3, 9, LARGEST, generator=draw, dtype=torch.float64) for _ in range(2))
    p = space.project(u)
    torch.testing.assert_close(space.project(p), p)
    assert float((p * v).sum()) == pytest.approx(float((u * space.project(v)).sum()))
    assert float(operator(p).abs().max()) < 1e-14
    # What the projection takes away is the fragment, and no more than that.
    x = some["x"]
    torch.testing.assert_close(x - space.project(x), operator.pseudo_inverse(operator(x)))
    draws = space.noise((3, 9, LARGEST), [torch.Generator().manual_seed(k) for k in range(3)])
    expected = torch.tensor([(n - 1 - 2) * 3 + (n - 3) * 6 for n in SIZES]).double()
    assert torch.equal(space.dimensions(draws.shape), expected)


def test_training_keeps_heavy_atoms_near_each_other_and_never_all() -> None:
    x = batch()["x"][0]
    dressed = 0
    for seed in range(200):
        kept = held.drawn_fragment(x, torch.Generator().manual_seed(seed))
        heavy = int(kept[:3].sum())
        assert 1 <= heavy < 3
        assert not bool(kept[6:].any())  # padding
        dressed += int(kept[3:].any())
    assert 0 < dressed < 200
    assert not bool(held.drawn_fragment(torch.zeros(9, 4), torch.Generator()).any())


def test_without_a_fragment_it_is_denoising_and_with_one_there_is_neither_noise_nor_loss() -> None:
    some, denoiser = batch(), model()
    told = (denoiser, some, range(3), 0, 1)
    free = objective("fragment-denoising", 1.0)(*told)
    assert torch.allclose(free, objective("denoising", 1.0)(*told), rtol=1e-5)
    seen: list[Tensor] = []
    denoiser.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    found = objective("fragment-denoising", 0.0)(*told)
    assert not torch.allclose(found, free, rtol=1e-2)
    kept = given(denoiser, some, range(3), 0, 1)["fragment"]
    example = objective("denoising", 0.0).example(denoiser, some["x"], range(3), 0, 1)
    scale = denoiser.prediction.input_scale(*denoiser.scales(example.t)).float()[:, :, None]
    shown = seen[0] / scale
    # Features of the fragment are as they are, those of the others are not.
    gap = (shown - some["x"]).abs()[:, 3:]
    assert float((gap * kept).max()) < 1e-5
    assert float((gap * (1 - kept)).max()) > 0.01


def test_the_fragment_is_shown_without_noise_and_comes_out_as_it_is() -> None:
    """Whatever noise lies on it: what is drawn does not depend on it, and the rest does."""

    class Seen(Denoiser):
        process = EDM(15.0)

        def forward(self, x_t: Tensor, t: Tensor, **condition: Tensor) -> Posterior:
            return Posterior(x_t * x_t.square().mean((1, 2), keepdim=True) + condition["fragment"])

    x, operator = batch(torch.float64)["x"], Fragment(3, LARGEST)
    y, space = operator(x), spaces.build(SPACE).within(batch()["mask"])
    flag = (torch.arange(LARGEST) < 3).double().expand(3, 1, -1)
    kept = KeptFragment(Seen(), operator, y)
    draw = torch.Generator().manual_seed(1)
    x_t = space.project(torch.randn(x.shape, generator=draw, dtype=torch.float64))
    other = x_t + operator.pseudo_inverse(operator(torch.roll(x_t, 1, 0)))
    t = torch.tensor(0.1, dtype=torch.float64)
    one, two = (kept(z, t, fragment=flag).mean for z in (x_t, other))
    torch.testing.assert_close(one, two)
    torch.testing.assert_close(operator(one), y)
    moved = x_t.clone()
    moved[:, 4, 4] += 1
    assert float((kept(moved, t, fragment=flag).mean - one).abs().max()) > 0.01


def test_a_run_without_it_starts_one_with_it() -> None:
    """The weights that are lacking are zero: until it trains, the fragment says nothing."""
    from unfog.runs.train_from_config import _start_weights

    new = model()
    old = AtomTransformer(9, 9, width=16, layers=2, vectors=8, heads=2)
    start = NetworkDenoiser(old, EDM(15.0), new.prediction, log_sigma_label())
    new.load_state_dict(_start_weights(new, start))
    x, t = batch()["x"], torch.tensor(0.1, dtype=torch.float64)
    told = new(x, t, fragment=torch.ones(3, 1, LARGEST)).mean
    torch.testing.assert_close(told, start(x, t).mean)
