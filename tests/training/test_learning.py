"""Order, average, settings, and a loop that stands bad batches."""

from __future__ import annotations

import io
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from unfog.errors import InputError
from unfog.progress import training_progress
from unfog.training import checkpoint
from unfog.training.ema import EMA, power_ramp, warm_up
from unfog.training.loop import train
from unfog.training.objectives.denoising import objectives
from unfog.training.order import ids
from unfog.training.settings import TrainSettings


@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9))
def test_order_is_one_permutation_after_another(seed, batch, n):
    stream = [sample for step in range(1, 2 * n + 1) for sample in ids(seed, step, batch, n)]
    for epoch in range(2 * batch):
        assert sorted(stream[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_average_of_parameters_and_buffers():
    module = nn.BatchNorm1d(3)
    average, decay = EMA(module, power_ramp(0.6, 2.0)), power_ramp(0.6, 2.0)
    wanted = torch.zeros(3)
    for t in range(1, 8):
        with torch.no_grad():
            module.weight.fill_(t)
            module.running_mean.fill_(-t)
            module.num_batches_tracked += 1
        average.update()
        wanted = decay(t) * wanted + (1 - decay(t)) * t
        state = average.state_dict()
        assert torch.allclose(state["weight"], wanted)
        assert torch.allclose(state["running_mean"], -wanted)
        assert state["num_batches_tracked"] == t
    assert [decay(t) for t in (1, 2, 100)] == [0.0, 0.25, 0.6]
    assert warm_up(0.9)(1) == 2 / 11


def poisoned(bad):
    """The tiny objective, whose losses are not finite for the samples ``bad``."""
    real = objectives.build({"name": "denoising", "times": "log-normal"})

    def objective(denoiser, batch, samples, seed, step):
        return real(denoiser, batch, samples, seed, step) + torch.tensor(
            [float("nan") if sample in bad else 0.0 for sample in samples]
        )

    return objective


def test_a_bad_batch_is_skipped_and_told(tiny, tmp_path, caplog):
    states = []

    def watch(step, loss, rate):
        states.append({name: value.clone() for name, value in denoiser.state_dict().items()})

    denoiser = tiny.denoiser()
    settings = tiny.settings(steps=6, checkpoint_every=1)
    result = train(
        denoiser,
        poisoned({5}),
        tiny.dataset(),
        None,
        settings,
        tmp_path / "run",
        {},
        callback=watch,
        device="cpu",
    )
    bad = [step for step in range(1, 7) if 5 in ids(0, step, 4, 11)]
    assert bad
    assert result.updates == 6 - len(bad)
    for step in bad[1:] if bad[0] == 1 else bad:
        assert all(
            torch.equal(states[step - 1][name], states[step - 2][name]) for name in states[0]
        )
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row for row in rows if "skipped" in row] == [
        {"step": step, "skipped": [5]} for step in bad
    ]
    assert "samples [5]" in caplog.text
    assert all(value.isfinite().all() for value in checkpoint.load_ema(tmp_path / "run").values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_on_a_gpu_resumes(tiny, tmp_path):
    objective = objectives.build(
        {"name": "denoising", "times": "log-normal", "drop": {"label": 0.3}}
    )
    for steps, resume in ((6, False), (12, True)):
        parts = (
            tiny.denoiser(),
            objective,
            tiny.dataset(),
            tiny.augment,
            tiny.settings(steps=steps, precision="bf16"),
        )
        result = train(*parts, tmp_path / "run", {}, resume=resume, device="cuda")
    assert result.updates == 12
    assert all(
        value.device.type == "cpu" for value in checkpoint.load_ema(tmp_path / "run").values()
    )


def test_ten_bad_batches_in_a_row_end_it(tiny, tmp_path):
    settings = tiny.settings(steps=20, checkpoint_every=4)
    with pytest.raises(InputError, match="10 steps in a row, up to step 10"):
        train(
            tiny.denoiser(),
            poisoned(set(range(11))),
            tiny.dataset(),
            None,
            settings,
            tmp_path / "run",
            {},
            device="cpu",
        )
    assert checkpoint.load_newest(tmp_path / "run").state["failures"] == 8


def test_training_learns(tiny, tmp_path):
    losses = []
    tiny.train(
        tmp_path / "run",
        steps=150,
        batch=8,
        lr=1e-2,
        checkpoint_every=150,
        callback=lambda step, loss, rate: losses.append(loss),
    )
    assert sum(losses[-30:]) < 0.8 * sum(losses[:30])


def test_the_callers_random_stream_stays(tiny, tmp_path):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    tiny.train(tmp_path / "run", steps=2)
    assert torch.equal(torch.rand(3), wanted)


def test_learning_rate_warms_up_and_decays():
    settings = TrainSettings(steps=110, batch=1, lr=1.0, warmup=10, decay="cosine")
    assert [settings.learning_rate(step) for step in (1, 10, 11, 61)] == pytest.approx(
        [0.1, 1.0, 1.0, 0.5]
    )
    assert 0 < settings.learning_rate(110) < 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"batch": 1.5},
        {"lr": "2e-4"},
        {"lr": float("nan")},
        {"decay": "slow"},
        {"betas": [0.9]},
        {"precision": "fp16"},
        {"ema": 1.1},
        {"learning_rate": 1},
        {"seed": True},
        {"clip": -1},
        {"snapshot_every": 0},
        {"snapshot_lengths": [0.1]},
        {"snapshot_lengths": [0.1, 0.5]},
    ],
)
def test_bad_settings_are_refused(change):
    with pytest.raises(InputError):
        TrainSettings.of({"steps": 1, "batch": 1, "lr": 1e-3, **change})
    with pytest.raises(InputError, match="lack batch, lr"):
        TrainSettings.of({"steps": 1})


def test_progress_is_plain_lines_away_from_a_terminal():
    stream = io.StringIO()
    with training_progress(100, stream) as tell:
        for step in (1, 2, 100):
            tell(step, 0.5, 10.0)
    assert stream.getvalue().splitlines() == [
        "step 1 of 100: loss 0.5000, 10.0 steps/s, 0:00:10 left",
        "step 100 of 100: loss 0.5000, 10.0 steps/s, 0:00:00 left",
    ]


def test_progress_is_a_bar_on_a_terminal():
    stream = io.StringIO()
    stream.isatty = lambda: True
    with training_progress(100, stream) as tell:
        tell(100, 0.5, 10.0)
    assert "100/100" in stream.getvalue()
    assert "loss 0.5000" in stream.getvalue()
