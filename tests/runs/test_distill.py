"""Distilled runs: what they are made of, that they resume bit for bit, and that they take no other
teacher.
"""

from __future__ import annotations

import math
import os
import signal

import pytest
import torch

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.process import EDM, VPLinear
from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.runs import distill
from unfog.runs.budget import fit_distillation
from unfog.runs.config import load_config
from unfog.runs.distill import configure, distill_run
from unfog.runs.folder import export
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.train import configure as configure_system
from unfog.runs.train import train_config, train_system
from unfog.sampling.consistency import Consistency
from unfog.training import loop
from unfog.training.checkpoint import newest_verified
from unfog.training.ema import power_ramp
from unfog.training.guard import Interrupted

pytest.importorskip("sklearn")
TINY = [
    "training.steps=2",
    "training.batch=4",
    "training.warmup=1",
    "network.channels=8",
    "network.groups=4",
    "network.blocks=1",
]
BRIEF = ["training.steps=6", "training.checkpoint_every=2", "training.precision=fp32"]
SHORT = {"adversarial": BRIEF, "consistency": [*BRIEF, "objective.knots=2", "objective.reach=1"]}


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    folder, dataset = tmp_path_factory.mktemp("teachers"), open_dataset("digits")
    for system in ("ddpm", "edm"):
        train_config(
            configure_system(system, dataset, {"name": "digits"}, TINY), dataset, folder / system
        )
    return folder


@pytest.mark.parametrize(("system", "prediction"), [("ddpm", "v"), ("edm", "edm")])
@pytest.mark.parametrize("method", SHORT)
def test_a_student_samples_in_its_steps_without_being_told(
    teachers, tmp_path, system, prediction, method
):
    told = distill_run(teachers / system, 2, tmp_path / "new", SHORT[method], method=method)
    run, teacher = Run.open(tmp_path / "new"), Run.open(teachers / system)
    assert (told["step"], told["teacher"], told["sampling steps"]) == (6, system, 2)
    assert run.config["prediction"]["name"] == prediction
    descent = {"adversarial": None, "consistency": "flow-from-data" if system == "ddpm" else "flow"}
    assert run.config["objective"].get("descent") == descent[method]
    assert run.config["teacher"] == {"run": system, "sha256": teacher.weights_sha256}
    plan = Plan.of(run)
    assert plan.sampler == Consistency(2)
    assert len(plan.grid) == 3
    assert draw(run, plan, range(2)).shape == (2, 1, 8, 8)


def test_the_student_starts_as_its_teacher(teachers, tmp_path, monkeypatch):
    """Before the first step: the same weights, and, for EDM's prediction, the same denoiser."""
    seen = {}

    class Stop(Exception):
        pass

    def watch(denoiser: NetworkDenoiser, *parts, **options):
        seen["student"] = denoiser
        raise Stop

    monkeypatch.setattr("unfog.training.loop.train", watch)
    with pytest.raises(Stop):
        distill_run(teachers / "edm", 2, tmp_path / "new", BRIEF)
    teacher = Run.open(teachers / "edm").denoiser
    x, t = torch.randn(2, 1, 8, 8), torch.tensor(0.01, dtype=torch.float64)
    assert torch.equal(seen["student"].eval()(x, t).mean, teacher(x, t).mean)


@pytest.mark.parametrize("method", SHORT)
def test_a_resumed_distillation_is_the_unbroken_one_bit_for_bit(
    teachers, tmp_path, monkeypatch, method
):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    distill_run(teachers / "ddpm", 2, tmp_path / "unbroken", SHORT[method], method=method)
    with monkeypatch.context() as patched:
        real = loop.train

        def train(*parts, callback=None, **options):
            return real(
                *parts,
                callback=lambda step, *_: (
                    os.kill(os.getpid(), signal.SIGTERM) if step == 3 else None
                ),
                **options,
            )

        patched.setattr("unfog.training.loop.train", train)
        with pytest.raises(Interrupted):
            distill_run(teachers / "ddpm", 2, tmp_path / "broken", SHORT[method], method=method)
    copy = export(
        teachers / "ddpm", tmp_path / "copy"
    )  # the teacher is its weights, wherever they lie
    distill_run(copy, 2, tmp_path / "broken", resume=True)
    torch.set_num_threads(threads)
    a, b = (newest_verified(tmp_path / name)[0] for name in ("unbroken", "broken"))
    assert a.name == b.name == "step-00000006"
    assert all((a / file.name).read_bytes() == file.read_bytes() for file in b.iterdir())


def test_another_teacher_or_another_number_of_steps_is_refused(teachers, tmp_path):
    distill_run(teachers / "ddpm", 2, tmp_path / "new", BRIEF)
    with pytest.raises(InputError, match="not those"):
        distill_run(teachers / "edm", 2, tmp_path / "new", resume=True)
    with pytest.raises(InputError, match="into 2 steps, not 3"):
        distill_run(teachers / "ddpm", 3, tmp_path / "new", resume=True)
    with pytest.raises(InputError, match="not a distilled one"):
        distill_run(teachers / "ddpm", 2, teachers / "edm", resume=True)
    with pytest.raises(InputError, match="a run of 'distilled'"):
        train_system("ddpm", "digits", tmp_path / "new", resume=True)


def test_the_new_config(teachers):
    run = Run.open(teachers / "ddpm")
    assert configure(run, 3)["sampling"]["sampler"] == {
        "name": "consistency",
        "segments": 3,
        "scale": 0.5,
    }
    chosen = configure(run, 2, ["objective.scale=1.5", "training.lr=1e-4"])
    assert chosen["sampling"]["grid"] == {
        "name": "angle",
        "scale": 1.5,
    }  # the sampler's segments are the objective's
    assert chosen["sampling"]["sampler"]["scale"] == 1.5
    for steps in (0, distill.MOST_STEPS + 1):
        with pytest.raises(InputError, match="1 to 16 steps"):
            configure(run, steps)
    bare = {name: section for name, section in run.config.items() if name != "data"}
    with pytest.raises(InputError, match="no section 'data'"):
        configure(Run(run.path, bare, run.denoiser, run.codec, run.shape, {}), 2)


@pytest.mark.parametrize(("process", "name"), [(VPLinear(), "v"), (EDM(), "flow")])
def test_noise_prediction_gives_way(teachers, process, name):
    run = Run.open(teachers / "ddpm")
    run.denoiser.process = process
    assert configure(run, 2)["prediction"] == {"name": name}
    assert configure(run, 2, method="consistency")["objective"]["descent"] == "flow-from-data"


def test_a_student_starts_from_an_earlier_one(teachers, tmp_path):
    """With no learning rate it stays that one; its name and weights are in the config; one that
    predicts otherwise is refused.
    """
    distill_run(
        teachers / "ddpm", 2, tmp_path / "first", SHORT["consistency"], method="consistency"
    )
    told = distill_run(
        teachers / "ddpm",
        2,
        tmp_path / "second",
        [*BRIEF, "training.lr=0.0"],
        start=tmp_path / "first",
    )
    first, second = Run.open(tmp_path / "first"), Run.open(tmp_path / "second")
    assert told["step"] == 6
    assert second.config["start"] == {"run": "first", "sha256": first.weights_sha256}
    pairs = zip(
        first.denoiser.state_dict().values(), second.denoiser.state_dict().values(), strict=True
    )
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
    with pytest.raises(InputError, match="predicts 'noise' and the student 'v'"):
        distill_run(teachers / "ddpm", 2, tmp_path / "third", BRIEF, start=teachers / "ddpm")
    with pytest.raises(InputError, match="its own weights"):
        distill_run(
            teachers / "ddpm", 2, tmp_path / "second", resume=True, start=tmp_path / "first"
        )


@pytest.mark.parametrize("method", SHORT)
def test_a_short_distillation_fits_its_budget(teachers, tmp_path, caplog, method):
    brief = ["training.steps=30", "training.batch=4"]
    distill_run(teachers / "ddpm", 2, tmp_path / "new", brief, method=method)
    training = load_config(tmp_path / "new" / "config.yaml")["training"]
    assert (training["steps"], training["warmup"]) == (30, 3)  # a tenth, not the recipe's 50
    # The average holds nothing of the weights at the start, and little of the first half.
    decay = power_ramp(training["ema"], training["ema_power"])
    assert math.prod(decay(t) for t in range(1, 31)) == 0
    assert math.prod(decay(t) for t in range(16, 31)) < 0.001
    assert "30 steps are too few" in caplog.text
    # What is set stays, and so does a distillation as long as its recipe.
    teacher = Run.open(teachers / "ddpm")
    for settings in (["training.steps=30", "training.warmup=7"], ["training.steps=2000"], []):
        config, recipe = (configure(teacher, 2, given, method) for given in (settings, ()))
        keys = {pair.partition("=")[0] for pair in settings}
        assert fit_distillation(config, recipe, open_dataset("digits"), keys, teacher) == config


def test_minutes_of_distillation_set_steps_and_warm_up(teachers, tmp_path, monkeypatch, caplog):
    seen = []

    def rate(config, dataset, seconds, teacher, clock):
        seen.append((config["training"]["precision"], teacher is not None))
        return 2.0

    monkeypatch.setattr("unfog.runs.budget.rate", rate)
    tiny = ["training.batch=4", "training.precision=fp32"]
    distill_run(teachers / "ddpm", 2, tmp_path / "new", tiny, minutes=0.2)
    training = load_config(tmp_path / "new" / "config.yaml")["training"]
    assert training["steps"] in (22, 23, 24)  # of 12 seconds, less those of the measurement
    assert training["warmup"] == 2
    assert seen == [("fp32", True)]
    assert "would teach" in caplog.text
