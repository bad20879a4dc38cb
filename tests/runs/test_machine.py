"""What a machine computes fastest with: by its flags, then by measurement, kept in the cache; and
that a run keeps what "auto" stood for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unfog.builtin import open_run
from unfog.core.denoiser import InBfloat16
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.data.dataset import open_dataset
from unfog.errors import InputError
from unfog.networks.precision import Bfloat16Network
from unfog.runs import machine
from unfog.runs.run import Run
from unfog.runs.train import configure
from unfog.workflows.sample import sample_run


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A processor with given flags and speeds, and an empty cache."""
    monkeypatch.setenv("UNFOG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    counted = {"bfloat16": 0}

    def set_up(flags, bfloat16, threads=2.0):
        def speed():
            counted["bfloat16"] += 1
            return bfloat16

        machine.measured.cache_clear()
        monkeypatch.setattr(machine, "processor", lambda: {"name": "test", "flags": flags})
        monkeypatch.setattr(machine, "_bfloat16_speed", speed)
        monkeypatch.setattr(machine, "_threads_speed", lambda: threads)
        return counted

    yield set_up
    machine.measured.cache_clear()


@pytest.mark.parametrize(
    ("flags", "speed", "expected"),
    [
        (["avx512f", "avx512_bf16"], 2.1, "bf16"),
        (["avx512f", "avx512_bf16"], 1.1, "fp32"),  # has it, and it does not pay
        (["avx2", "fma"], 9.9, "fp32"),  # emulates it: not even measured
        (None, 1.5, "bf16"),  # no list of flags: measured
        (None, 0.4, "fp32"),
    ],
)
def test_bfloat16_where_it_pays(elsewhere, flags, speed, expected):
    counted = elsewhere(flags, speed)
    assert machine.best_precision() == machine.resolve("auto") == expected
    assert counted["bfloat16"] == (0 if flags == ["avx2", "fma"] else 1)
    assert [machine.resolve(name) for name in ("bf16", "fp32")] == ["bf16", "fp32"]
    with pytest.raises(InputError, match="one of auto, bf16, fp32"):
        machine.resolve("fp16")


def test_it_is_measured_once_a_processor(elsewhere, tmp_path):
    counted = elsewhere(None, 2.0)
    for _ in range(3):
        machine.measured.cache_clear()
        assert machine.measured()["bfloat16"] == 2.0
    assert counted["bfloat16"] == 1
    kept = tmp_path / "cache" / "machine.json"
    assert next(iter(json.loads(kept.read_text()))).startswith("test | ")
    kept.write_text("{damaged")
    machine.measured.cache_clear()
    assert machine.measured()["threads"] == 2.0
    assert counted["bfloat16"] == 2


def test_threads_are_as_many_as_pay(elsewhere, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    elsewhere(None, 2.0, threads=3.1)
    assert machine.chosen_threads() == 4
    elsewhere(None, 2.0, threads=1.0)
    monkeypatch.setenv("UNFOG_CACHE", str(Path(os.environ["UNFOG_CACHE"]) / "other"))
    assert machine.chosen_threads() == 1


def test_a_run_keeps_what_auto_stood_for(elsewhere):
    data = {"name": "mni-t1", "resolution": 4.0}
    for speed, expected in ((0.4, "fp32"), (3.0, "bf16")):
        elsewhere(None, speed)
        machine_file = Path(os.environ["UNFOG_CACHE"]) / "machine.json"
        machine_file.unlink(missing_ok=True)
        for system in ("ddpm", "edm"):
            config = configure(system, open_dataset(data), data)
            assert config["training"]["precision"] == expected
        forced = ["training.precision=fp32"]
        config = configure("ddpm", open_dataset(data), data, forced)
        assert config["training"]["precision"] == "fp32"


def test_a_denoiser_in_the_precision_asked_for():
    oracle = gaussian_denoiser(EDM(), torch.zeros(2), torch.eye(2))
    assert isinstance(machine.in_precision(oracle, "bf16"), InBfloat16)
    assert machine.in_precision(oracle, "fp32") is oracle


def test_the_real_probe_gives_speeds():
    machine.measured.cache_clear()
    assert 0.05 < machine._bfloat16_speed() < 100
    assert 0.05 < machine._threads_speed() < 100
    assert machine.processor()["name"]


@pytest.mark.parametrize(
    ("code", "policy"),
    [
        ("import unfog; unfog.threads(1)", "PASSIVE"),
        ("from unfog.openmp import wait_passively as w; w()", "PASSIVE"),
        ("import torch; import unfog; unfog.threads(1)", None),  # too late to be of use
    ],
)
def test_threads_sleep_while_they_wait(code, policy):
    line = f"{code}; import os, torch; print(os.environ.get('OMP_WAIT_POLICY'))"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", line], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == str(policy)


def test_the_users_own_policy_stands():
    line = "import unfog; unfog.threads(1); import os; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {**os.environ, "OMP_WAIT_POLICY": "ACTIVE"}
    done = subprocess.run(
        [sys.executable, "-c", line], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "ACTIVE"


@pytest.mark.parametrize(("points", "expected"), [(64, "fp32"), (256, "fp32"), (784, "bf16")])
def test_bfloat16_does_not_pay_for_tiny_samples(
    points: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "best_precision", lambda: "bf16")
    assert machine.resolve("auto", points) == expected
    assert machine.resolve("bf16", points) == "bf16"


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_every_command_that_takes_a_run_computes_in_one_precision(precision, tmp_path):
    summary = sample_run("fashion", 2, tmp_path / "out", steps=3, precision=precision)
    assert summary["precision"] == precision
    wrapped = [
        isinstance(open_run("fashion", p).denoiser.network, Bfloat16Network)
        for p in ("bf16", "fp32")
    ]
    assert wrapped == [True, False]


def test_bfloat16_keeps_the_samples_and_gives_the_plain_network_back():
    plain = Run.open("fashion")
    brief = plain.in_precision("bf16")
    a, b = (run.sample(2, steps=4) for run in (plain, brief))
    assert a.dtype == b.dtype == torch.float32
    difference = float((a - b).square().mean().sqrt() / a.std())
    assert 0 < difference < 0.1
    again = brief.in_precision("fp32")
    assert torch.equal(again.sample(2, steps=4), a)


def test_auto_is_float32_for_small_samples(elsewhere):
    elsewhere(None, 3.0)
    run = Run.open("fashion")
    assert run.in_precision("auto").precision == "bf16"
    assert replace(run, shape=(1, 16, 16)).in_precision("auto").precision == "fp32"
