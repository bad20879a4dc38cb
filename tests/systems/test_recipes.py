"""Recipes: their own sampling, given the exact score of a mixture, draws that mixture; their
training reaches every part they name.
"""

from __future__ import annotations

import pytest
import torch

from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import processes
from unfog.core.random import generators
from unfog.core.variance import LearnedRange
from unfog.data.dataset import ArrayDataset
from unfog.errors import InputError
from unfog.runs.build import build
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw, run_plan
from unfog.runs.train import configure, objective_of, train_config
from unfog.sampling.grids import grids
from unfog.sampling.samplers import samplers
from unfog.workflows.average import average_run

SMALL = [
    "training.steps=4",
    "training.batch=4",
    "training.warmup=1",
    "network.channels=8",
    "network.groups=4",
    "training.precision=fp32",
]
NEW = ["improved-ddpm", "ncsn", "rectified-flow", "score-sde-subvp", "score-sde-ve", "score-sde-vp"]
D, CENTRE, SPREAD = 64, 0.5, 0.2


@pytest.fixture(scope="module")
def dataset():
    images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return ArrayDataset("noise", images, {"name": "range", "low": 0, "high": 1}, {}, {})


def config(name, dataset, *changes):
    return configure(name, dataset, {"name": "arrays", "path": "noise.npy"}, [*SMALL, *changes])


def pair(process):
    """Two components, a third of the weight on the one below zero; in 64 dimensions, since the
    corrector's steps go by a sample's norms.
    """
    means = torch.full((2, D), CENTRE, dtype=torch.float64) * torch.tensor([[-1.0], [1.0]])
    return MixtureDenoiser(
        process,
        torch.tensor([1.0, 2.0]).double(),
        means,
        SPREAD**2 * torch.eye(D).double().expand(2, D, D),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW)
def test_a_recipes_sampling_draws_the_mixture_of_the_exact_score(dataset, name):
    """In as many steps as the recipe has, at most 250: weights, means and variances of both
    components.
    """
    section = config(name, dataset)
    process, n = processes.build(section["process"]), 400
    names = section["sampling"]
    grid = grids.build(names["grid"])(process, min(names["steps"], 250))
    plan = Plan(samplers.build(names["sampler"]), grid, names)
    x = run_plan(pair(process), plan, generators(0, range(n)), (D,)).double()
    below = x[x.mean(1) < 0]
    assert len(below) / n == pytest.approx(1 / 3, abs=0.07)  # three standard errors
    for found, centre in ((below, -CENTRE), (x[x.mean(1) > 0], CENTRE)):
        assert float(found.mean()) == pytest.approx(centre, abs=0.02)
        assert float(found.std()) == pytest.approx(SPREAD, rel=0.1)


@pytest.mark.parametrize("name", NEW)
def test_a_recipe_trains_samples_and_can_be_changed(dataset, tmp_path, name):
    result = train_config(config(name, dataset), dataset, tmp_path / "run")
    assert result.updates == 4
    run = Run.open(tmp_path / "run")
    x = draw(run, Plan.of(run, steps=3), range(2))
    assert x.shape == (2, 1, 8, 8)
    assert bool(torch.isfinite(x).all())


def test_the_learned_variance_of_improved_ddpm_is_trained_and_used(dataset, tmp_path):
    section = config("improved-ddpm", dataset)
    denoiser = build(section).denoiser
    assert denoiser.variance == LearnedRange(1000)
    assert denoiser.network.leave.weight.shape[0] == 2
    objective_of(section)(
        denoiser, {"x": torch.zeros(2, 1, 8, 8)}, range(2), 0, 1
    ).mean().backward()
    assert all(float(half.abs().max()) > 0 for half in denoiser.network.leave.weight.grad)
    train_config(section, dataset, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    learned, small = (draw(run, Plan.of(run, sampler, steps=3), [0]) for sampler in (None, "ddpm"))
    assert not torch.allclose(learned, small)


def test_an_objective_is_chosen_by_name(dataset):
    section = config(
        "edm",
        dataset,
        "objective.name=learned-weight",
        "objective.channels=16",
        "objective.times=log-normal",
    )
    objective = objective_of(section)
    assert objective.head is not None
    assert len(objective.head.head.frequencies) == 16
    bound = objective_of(
        config("ddpm", dataset, "objective.name=variational", "objective.decoder=density")
    )
    denoiser = build(config("ddpm", dataset)).denoiser
    assert bool(
        torch.isfinite(bound(denoiser, {"x": torch.zeros(4, 1, 8, 8)}, range(4), 0, 1)).all()
    )
    with pytest.raises(InputError, match="did you mean 'hybrid'"):
        config("edm", dataset, "objective.name=hybird")
    with pytest.raises(InputError, match=r"did you mean 'objective\.times'"):
        config("edm", dataset, "objective.time=uniform")


def test_a_run_is_averaged_afterwards(dataset, tmp_path):
    train_config(
        config("edm", dataset, "training.snapshot_every=1", "training.lr=0.01"),
        dataset,
        tmp_path / "run",
    )
    facts = average_run(tmp_path / "run", 0.08, tmp_path / "longer")
    assert facts["averages used"] == 8
    assert facts["updates"] == 4
    longer, plain = Run.open(tmp_path / "longer"), Run.open(tmp_path / "run")
    assert longer.config == plain.config
    plan = Plan.of(longer, steps=2)
    assert not torch.equal(draw(longer, plan, [0]), draw(plain, plan, [0]))
    with pytest.raises(InputError, match="not empty"):
        average_run(tmp_path / "run", 0.08, tmp_path / "longer")
    with pytest.raises(InputError, match="length of an average"):
        average_run(tmp_path / "run", 0.5, tmp_path / "other")
    assert not (tmp_path / "other").exists()
