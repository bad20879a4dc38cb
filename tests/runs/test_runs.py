"""Runs: opened by path or name, verified, exported; drawing and restoring do not depend on the
batch.
"""

import json
from dataclasses import replace

import pytest
import torch

from unfog.core.codec import Range
from unfog.core.conditioning import Conditioner
from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.data.dataset import ArrayDataset
from unfog.errors import InputError
from unfog.physics.blur import Blur, gaussian_kernel
from unfog.physics.operators import BlockAverage, Identity, Mask
from unfog.posterior.methods import methods
from unfog.runs.folder import export, load_weights, locate, priors
from unfog.runs.restore import restore
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.train import configure, rate, train_config
from unfog.runs.verify import verify

SMALL = [
    "training.steps=4",
    "training.batch=4",
    "training.warmup=1",
    "network.channels=8",
    "network.groups=4",
]


@pytest.fixture(scope="module")
def dataset():
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(20) % 3
    return ArrayDataset(
        "noise",
        images,
        {"name": "range", "low": 0, "high": 1},
        {"label": {"name": "class", "count": 3}},
        {"label": labels},
    )


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "edm"
    train_config(
        configure("edm", dataset, {"name": "arrays", "path": "noise.npy"}, SMALL), dataset, folder
    )
    return folder


def test_a_draw_depends_on_its_id_alone(trained):
    run = Run.open(trained)
    plan = Plan.of(run, steps=4)
    many, one = draw(run, plan, range(5), seed=3, batch=5), draw(run, plan, [2], seed=3)
    assert torch.allclose(many[2], one[0], atol=1e-5)
    assert not torch.allclose(many[2], many[3], atol=1e-2)
    assert not torch.allclose(one, draw(run, plan, [2], seed=4), atol=1e-2)


def test_guidance_and_class_reach_the_network(trained):
    run = Run.open(trained)
    for p in run.denoiser.parameters():  # the network starts at zero and four steps hardly move it
        torch.nn.init.normal_(p, std=0.2, generator=torch.Generator().manual_seed(p.numel()))
    plan = Plan.of(run, steps=3)
    zero, one = ({"label": torch.tensor([k])} for k in (0, 1))
    first = draw(run, plan, [0], condition=zero)
    assert not torch.allclose(first, draw(run, plan, [0], condition=one), atol=1e-3)
    assert torch.equal(first, draw(run, plan, [0], condition=zero, guidance=1.0))
    assert not torch.allclose(first, draw(run, plan, [0], condition=zero, guidance=4.0), atol=1e-3)


def test_guidance_without_a_null_is_refused(trained):
    run = Run.open(trained)
    label = {**run.config["conditions"]["label"], "drop": 0.0}
    never = replace(run, config={**run.config, "conditions": {"label": label}})
    zero, plan = {"label": torch.tensor([0])}, Plan.of(run, steps=1)
    with pytest.raises(InputError, match="knows its null"):
        draw(never, plan, [0], condition=zero, guidance=2.0)
    assert torch.equal(
        draw(never, plan, [0], condition=zero, guidance=1.0), draw(run, plan, [0], condition=zero)
    )


def test_an_export_is_the_same_run(trained, tmp_path):
    run, copy = Run.open(trained), Run.open(export(trained, tmp_path / "copy"))
    plan = Plan.of(run, steps=2)
    assert torch.equal(draw(run, plan, [0]), draw(copy, plan, [0]))


def test_a_changed_export_is_refused(trained, tmp_path):
    folder = export(trained, tmp_path / "copy")
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="SHA-256"):
        Run.open(folder)


def test_no_run_is_one_sentence(trained, tmp_path):
    with pytest.raises(InputError, match="is not a run"):
        Run.open(tmp_path)
    with pytest.raises(InputError, match="exists"):
        export(trained, tmp_path)


def test_the_rate_is_measured(dataset):
    config = configure("edm", dataset, {"name": "arrays", "path": "noise.npy"}, SMALL)
    assert rate(config, dataset, seconds=0.2) > 0


@pytest.mark.parametrize("name", priors())
def test_shipped_priors_are_whole_and_light(name):
    path = locate(name)
    weights = load_weights(path)  # held to the manifest
    assert all(bool(value.isfinite().all()) for value in weights.values())
    assert sum(f.stat().st_size for f in path.iterdir()) < 10e6
    card = json.loads((path / "card.json").read_text())
    assert {"data", "commands", "seed", "licence", "figures"} <= card.keys()
    listed = set(json.loads((path / "manifest.json").read_text()))
    assert listed == {p.name for p in path.iterdir() if p.is_file()} - {"manifest.json"}
    assert verify(path)["sound"]
    assert "not recorded" not in verify(path)["files"].values()


class Exact(Denoiser):
    """A Gaussian on the model's scale."""

    def __init__(self):
        super().__init__()
        self.process = EDM()
        self.oracle = gaussian_denoiser(
            self.process,
            torch.full((16,), 0.2, dtype=torch.float64),
            0.3 * torch.eye(16, dtype=torch.float64) + 0.2,
        )

    def forward(self, x_t, t, **condition):
        return Posterior(self.oracle(x_t, t).mean)


@pytest.fixture
def oracle_run(trained):
    run = Run.open(trained)
    return Run(run.path, run.config, Exact(), Range(0, 100), (1, 4, 4), {})


@pytest.mark.parametrize(
    "operator",
    [
        Identity(),
        Mask(torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(1)) < 0.5),
        BlockAverage(2),
        Blur(gaussian_kernel(0.3)),
    ],
)
def test_restoration_in_natural_units_is_the_exact_posterior(oracle_run, operator):
    """Measurement in 0..100, noise 5: mean and deviation of 600 samples against linear regression
    done in those units.
    """
    y = operator(50 + 20 * torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(2)))
    restored = restore(
        oracle_run,
        y,
        operator,
        5.0,
        samples=600,
        plan=Plan.of(oracle_run, "ddpm", 60, "karras"),
        batch=600,
    )
    exact, spread = regression(operator, y)
    assert float(((restored.mean.flatten() - exact) / spread).abs().max()) < (
        1e-4 if isinstance(operator, Identity) else 0.25
    )
    assert float((restored.std.flatten() / spread - 1).abs().max()) < 0.2


@pytest.mark.parametrize("name", methods.names())
def test_any_method_can_be_asked_for(oracle_run, name):
    """Approximate ones too come within half a deviation of the posterior mean, root mean square."""
    operator = BlockAverage(2)
    y = operator(50 + 20 * torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(2)))
    plan = Plan.of(oracle_run, "ddpm", 20, "karras")
    restored = restore(oracle_run, y, operator, 5.0, samples=200, plan=plan, batch=200, method=name)
    exact, spread = regression(operator, y)
    assert float(((restored.mean.flatten() - exact) / spread).square().mean().sqrt()) < 0.5
    with pytest.raises(InputError, match="did you mean"):
        restore(oracle_run, y, operator, 5.0, method="mmp")


def regression(operator, y):
    """Posterior mean and deviation for the prior of ``Exact`` in natural units and noise 5."""
    a = operator(torch.eye(16).view(16, 1, 4, 4)).flatten(1).T.double()
    mean, covariance = torch.full((16,), 60.0).double(), 2500 * (0.3 * torch.eye(16) + 0.2).double()
    gain = (
        covariance @ a.T @ torch.linalg.inv(a @ covariance @ a.T + 25 * torch.eye(len(a)).double())
    )
    return mean + gain @ (y.flatten().double() - a @ mean), (
        covariance - gain @ a @ covariance
    ).diagonal().sqrt()


def test_a_restoration_does_not_depend_on_the_batch(oracle_run):
    y = 50 + 20 * torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    mask = Mask(torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(3)) < 0.5)
    plan = Plan.of(oracle_run, "ddpm", 8, "karras")
    together, apart = (
        restore(oracle_run, mask(y), mask, 5.0, samples=4, plan=plan, batch=b) for b in (12, 5)
    )
    assert torch.allclose(together.samples, apart.samples, atol=1e-3)


def test_intervals_cover_what_they_say(oracle_run):
    """Truths from the prior: the 90 % interval of an exact posterior holds 90 % of them."""
    truth = (
        oracle_run.denoiser.oracle.draw(300, torch.Generator().manual_seed(5))
        .view(300, 1, 4, 4)
        .float()
        * 50
        + 50
    )
    y = truth + 20 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(6))
    restored = restore(
        oracle_run,
        y,
        Identity(),
        20.0,
        samples=60,
        plan=Plan.of(oracle_run, "dpmpp-2m", 40, "karras"),
        batch=9000,
    )
    low, high = restored.interval()
    assert 0.86 < float(((truth >= low) & (truth <= high)).float().mean()) < 0.93


def test_impossible_restorations_are_refused(oracle_run):
    y = torch.zeros(1, 1, 4, 4)
    with pytest.raises(InputError, match="at least 2 samples"):
        restore(oracle_run, y, Identity(), 5.0, samples=1)
    with pytest.raises(InputError, match="not finite"):
        restore(oracle_run, y / 0, Identity(), 5.0)


def test_conditioner_is_part_of_the_weights(trained):
    run = Run.open(trained)
    assert isinstance(run.denoiser.conditioner, Conditioner)
    assert any(key.startswith("conditioner.parts.label") for key in run.denoiser.state_dict())
