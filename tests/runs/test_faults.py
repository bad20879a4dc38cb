"""Files of a run that were flipped, cut or edited: each is refused in one sentence, or means what
it meant.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.errors import InputError
from unfog.files.sealed import write_sealed
from unfog.runs.calibrate import COEFFICIENTS, load_solver, save_solver
from unfog.runs.folder import export, load_weights, relist, run_card, run_config, write_run
from unfog.runs.run import Run
from unfog.runs.uncertainty import interval_scale, interval_scales
from unfog.runs.verify import verify
from unfog.sampling.calibration.solver import LinearSolver

SCALES = {"interval_scale": {"denoise": 1.25}}
LEARNED = {"task": "denoise", "scale": 1.1, "by": [[0.1, 1.2], [0.3, 0.9]]}


@pytest.fixture(scope="module")
def trained(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run with a solver and a factor."""
    place = shutil.copytree(run, tmp_path_factory.mktemp("faults") / "trained")
    return _furnished(place)


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same exported, with a card."""
    place = export(run, tmp_path_factory.mktemp("faults") / "exported")
    (place / "card.json").write_text(json.dumps(SCALES))
    relist(place)
    return _furnished(place)


def _furnished(place: Path) -> Path:
    opened = Run.open(place)
    times = torch.tensor([1.0, 0.4, 0.0]).double()
    mean = torch.zeros(opened.shape)
    weights, shares = torch.eye(2).double(), torch.tensor([0.5, 0.1]).double()
    save_solver(opened, LinearSolver(times, weights, shares, mean), {}, True)
    (place / "uncertainty").mkdir()
    record = {**LEARNED, "weights_sha256": opened.weights_sha256}
    write_sealed(place / "uncertainty" / "denoise.json", record)
    return place


def damaged(content: bytes, seed: int) -> Iterator[bytes]:
    """60 flipped bits and 20 cuts."""
    draw = random.Random(seed)
    for _ in range(60):
        place = draw.randrange(len(content))
        flipped = content[place] ^ 1 << draw.randrange(8)
        yield content[:place] + bytes([flipped]) + content[place + 1 :]
    for _ in range(20):
        yield content[: draw.randrange(len(content))]


def _solver(opened: Run) -> Any:
    solver = load_solver(opened, 1)
    assert solver.mean is not None
    return [getattr(solver, name).tolist() for name in COEFFICIENTS], solver.mean.tolist()


def _factors(opened: Run) -> Any:
    return interval_scale(opened, "denoise"), interval_scales(opened, "denoise")


CASES: dict[str, tuple[str, Callable[[Path, Run], Any]]] = {
    "config.yaml": ("both", lambda path, opened: run_config(path)),
    "recorded.json": ("trained", lambda path, opened: run_config(path)),
    "manifest.json": ("exported", lambda path, opened: (run_config(path), run_card(path))),
    "card.json": ("exported", lambda path, opened: run_card(path)),
    "solvers/calls-0001.json": ("both", lambda path, opened: _solver(opened)),
    "solvers/calls-0001.safetensors": ("both", lambda path, opened: _solver(opened)),
    "uncertainty/denoise.json": ("both", lambda path, opened: _factors(opened)),
}
WHERE = [
    (name, where)
    for name, (kind, _) in CASES.items()
    for where in (["trained", "exported"] if kind == "both" else [kind])
]


@pytest.mark.parametrize(("name", "where"), WHERE)
def test_damage_is_refused_or_means_the_same(
    name: str, where: str, request: pytest.FixtureRequest
) -> None:
    place: Path = request.getfixturevalue(where)
    file, read = place / name, CASES[name][1]
    opened, content = Run.open(place), file.read_bytes()
    wanted, refused = read(place, opened), []
    try:
        for seed, bad in enumerate(damaged(content, 1)):
            file.write_bytes(bad)
            try:
                assert read(place, opened) == wanted, seed
            except InputError as error:
                refused.append(str(error))
    finally:
        file.write_bytes(content)
    assert len(refused) >= 60
    assert not [said for said in refused if "\n" in said]
    assert verify(place)["sound"]


def invoke(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [*map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, " ".join(result.output.split())


def test_an_edited_config_is_named_by_its_key_and_can_be_adopted(
    trained: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    config = copy / "config.yaml"
    text = config.read_text()
    config.write_text(f"# a comment\n{text}")  # the same meaning
    assert Run.open(copy).config == Run.open(trained).config
    seed = run_config(copy)["training"]["seed"]
    changed = run_config(copy)
    changed["training"]["seed"] = seed + 1
    config.write_text(json.dumps(changed))
    phrase = f"training.seed: {seed} -> {seed + 1}"
    status, told = invoke("sample", copy, "-n", 1, "--steps", 1, "--out", tmp_path / "out")
    assert (status, phrase in told) == (2, True), told
    assert not (tmp_path / "out").exists()
    assert invoke("verify", copy)[0] == 1
    status, told = invoke("verify", copy, "--accept")
    assert (status, phrase in told) == (0, True), told
    assert Run.open(copy).config["training"]["seed"] == seed + 1


def test_a_run_from_before_there_were_records_opens(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "recorded.json").unlink()
    assert Run.open(copy).config == Run.open(trained).config
    assert verify(copy)["files"]["config.yaml"] == "not recorded"


@pytest.mark.parametrize("name", ["../elsewhere", "/etc/hostname", "notes.txt"])
def test_a_manifest_lists_what_belongs_to_the_run(
    exported: Path, tmp_path: Path, name: str
) -> None:
    copy = shutil.copytree(exported, tmp_path / "copy")
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, name: "0" * 64}))
    with pytest.raises(InputError, match="does not belong to a run"):
        Run.open(copy)
    for wrong in ({}, {"config.yaml": manifest["config.yaml"]}):
        (copy / "manifest.json").write_text(json.dumps(wrong))
        with pytest.raises(InputError, match=r"does not list weights\.safetensors"):
            Run.open(copy)


@pytest.mark.parametrize("factor", [math.nan, math.inf, -0.1, True, "1", None])
def test_a_factor_is_a_number_from_0_up(exported: Path, tmp_path: Path, factor: Any) -> None:
    copy = shutil.copytree(exported, tmp_path / "copy")
    file = copy / "uncertainty" / "denoise.json"
    record = {**json.loads(file.read_text()), "scale": factor}
    write_sealed(file, record, overwrite=True)
    with pytest.raises(InputError, match=r"must be 0 or more|is no number"):
        interval_scale(Run.open(copy), "denoise")
    file.unlink()
    (copy / "card.json").write_text(json.dumps({"interval_scale": {"denoise": factor}}))
    relist(copy)
    with pytest.raises(InputError, match=r"must be 0 or more|is no number"):
        interval_scale(Run.open(copy), "denoise")


def test_weights_are_checked_against_the_network(exported: Path, tmp_path: Path) -> None:
    weights, config = load_weights(exported), run_config(exported)
    name = next(key for key, value in weights.items() if value.is_floating_point())
    value = weights[name]
    less = {key: v for key, v in weights.items() if key != name}
    for change, word in (
        ({name: value.round().int()}, "is int32, not float32"),
        ({name: value / 0}, "not finite"),
        ({name: value[:-1]}, "has the shape"),
        ({}, "is missing"),
        ({name: value, "other": value}, "'other' is not in the network"),
    ):
        write_run(tmp_path / "bad", {**less, **change}, config)
        with pytest.raises(InputError, match=word):
            Run.open(tmp_path / "bad")
    write_run(tmp_path / "half", {**less, name: value.half()}, config)
    assert Run.open(tmp_path / "half").denoiser.state_dict()[name].dtype == value.dtype
