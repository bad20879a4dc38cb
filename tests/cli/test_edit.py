"""``unfog edit`` on a run of 8 x 8 digits: what comes back, what stays, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.commands import invoke

from unfog.errors import InputError
from unfog.files.output import write_image
from unfog.runs.edit import stated_conditions
from unfog.runs.run import Run


@pytest.fixture
def place(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the run, a digit of 16 levels as a picture and as numbers, and a
    mask.
    """
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(run)
    x = np.random.default_rng(0).integers(0, 17, (2, 1, 8, 8)).astype(np.float32)
    np.save("two.npy", x)
    write_image("one.png", (x[0, 0] * 15).astype(np.uint8))
    mask = np.zeros((8, 8))
    mask[:, 4:] = 1
    np.save("right.npy", mask)
    np.save("none.npy", 0 * mask)
    np.save("small.npy", mask[:4])
    return tmp_path


def edit(line: str) -> dict[str, Any]:
    status, out, err = invoke(f"edit run {line} --out out --json")
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.parametrize("method", ["sdedit", "inversion"])
def test_without_strength_the_file_comes_back(place: Path, method: str) -> None:
    found = edit(f"one.png --method {method} --strength 0 --steps 4")
    assert found["files"] == [f"edit-{k:02d}.png" for k in range(4 if method == "sdedit" else 1)]
    for name in found["files"]:
        np.testing.assert_array_equal(
            np.asarray(Image.open(f"out/{name}")), np.asarray(Image.open("one.png"))
        )


def test_an_edit_changes_what_it_may(place: Path) -> None:
    edit(
        "two.npy --method sdedit --strength 0.5 --steps 6 --mask right.npy --to label=3 "
        "--guidance 1 -n 2"
    )
    x, one, two = (np.load(name) for name in ("two.npy", "out/edit-00.npy", "out/edit-01.npy"))
    assert one.shape == x.shape
    np.testing.assert_allclose(one[..., :4], x[..., :4], atol=1e-4)
    assert float(np.abs(one - x)[..., 4:].mean()) > 0.1
    assert float(np.abs(one - two)[..., 4:].mean()) > 0.1
    summary = json.loads(Path("out/summary.json").read_text())
    assert (summary["to"], summary["method"], summary["strength"]) == (["label=3"], "sdedit", 0.5)


def test_an_inversion_under_one_label_gives_the_input_back(place: Path) -> None:
    edit(
        "two.npy --method inversion --strength 0.6 --steps 12 --iterations 12 --from label=3 "
        "--to label=3"
    )
    np.testing.assert_allclose(np.load("out/edit-00.npy"), np.load("two.npy"), atol=0.05)  # of 16


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nothing.png --method sdedit", "nothing.png"),
        ("one.png --method sdedit --strength 1.5", "share from 0 to 1"),
        ("one.png --method sdedit --from label=3", "--from"),
        (
            "one.png --method sdedit --to colour=3",
            "no class, vector, property or text called 'colour'",
        ),
        ("one.png --method sdedit --to label=10", "class from 0 to 9"),
        ("one.png --method sdedit --to label=1.5", "class from 0 to 9"),
        ("one.png --method sdedit --to label=three", "label=NUMBER"),
        ("one.png --method sdedit --guidance 2", "--to"),
        ("one.png --method sdedit --mask none.npy", "0 everywhere"),
        ("one.png --method sdedit --mask small.npy", "on the input's grid"),
        ("one.png --method sdedit --sampler hun", "did you mean 'heun'?"),
        ("one.png --method inversion --mask right.npy", "leave --mask and --sampler out"),
        ("one.png --method inversion --sampler heun", "leave --mask and --sampler out"),
    ],
)
def test_refused_in_one_sentence(place: Path, line: str, words: str) -> None:
    status, out, err = invoke(f"edit run {line} --out new")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("unfog: ")
    assert words in err
    assert not Path("new").exists()


def test_seamless_samples_are_others(place: Path) -> None:
    for name, option in (("plain", ""), ("seamless", " --seamless")):
        status, _, err = invoke(f"sample run -n 2 --steps 3 --out {name}{option}")
        assert status == 0, err
    plain, seamless = (np.load(f"{name}/samples.npy") for name in ("plain", "seamless"))
    assert plain.shape == seamless.shape
    assert not np.allclose(plain, seamless)
    assert json.loads(Path("seamless/summary.json").read_text())["seamless"] is True


def test_a_vector_is_told_by_its_numbers() -> None:
    run = Run(
        Path("run"),
        {"conditions": {"field": {"name": "vector", "size": 2}}},
        None,
        None,
        (1, 8, 8),
        {},
    )  # type: ignore[arg-type]
    assert stated_conditions(run, ["field=0.5,-2"])["field"].tolist() == [[0.5, -2.0]]
    with pytest.raises(InputError, match="vector of 2 numbers, not 3"):
        stated_conditions(run, ["field=1,2,3"])


@pytest.fixture
def filler(place: Path) -> Path:
    """A run that was trained to fill holes, long enough for its conditions to count."""
    settings = "--set conditions.hole.name=inpainting --set network.channels=8"
    more = "--set network.groups=4 --set training.batch=4 --set training.precision=fp32"
    rate = "--set training.lr=1e-2 --set training.warmup=1 --set training.ema=0.5"
    line = f"train edm --data digits --out filler --steps 30 {settings} {more} {rate}"
    status, _, err = invoke(line)
    assert status == 0, err
    return place


def test_inpainting_keeps_what_is_known_to_the_last_digit(filler: Path) -> None:
    for name, fill in (("one.png", 200), ("two.npy", 7)):
        out = f"out-{name[:3]}"
        line = f"edit filler {name} --method inpaint --mask right.npy -n 3 --steps 3 --out {out}"
        status, _, err = invoke(f"{line} --to label=3 --guidance 2")
        assert status == 0, err
        x = _numbers(Path(name))
        drawn = [_numbers(Path(f"{out}/edit-{k:02d}{name[3:]}")) for k in range(3)]
        for one in drawn:
            np.testing.assert_array_equal(one[..., :4], x[..., :4])
        assert not np.array_equal(drawn[0], drawn[1])
        # What is in the hole does not count.
        spoiled = x.copy()
        spoiled[..., 4:] = fill
        _write(Path(f"spoiled{name[3:]}"), spoiled)
        again = line.replace(name, f"spoiled{name[3:]}").replace(out, f"{out}-again")
        status, _, err = invoke(f"{again} --to label=3 --guidance 2")
        assert status == 0, err
        same = _numbers(Path(f"{out}-again/edit-00{name[3:]}"))
        np.testing.assert_allclose(same[..., 4:], drawn[0][..., 4:], atol=1e-4)
        # What is around it does.
        moved = x.copy()
        moved[..., :4] = x[..., :4].max() - x[..., :4]
        _write(Path(f"moved{name[3:]}"), moved)
        other = line.replace(name, f"moved{name[3:]}").replace(out, f"{out}-moved")
        status, _, err = invoke(f"{other} --to label=3 --guidance 2")
        assert status == 0, err
        found = _numbers(Path(f"{out}-moved/edit-00{name[3:]}"))
        assert not np.allclose(found[..., 4:], drawn[0][..., 4:], atol=1e-3)


def _numbers(path: Path) -> Any:
    return np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path)).astype(float)


def _write(path: Path, x: Any) -> None:
    if path.suffix == ".npy":
        np.save(path, x)
    else:
        write_image(path, x.astype(np.uint8))


def test_inpainting_is_refused_in_one_sentence(filler: Path) -> None:
    for line, words in (
        (
            "edit run one.png --mask right.npy",
            "was not trained to fill holes; take --method sdedit",
        ),
        ("edit filler one.png", "give --mask"),
        ("edit filler one.png --mask small.npy", "on the input's grid"),
        ("edit filler one.png --mask none.npy", "0 everywhere"),
        ("edit filler one.png --mask right.npy --from label=3", "leave --from out"),
    ):
        status, out, err = invoke(f"{line} --method inpaint --out new")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert words in err
        assert not Path("new").exists()


def test_a_restoration_is_told_what_it_shows(filler: Path) -> None:
    def restored(out: str, more: str = "") -> Any:
        line = "restore filler two.npy --task inpaint --mask right.npy --noise 0.1 --steps 3"
        status, _, err = invoke(f"{line} --samples 2 --method ddnm --out {out} {more}")
        assert status == 0, err
        return np.load(f"{out}/mean.npy")

    plain, three, seven = (
        restored("a"),
        restored("b", "--to label=3"),
        restored("c", "--to label=7"),
    )
    pushed = restored("d", "--to label=3 --guidance 4")
    for other in (plain, seven, pushed):
        assert not np.allclose(three, other, atol=1e-4)
    summary = json.loads(Path("d/summary.json").read_text())
    assert (summary["to"], summary["guidance"]) == (["label=3"], 4.0)
    np.testing.assert_array_equal(restored("e", "--to label=3 --guidance 1"), three)
    for line, words in (
        ("--task inpaint --mask right.npy --guidance 2", "give --to too"),
        ("--task inpaint --mask right.npy --to label=12", "class from 0 to 9"),
        ("--task denoise --to label=3", "leave --to out"),
    ):
        status, _, err = invoke(f"restore filler two.npy {line} --out new")
        assert status == 2
        assert words in err
        assert not Path("new").exists()
