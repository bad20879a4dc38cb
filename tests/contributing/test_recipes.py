"""The six "add a ..." recipes of CONTRIBUTING.md, run as they are written there: each is one new
file and one line, and then every command knows the new part.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.commands import invoke
from support.priors import mixture

import unfog.builtin
from unfog.core.process import VPLinear
from unfog.core.registry import Registry
from unfog.data.dataset import datasets
from unfog.files import formats as formats_module
from unfog.physics.operators import Mask
from unfog.posterior.methods import methods, posterior_denoiser
from unfog.sampling.grids import grids
from unfog.sampling.loop import sample
from unfog.sampling.samplers import samplers
from unfog.systems import registry as systems_registry
from unfog.workflows import tasks as tasks_module

TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
SMALL = "--set network.channels=8 --set network.groups=4 --set training.batch=4 --steps 2 --out new"


NEW: list[str] = []  # modules that a recipe added


def blocks(part: str) -> tuple[str, str, str]:
    """The new file's module, its code, and the line, of the recipe for a part."""
    section = re.search(rf"^## Add a {part}\n(.*?)(?=^## )", TEXT, re.M | re.S)
    assert section is not None
    file, line = re.findall(r"```python\n(.*?)```", section[1], re.S)
    path = re.match(r"# src/(\S+)\.py\n", file)
    assert path is not None
    return path[1].replace("/", "."), file, line.splitlines()[1]


def added(part: str) -> tuple[types.ModuleType, str]:
    """The new file as the module it would be, and the line."""
    name, code, line = blocks(part)
    parent, _, leaf = name.rpartition(".")
    if parent not in sys.modules:
        try:
            importlib.import_module(parent)
        except ImportError:  # a modality brings its folder
            sys.modules[parent] = types.ModuleType(parent)
            NEW.append(parent)
            setattr(unfog, parent.removeprefix("unfog."), sys.modules[parent])
    module = types.ModuleType(name)
    sys.modules[name] = module
    NEW.append(name)
    setattr(sys.modules[parent], leaf, module)
    exec(compile(code, name, "exec"), module.__dict__)
    return module, line


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Every table and module as it was, after a part was added."""
    tables: list[dict[str, Any]] = [
        tasks_module.TASKS,
        systems_registry._systems,
        *(registry._entries for registry in registries()),
    ]
    before, listed = [dict(table) for table in tables], list(formats_module.formats)
    yield
    for name in NEW:
        sys.modules.pop(name, None)
    NEW.clear()
    for table, was in zip(tables, before, strict=True):
        for name in set(table) - set(was):
            del table[name]
    formats_module.formats[:] = listed


def registries() -> list[Registry[Any]]:
    return [samplers, methods, datasets]


def trained(folder: Path, line: str) -> Path:
    status, out, err = invoke(f"train {line} {SMALL}".replace("new", str(folder / "new")))
    assert status == 0, err + out
    return folder / "new"


def test_each_recipe_is_short() -> None:
    for part in ("task", "file format", "sampler", "posterior method", "system", "modality"):
        _, code, _ = blocks(part)
        assert len(code.splitlines()) <= 25, part


def test_a_task(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, line = added("task")
    task = eval(line, tasks_module.__dict__)
    tasks_module.TASKS[task.name] = task
    assert "motion" in tasks_module.calibrated_tasks()
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 17, (2, 1, 8, 8)).astype(np.float32)
    np.save("y.npy", (x + np.roll(x, 1, -1) + np.roll(x, 2, -1)) / 3)
    status, out, err = invoke(
        f"restore {run} y.npy --task motion --noise .2 --samples 2 --steps 12 --out out --json"
    )
    assert status == 0, err
    assert json.loads(out)["data consistency"] < 3  # the draws explain what was measured
    assert np.load("out/mean.npy").shape == (2, 1, 8, 8)
    status, _, err = invoke(f"restore {run} y.npy --task motions --out other")
    assert (status, "'motion'" in err) == (2, True)


def test_a_file_format(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, line = added("file format")
    formats_module.formats.insert(0, eval(line, module.__dict__))
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).integers(0, 17, (8, 8)).astype(np.float32)
    np.savetxt("x.csv", x, delimiter=",")
    status, out, err = invoke("inspect x.csv --json")
    assert (status, json.loads(out)["shape"]) == (0, [1, 1, 8, 8]), err
    status, _, err = invoke(
        f"restore {run} x.csv --task denoise --noise .01 --samples 2 --steps 3 --out out"
    )
    assert status == 0, err
    assert np.abs(np.load("out/mean.npy") - x).max() < 0.5  # little noise leaves what was read
    status, _, err = invoke(f"sample {run} -n 2 --steps 2 --out samples")
    assert status == 0, err
    table = np.loadtxt("samples/sample-0001.csv", delimiter=",")
    assert np.allclose(table, np.load("samples/samples.npy")[1, 0], rtol=1e-6)


def test_a_sampler() -> None:
    module, line = added("sampler")
    exec(line, {**module.__dict__, "samplers": samplers})
    process = VPLinear()
    oracle = mixture(process)
    noise = torch.randn(64, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ends = {}
    for steps in (20, 40, 320):
        # From 1 to 0.1, where the flow is smooth and the order shows.
        times = grids.build("uniform")(process, steps)[: -steps // 10]
        quiet = torch.Generator()
        ends[steps] = sample(oracle, noise, times, samplers.build("midpoint"), randomness=quiet)
    grid_end = {n: ends[n] for n in (20, 40)}
    first, second = (float((grid_end[n] - ends[320]).norm(dim=1).median()) for n in (20, 40))
    assert second < 0.35 * first  # order 2 quarters the error


def test_a_posterior_method() -> None:
    module, line = added("posterior method")
    exec(line, {**module.__dict__, "methods": methods})
    process = VPLinear()
    oracle = mixture(process)
    seen, y = Mask(torch.tensor([True, False])), torch.tensor([[0.7, 0.0]], dtype=torch.float64)
    given = posterior_denoiser(oracle, seen, y.expand(32, 2), 0.1, "replacement")
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(32, 2, dtype=torch.float64, generator=generator)
    times = grids.build("uniform")(process, 30)
    x = sample(given, noise, times, samplers.build("ddim"), randomness=generator)
    assert torch.allclose(x[:, 0], torch.tensor(0.7, dtype=torch.float64), atol=1e-9)
    assert float(x[:, 1].std()) > 0.1  # the prior draws the rest


def test_a_system(tmp_path: Path) -> None:
    _, line = added("system")
    exec(line, {})
    folder = trained(tmp_path, "cosine-v --data digits")
    status, out, err = invoke(f"sample {folder} -n 2 --steps 3 --out {tmp_path / 'x'} --json")
    assert (status, json.loads(out)["sampler"]) == (0, "ddim"), err
    status, out, _ = invoke("systems --json")
    assert "Salimans" in json.loads(out)["cosine-v"]


def test_a_modality(tmp_path: Path) -> None:
    _, line = added("modality")
    exec(line, {})
    folder = trained(tmp_path, "triangle-edm --data triangles")
    status, _, err = invoke(f"sample {folder} -n 3 --steps 4 --out {tmp_path / 'x'}")
    assert status == 0, err
    points = np.load(tmp_path / "x" / "samples.npy")
    assert points.shape == (3, 3, 4)
    scale = np.abs(points).max()
    assert np.abs(points.mean(2)).max() < 1e-5 * scale
    # Without the space that the data set asks for, the centre goes astray.
    config = folder / "config.yaml"
    config.write_text(config.read_text().replace("zero-centre", "plain"))
    status, out, err = invoke(f"verify {folder} --accept")
    assert (status, "zero-centre" in out) == (0, True), err
    status, _, err = invoke(f"sample {folder} -n 3 --steps 4 --out {tmp_path / 'plain'}")
    assert status == 0, err
    astray = np.load(tmp_path / "plain" / "samples.npy")
    assert np.abs(astray.mean(2)).max() > 1e-2 * np.abs(astray).max()
