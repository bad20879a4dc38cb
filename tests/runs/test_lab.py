"""Runs found, filtered and compared; trained again to the byte; and swept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.commands import invoke

from unfog.errors import InputError
from unfog.files.yaml import flat
from unfog.report import Line
from unfog.report.terminal_chart import terminal_chart
from unfog.runs.record import Record, differences, find_runs, matching

SMALL = {"training.batch": 4, "network.channels": 8, "network.groups": 4}
SET = " ".join(f"--set {key}={value}" for key, value in SMALL.items())


def train(out: Path, steps: int = 6, more: str = "", data: str = "digits") -> None:
    status, _, told = invoke(f"train edm --data {data} --out {out} --steps {steps} {SET} {more}")
    assert status == 0, told


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that differ in their learning rate and seed, one of them deeper."""
    folder = tmp_path_factory.mktemp("runs")
    train(folder / "one", more="--set training.lr=0.001")
    train(folder / "deep" / "two", more="--set training.lr=0.003 --seed 4")
    return folder


def test_runs_are_found_with_what_they_are(root):
    one, two = sorted(find_runs(root), key=lambda record: -len(record.name))
    assert (one.name, two.name) == ("deep/two", "one")
    assert two.facts() | {"loss": 0} == {
        "system": "edm",
        "data": "digits",
        "step": 6,
        "steps": 6,
        "loss": 0,
        "seed": 0,
        "skipped": 0,
    }
    assert {"unfog", "torch", "numpy", "python", "threads"} <= two.machine.keys()


def test_a_log_that_is_being_written_is_read_to_its_last_whole_line(root, tmp_path):
    shutil.copytree(root / "one", tmp_path / "run")
    log = tmp_path / "run" / "metrics.jsonl"
    log.write_text(log.read_text() + '{"step": 7, "lo')
    assert Record.of(tmp_path / "run").step == 6


def test_the_settings_that_differ_are_those_that_were_set(root):
    assert set(differences(find_runs(root))) == {"training.lr", "training.seed"}


def test_conditions_choose_runs(root):
    records = find_runs(root)
    assert [r.name for r in matching(records, ["training.lr<0.002"])] == ["one"]
    assert [r.name for r in matching(records, ["training.seed=4", "step>5"])] == ["deep/two"]
    assert matching(records, ["step>6"]) == []
    with pytest.raises(InputError, match="No run has"):
        matching(records, ["training.rate=1"])
    with pytest.raises(InputError, match="key=value"):
        matching(records, ["training.lr"])


def test_nested_settings_are_dotted():
    assert flat({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}


def test_a_chart_in_letters_has_its_curves_where_they_belong():
    text = terminal_chart([Line([0, 1], [0, 0], "low"), Line([0, 1], [1, 1], "high")])
    lines = text.splitlines()
    assert lines[0].strip().startswith("1 |b")
    assert lines[0].endswith("b")
    assert lines[13].strip().startswith("0 |a")
    assert lines[13].endswith("a")
    assert lines[-2:] == ["a  low", "b  high"]
    assert terminal_chart([]) == ""


def test_the_command_lists_compares_and_writes_a_page(root, tmp_path):
    status, text, _ = invoke(f"runs {root}")
    assert status == 0
    assert "deep/two" in text
    text = invoke(f"runs {root} --compare")[1]
    assert "training.lr" in text
    assert "a  deep/two" in text
    assert invoke(f"runs {root} --out {tmp_path / 'page'}")[0] == 0
    page = (tmp_path / "page" / "report.html").read_text()
    assert page.count("<polyline") == 2
    found = json.loads(invoke(f"runs {root} --compare --json")[1])
    assert found["differences"]["training.seed"] == [4, 0]
    for line, words in (("nowhere", "no folder"), (str(tmp_path / "page"), "holds no runs")):
        status, _, told = invoke(f"runs {line}")
        assert (status, words in told) == (2, True)


def test_a_run_is_reproduced_to_the_byte(root, tmp_path):
    status, out, told = invoke(f"reproduce {root / 'one'} --out {tmp_path / 'again'} --json")
    assert status == 0, told
    found = json.loads(out)
    assert found["equal"]
    assert found["weights"]
    assert found["log"]
    assert found["largest difference"] == 0


def test_other_bytes_are_told(root, tmp_path):
    shutil.copytree(root / "one", tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    config["training"]["lr"] *= 1.01
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    assert invoke(f"verify {tmp_path / 'run'}")[0] == 1
    assert invoke(f"verify {tmp_path / 'run'} --accept")[0] == 0
    status, out, _ = invoke(f"reproduce {tmp_path / 'run'} --out {tmp_path / 'again'} --json")
    found = json.loads(out)
    assert status == 1
    assert not found["equal"]
    assert not found["weights"]
    assert 0 < found["largest difference"] < 1


def test_a_changed_data_file_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("mine.npy", np.random.default_rng(0).random((6, 8, 8), np.float32))
    train(tmp_path / "run", 2, data="mine.npy")
    shutil.copy("mine.npy", "copy.npy")
    assert invoke("reproduce run --data copy.npy --out moved")[0] == 0
    np.save("mine.npy", np.random.default_rng(1).random((6, 8, 8), np.float32))
    status, _, told = invoke("reproduce run --out again")
    assert (status, "changed" in told) == (2, True), told
    assert not Path("again").exists()
    Path("mine.npy").unlink()
    status, _, told = invoke("reproduce run --out again")
    assert (status, "not at hand" in told) == (2, True), told


def test_a_run_that_cannot_be_trained_again_says_why(root, tmp_path):
    shutil.copytree(root / "one", tmp_path / "run")
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    config["training"]["steps"] = 9
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    assert invoke(f"verify {tmp_path / 'run'}")[0] == 1
    assert invoke(f"verify {tmp_path / 'run'} --accept")[0] == 0
    told = invoke(f"reproduce {tmp_path / 'run'} --out {tmp_path / 'again'}")[2]
    assert "step 6 of 9" in told
    told = invoke(f"reproduce {root / 'one'} --start run --out {tmp_path / 'again'}")[2]
    assert "leave out --start" in told


def sweep(folder: Path, **changes: object) -> Path:
    file = folder / "sweep.yaml"
    content = {
        "system": "edm",
        "data": "digits",
        "out": "swept",
        "set": {**SMALL, "training.steps": 2},
        "grid": {"training.lr": [0.001, 0.002], "training.seed": [0, 1]},
        **changes,
    }
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.mark.slow
def test_a_sweep_trains_every_combination_and_goes_on_where_it_was(tmp_path):
    file = sweep(tmp_path, grid={"training.lr": [0.001, 0.002]})
    out = tmp_path / "swept"
    assert invoke(f"sweep {file}")[0] == 0
    first = out / "lr=0.001"
    before = (first / "metrics.jsonl").stat().st_mtime_ns
    # The second is taken back to before it began, and a third is asked for that must fail.
    shutil.rmtree(out / "lr=0.002")
    (out / "lr=0.002").mkdir()
    status, text, _ = invoke(
        f"sweep {sweep(tmp_path, grid={'training.lr': [0.001, 0.002, -1.0]})} --json"
    )
    found = json.loads(text)
    assert status == 1
    assert (found["runs"], found["done"]) == (3, 2)
    assert "lr" in found["failed"]["lr=-1.0"]
    assert (first / "metrics.jsonl").stat().st_mtime_ns == before
    assert (out / "lr=0.002" / "config.yaml").is_file()
    assert (out / "report.html").read_text().count("<polyline") == 2
    status, _, told = invoke(f"sweep {sweep(tmp_path, data='moving-fashion')}")
    assert (status, "another system" in told) == (2, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grid": {}}, "mappings"),
        ({"grid": {"training.lr": 0.1}}, "list of different"),
        ({"grid": {"training.lr": [0.1, 0.1]}}, "list of different"),
        ({"steps": 3}, "unknown key 'steps'"),
    ],
)
def test_a_wrong_sweep_is_one_sentence(tmp_path, changes, words):
    status, _, told = invoke(f"sweep {sweep(tmp_path, **changes)}")
    assert (status, told.count("\n"), words in told) == (2, 1, True), told
    assert not (tmp_path / "swept").exists()
