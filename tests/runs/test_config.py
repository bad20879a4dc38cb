"""Configs: overrides by dotted key, and files that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from unfog.errors import InputError
from unfog.files import yaml
from unfog.runs.config import apply_overrides, load_config, save_config

CONFIG = {
    "system": "ddpm",
    "process": {"name": "ddpm-linear"},
    "training": {"steps": 100, "lr": 2e-4, "betas": [0.9, 0.999], "decay": "cosine"},
    "network": {"name": "unet"},
    "objective": {"times": {"name": "uniform", "steps": 1000}},
    "sampling": {"sampler": "ddim", "steps": 50, "grid": "trailing"},
}


def test_overrides_are_typed_and_leave_the_original_alone() -> None:
    new = apply_overrides(
        CONFIG, ["training.lr=2e-3", "training.steps=1e4", "training.betas=[0.5, 0.9]"]
    )
    assert new["training"] == {"steps": 10_000, "lr": 2e-3, "betas": [0.5, 0.9], "decay": "cosine"}
    assert isinstance(new["training"]["steps"], int)
    assert CONFIG["training"]["lr"] == 2e-4


def test_a_parameter_the_config_does_not_mention_can_be_set() -> None:
    assert apply_overrides(CONFIG, ["process.steps=500"])["process"] == {
        "name": "ddpm-linear",
        "steps": 500,
    }


def test_every_setting_of_training_can_be_set() -> None:
    assert (
        apply_overrides(CONFIG, ["training.log_every=5", "training.clip=null"])["training"]["clip"]
        is None
    )


def test_a_new_name_starts_its_section_afresh_whatever_the_order() -> None:
    assert apply_overrides(CONFIG, ["process.s=0.01", "process.name=vp-cosine"])["process"] == {
        "name": "vp-cosine",
        "s": 0.01,
    }


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("training.stepz=1", "did you mean 'training.steps'?"),
        ("lr=1", "training.lr"),
        ("system=edm", "Unknown setting 'system'"),
        ("process.name=ddpm-liner", "did you mean 'ddpm-linear'?"),
        ("process.s=1", "process.steps"),
        ("training.steps=1.5", "takes a value like 100"),
        ("training.steps=.nan", "takes a value like 100"),
        ("training.steps=true", "takes a value like 100"),
        ("training.lr=fast", "takes a value like 0.0002"),
        ("sampling.sampler=ddimm", "did you mean 'ddim'?"),
        ("sampling.grid=trail", "did you mean 'trailing'?"),
        ("objective.times.stepz=1", "did you mean 'objective.times.steps'?"),
        ("network.in_channels=3", "did you mean 'network.channels'?"),
        ("training.lr", "key=value"),
        ("training.lr=[", "not valid YAML"),
        ("training.lr=!!python/object/apply:os.getcwd []", "not valid YAML"),
    ],
)
def test_a_bad_override_is_one_sentence(pair: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        apply_overrides(CONFIG, [pair])
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_config_survives_the_file(tmp_path: Path) -> None:
    save_config(CONFIG, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == CONFIG


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x [1]\nb: *x", "aliases"),
        ("training: {a: 1, a: 2}", "twice"),
        ("- a list", "mapping of sections"),
        ("trainning: {}", "did you mean 'training'?"),
        ("a: [", "not valid YAML"),
        ("[" * 5000, "not valid YAML"),
        ("system: " + "x" * 1_000_001, "larger"),
        (b"\xff\xfe\x00", "cannot be read as text"),
    ],
)
def test_a_bad_file_is_named_in_one_sentence(tmp_path: Path, text: str | bytes, words: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        load_config(path)
    assert words in str(error.value)
    assert "config.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_plain_numbers(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_config(tmp_path / "none.yaml")
    assert yaml.parse("[2e-4, 1E+3, 12, 1.5, 1e]", "a test") == [2e-4, 1e3, 12, 1.5, "1e"]
