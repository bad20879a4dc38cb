"""``unfog sample`` and ``unfog edit`` of garments: what is asked for, what stays and what is
refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fashion.conftest import shirts
from PIL import Image
from support.commands import invoke

from unfog.errors import InputError
from unfog.fashion.attributes import attributes_of
from unfog.fashion.garments import Garments, garments
from unfog.files.output import write_image
from unfog.physics.swatch import SwatchStatistics
from unfog.runs.properties import asked_properties
from unfog.runs.run import Run
from unfog.runs.sample import Plan
from unfog.runs.swatch import transfer


@pytest.fixture
def place(tmp_path: Path, garment_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the run, two garments, a hole, a sketch and swatches."""
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(garment_run)
    for name, picture in zip(("one", "two"), shirts()[:2, 0], strict=True):
        write_image(f"{name}.png", picture)
    hole = np.zeros((16, 16), np.uint8)
    hole[4:9, 6:10] = 255
    write_image("hole.png", hole)
    lines = np.zeros((16, 16), np.uint8)
    lines[2, 3:13] = lines[2:14, 4] = 255
    write_image("lines.png", lines)
    write_image("black-on-white.png", 255 - lines)
    write_image("blank.png", np.zeros((16, 16), np.uint8))
    noise = np.random.default_rng(1).integers(0, 256, (40, 40)).astype(np.uint8)
    write_image("swatch.png", noise)
    write_image("scrap.png", noise[:10, :10])
    return tmp_path


def done(line: str) -> dict[str, Any]:
    status, out, err = invoke(f"{line} --out out --json")
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def pictures(*names: str) -> list[np.ndarray]:
    return [np.asarray(Image.open(name)).astype(int) for name in names]


def test_a_wish_is_one_of_numbers_in_their_units(garment_run: Path) -> None:
    run = Run.open(garment_run)
    mean, deviation, low, high = run.config["sampling"]["properties"]["width"]
    told = asked_properties(run, f"width={mean + deviation / 2}")
    assert told["property"].tolist() == [[0.0, pytest.approx(0.5), 0.0, 0.0, 0.0]]
    assert told["property_mask"].tolist() == [[False, True, False, False, False]]
    with pytest.raises(InputError, match=f"width was {low:.3g} to {high:.3g}"):
        asked_properties(run, "width=1.5")
    with pytest.raises(InputError, match="width"):
        asked_properties(run, "widht=0.5")


def test_what_is_asked_for_moves_the_draw(place: Path) -> None:
    """Even of an untrained network, whose embeddings are random."""
    low, high = Run.open("run").config["sampling"]["properties"]["brightness"][2:]
    names = [f"brightness={value:.4f}" for value in (low + 0.01, high - 0.01)]
    drawn = []
    for k, name in enumerate(names):
        line = f"sample run -n 1 --steps 3 --property {name} --guidance 2 --out out{k} --json"
        status, out, err = invoke(line)
        assert status == 0, err
        assert json.loads(out)["property"] == name
        drawn.append(np.load(f"out{k}/samples.npy"))
    assert not np.allclose(*drawn)


def test_the_best_of_several_draws_is_the_nearest_and_the_first_is_among_them(place: Path) -> None:
    asked = "width=.5"
    for n in (1, 4):
        line = f"sample run -n 3 --steps 3 --property {asked} --best {n} --out out{n} --json"
        status, out, err = invoke(line)
        assert status == 0, err
        assert json.loads(out).get("best of", 1) == n
    one, four = (np.load(f"out{n}/samples.npy") for n in (1, 4))
    # The draws that were compared are samples 0 to 11.
    status, _, err = invoke(f"sample run -n 12 --steps 3 --property {asked} --out all")
    assert status == 0, err
    every = np.load("all/samples.npy").reshape(4, 3, 1, 16, 16)
    widths = attributes_of(torch.from_numpy(every.reshape(12, 1, 16, 16) / 255).clamp(0, 1))[:, 1]
    nearest = (widths.reshape(4, 3) - 0.5).abs().argmin(0)
    assert np.allclose(one, every[0], atol=1e-2)
    assert np.allclose(four, every[nearest, np.arange(3)], atol=1e-2)


def test_lines_are_what_there_is_less_of(place: Path) -> None:
    for k, name in enumerate(("lines", "black-on-white")):
        status, _, err = invoke(f"sample run -n 1 --steps 3 --sketch {name}.png --out out{k}")
        assert status == 0, err
    assert np.array_equal(*(np.load(f"out{k}/samples.npy") for k in (0, 1)))


def test_a_redesign_leaves_the_rest(place: Path) -> None:
    done("edit run one.png --method inpaint --mask hole.png --to width=.5 -n 2 --steps 3")
    hole, one, first = pictures("hole.png", "one.png", "out/edit-00.png")
    assert np.array_equal(first[hole == 0], one[hole == 0])


def test_a_texture_goes_where_the_mask_is_and_nowhere_else(place: Path) -> None:
    line = "edit run one.png --method texture --swatch swatch.png --mask hole.png -n 2 --steps 4"
    done(line)
    hole, one, first = pictures("hole.png", "one.png", "out/edit-00.png")
    assert np.array_equal(first[hole == 0], one[hole == 0])
    assert not np.array_equal(first[hole > 0], one[hole > 0])


def test_between_two_garments_are_their_ends(place: Path) -> None:
    """Without strength the arc is that between the pictures themselves."""
    done("edit run one.png --method interpolate --other two.png --strength 0 -n 3 --steps 4")
    one, two, first, last = pictures("one.png", "two.png", "out/edit-00.png", "out/edit-02.png")
    assert np.array_equal(first, one)
    assert np.array_equal(last, two)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sample run --property width=7", "ask for one within"),
        ("sample run --property wide", "NAME=NUMBER"),
        ("sample run --best 3", "give --property"),
        ("sample run --class dress", "without classes"),
        ("sample run --sketch blank.png", "blank"),
        ("sample run --sketch swatch.png", "40 x 40"),
        ("sample run --sketch lines.png --seamless", "does not tile"),
        ("sample run --guidance 2", "something to guide towards"),
        ("edit run one.png --method texture --mask hole.png", "--swatch"),
        ("edit run one.png --method texture --swatch swatch.png", "--mask"),
        ("edit run one.png --method texture --swatch scrap.png --mask hole.png", "10 x 10"),
        ("edit run one.png --method interpolate", "--other"),
        ("edit run one.png --method sdedit --swatch swatch.png", "leave it out"),
        ("edit run one.png --method interpolate --other swatch.png", "size"),
        ("edit run one.png --method sdedit --to brightness=9", "ask for one within"),
    ],
)
def test_bad_input_is_one_sentence(place: Path, line: str, words: str) -> None:
    status, _, err = invoke(f"{line} --out out")
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert words in err
    assert not Path("out").exists()


def test_the_scales_are_those_of_what_it_was_trained_on(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", shirts())
    data = garments(path=str(tmp_path / "x.npy"))
    assert isinstance(data, Garments)
    batch = data.batch(range(len(data)))
    assert torch.allclose(batch["property"].mean(0), torch.zeros(5), atol=1e-4)
    assert data.scales["width"][2] <= float(data.attributes[:, 1].min()) + 1e-6
    assert set(batch) == {"x", "property", "silhouette", "sketch"}
    np.save(tmp_path / "colour.npy", np.zeros((4, 3, 8, 8), np.uint8))
    with pytest.raises(InputError, match="grey"):
        garments(path=str(tmp_path / "colour.npy"))


def test_statistics_come_nearer_by_the_posterior(garment_run: Path) -> None:
    """Against the same noise without the measurement: under a prior that knows nothing."""
    run = Run.open(garment_run)
    x = torch.from_numpy(shirts()[:1].astype(np.float32))
    region = x > 32
    swatch = torch.full((1, 1, 32, 32), 60.0)
    swatch[..., ::2] = 200
    plan = Plan.of(run, steps=6)
    measure, y = SwatchStatistics(region), SwatchStatistics()(run.codec.encode(swatch))

    def gap(editor: Any) -> float:
        drawn = transfer(run, editor, x, swatch, plan, region=region, samples=1)[0]
        return float((measure(run.codec.encode(drawn)) - y).norm())

    from unfog.runs.edit import draw_edits

    plain = draw_edits(
        run.denoiser, run.codec.encode(x), plan, strength=0.7, condition={}, samples=1
    )[0]
    without = float((measure(plain) - y).norm())
    assert gap(run.denoiser) < 0.5 * without
