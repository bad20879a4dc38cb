"""Values of configs out of range, of another type, or larger than memory: refused in one sentence
before anything is built.
"""

from __future__ import annotations

import copy
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from unfog.core.prediction import predictions
from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs.build import build
from unfog.runs.config import load_config
from unfog.runs.folder import export, relist
from unfog.runs.run import Run
from unfog.runs.sections import check_sections
from unfog.runs.train_from_config import objective_of
from unfog.training.settings import TrainSettings

WRONG = [-1, 10**40, float("nan"), "x", [1], {"a": 1}, True, None]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("prediction.sigma_data", 0, "'sigma_data' of prediction 'edm' must be above 0"),
        ("prediction.sigma_data", [0.5, 0.0], "must be above 0"),
        ("prediction.name", ["edm"], "name of a prediction is a text"),
        ("network.channels", 2**30, "'channels' of network 'unet' must be from 1 to 65536"),
        ("network.channels", "many", "must be a whole number, not 'many'"),
        ("network.channels", 64.5, "must be a whole number, not 64.5"),
        ("network.multipliers", [1, 0], "must be from 1 to 1024"),
        ("network.channels", 10**400, "a number of 401 digits"),
        ("network.channels", 65536, "can be had; lower its channels"),
        ("network", 3, "section 'network' of config.yaml must be a table"),
        ("shape", [1, 10**7, 10**7], "asks for 4e+05 GB in shape"),
        ("shape", [], "1 to 5 whole numbers"),
        ("training.batch", "big", "'batch' must be a whole number"),
        ("conditions", {"class": 3}, "condition 'class' of config.yaml must be a table"),
    ],
)
def test_refused_with_the_key_and_the_range(
    run: Path, tmp_path: Path, key: str, value: Any, words: str
) -> None:
    begun = time.perf_counter()
    with pytest.raises(InputError) as error:
        _used(_changed(run, tmp_path, key, value))
    assert words in str(error.value)
    assert time.perf_counter() - begun < 2


def _changed(run: Path, folder: Path, key: str, value: Any) -> Path:
    """A config with one value changed."""
    config: Any = copy.deepcopy(yaml.read(run / "config.yaml"))
    *parents, last = key.split(".")
    section = config
    for name in parents:
        section = section[name]
    section[last] = value
    (folder / "config.yaml").write_text(yaml.dump(config))
    return folder / "config.yaml"


def _used(path: Path) -> None:
    """Build all that a config describes."""
    config = load_config(path)
    check_sections(config, path)
    build(config)
    TrainSettings.of(config["training"])
    objective_of(config)


def test_no_wrong_value_of_any_key_is_a_traceback(run: Path, tmp_path: Path) -> None:
    config = yaml.read(run / "config.yaml")
    keys = [*yaml.flat(config), *config]
    accepted = 0
    for key in keys:
        for value in WRONG[len(key) % 4 :: 4]:
            with suppress(InputError):  # anything else fails here
                _used(_changed(run, tmp_path, key, value))
                accepted += 1
    assert accepted < len(keys)


def test_a_network_much_larger_than_its_weights_is_refused_before_it_is_built(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = export(run, tmp_path / "exported")
    config = yaml.read(place / "config.yaml")
    config["network"]["channels"] = 256
    (place / "config.yaml").write_text(yaml.dump(config))
    relist(place)
    with pytest.raises(InputError, match=r"describes \d+ numbers and the weights hold \d+"):
        Run.open(place)


def test_a_part_out_of_range_is_refused_by_its_registry() -> None:
    with pytest.raises(InputError, match="must be above 0"):
        predictions.build({"name": "edm", "sigma_data": -1.0})
    with pytest.raises(InputError, match="a name, or a table"):
        predictions.build(3)  # type: ignore[arg-type]
