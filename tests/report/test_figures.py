"""Standard pictures of arrays: what each pixel is; and what notebooks show of results."""

from __future__ import annotations

import base64
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unfog
from unfog.dmri.denoising.classical import Denoised
from unfog.dmri.denoising.complete import Completed
from unfog.dmri.denoising.held_out import HeldOut
from unfog.dmri.denoising.noise_level import estimate_noise
from unfog.dmri.fibres.fod import Fod
from unfog.dmri.fibres.orientation import Orientation
from unfog.errors import InputError
from unfog.report import figures
from unfog.runs.restore import Restored


class Shown:
    """What a notebook would show, parsed: it must be whole."""

    def __init__(self, result: object) -> None:
        self.html = result._repr_html_()  # type: ignore[attr-defined]
        root = ET.fromstring(_closed(self.html))
        self.facts = {row.find("th").text: row.find("td").text or "" for row in root.iter("tr")}
        self.pictures = {i.get("alt"): _decoded(i.get("src")) for i in root.iter("img")}


def _closed(html: str) -> str:
    """HTML as XML: img is its only element without an end."""
    return "".join(
        part if k == 0 else "<img" + part.replace(">", "/>", 1)
        for k, part in enumerate(html.split("<img"))
    )


def _decoded(source: str) -> np.ndarray:
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_sheet_holds_each_sample_in_its_place() -> None:
    x = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 3, 4) / 4
    sheet = figures.samples(x, 0.0, 1.0).picture
    assert sheet.shape == (2 * 3 + 2, 3 * 4 + 4, 3)
    found = [sheet[r * 5, c * 6, 0] for r in range(2) for c in range(3)]
    assert found == [0, 64, 128, 191, 255, 255]  # the sixth place is empty


def test_planes_of_a_volume_are_upright() -> None:
    volume = np.zeros((4, 6, 8), np.float32)
    volume[1, 5, 2] = 1.0  # to the front, in the first quarter
    planes = figures.planes(volume[None, None])
    assert planes.shape == (3, 1, 6, 4)
    assert np.argwhere(planes).tolist() == [[0, 0, 0, 1]]


def test_a_window_leaves_background_and_stray_values_out() -> None:
    values = np.concatenate([np.zeros(9000), np.linspace(1, 2, 999), [1e6], [np.nan]])
    low, high = figures.window(values)
    assert low == 0
    assert 1.9 < high < 2.1
    assert figures.window(np.zeros(3)) == (0.0, 1.0)
    assert figures.window(-values)[0] < -1.9


def test_directions_are_red_green_and_blue() -> None:
    axis = np.eye(3)[None, :, None].repeat(4, 2)[:, [0, 1, 2]]  # (1, 3, 4, 3): Y is the axis
    picture = figures.directions(axis, np.full((1, 3, 4), 0.5)).picture
    assert picture[:3, 0].tolist() == [[0, 0, 128], [0, 128, 0], [128, 0, 0]]  # upright


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(3, 4\)"):
        figures.samples(np.zeros((3, 4)))
    with pytest.raises(InputError, match="holds none"):
        figures.samples(np.zeros((0, 1, 4, 4)))
    with pytest.raises(InputError, match="2 channels"):
        figures.samples(np.zeros((1, 2, 4, 4)))


def test_a_figure_is_written_as_it_is_shown(tmp_path: Path) -> None:
    figure = figures.samples(noise(4, 3, 8, 8))
    figure.save(tmp_path / "sheet.png")
    kept = np.asarray(Image.open(tmp_path / "sheet.png"))
    factor = kept.shape[0] // figure.picture.shape[0]
    assert factor > 10
    assert (kept[::factor, ::factor] == figure.picture).all()


def test_texts_of_a_fragment_are_escaped() -> None:
    html = figures.fragment("<b>", {"<i>": "<script>"}, {'"x': figures.volume(np.eye(4))}, "<u>")
    for mark in ("<b>", "<i>", "<script>", '"x"', "<u>"):
        assert mark not in html.replace('alt="&quot;x"', "")
    assert len(ET.fromstring(_closed(html)).findall(".//img")) == 1


def restored(seed: int, channels: int = 1, *space: int) -> Restored:
    draws = noise(2, 3, channels, *(space or (12, 10)), seed=seed)
    return Restored(draws.mean(1), draws.std(1), draws)


def denoised(seed: int) -> Denoised:
    scan = noise(6, 5, 8, 4, seed=seed)
    level = estimate_noise(scan, torch.ones(6, 5, 8, dtype=torch.bool))
    signal, sigma = scan.numpy() / 2, scan[..., 0].numpy()
    return Denoised(signal, sigma, sigma / 2, level, scan.numpy(), notes=("Said & done.",))


def completed(seed: int) -> Completed:
    scan = noise(6, 5, 8, 4, seed=seed).numpy()
    return Completed(scan, scan / 9, HeldOut(0.25, 0.5, 0.1, 0.2))


def oriented(seed: int) -> Orientation:
    axis = torch.nn.functional.normalize(noise(6, 5, 8, 3, seed=seed), dim=-1).numpy()
    one = noise(6, 5, 8, seed=seed + 9).numpy()
    nothing = np.zeros((6, 5, 8, 15, 0), np.float32)
    return Orientation(axis, 60 * one, 30 * one, one, one / 9, one, one / 9, nothing, np.ones(3))


def densities(seed: int) -> Fod:
    return Fod(oriented(seed), np.zeros((6, 5, 8, 15, 7), np.float32), np.array([3.0, 2.0, 1.0]))


MAKERS = [restored, denoised, completed, oriented, densities]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_notebook_shows_facts_and_pictures_of_the_data(make) -> None:
    one, other = Shown(make(0)), Shown(make(1))
    assert len(one.facts) > 1
    assert len(one.pictures) > 1
    for name, picture in one.pictures.items():
        assert picture.std() > 5, name  # not of one grey
        assert not np.array_equal(picture, other.pictures[name]), name
    for mark in ("<script", "http", "file:", "href"):
        assert mark not in one.html
    assert Shown(make(0)).html == one.html


def test_what_is_said_is_what_the_data_say() -> None:
    found = restored(3)
    facts = Shown(found).facts
    assert facts["images"] == "2"
    assert facts["draws"] == "3"
    assert float(facts["standard deviation, largest"]) == pytest.approx(
        float(found.std.max()), rel=1e-3
    )
    assert Shown(completed(0)).facts["that of ridge regression"] == "0.5"
    assert "Said &amp; done." in denoised(0)._repr_html_()
    assert Shown(densities(0)).facts["draws of the density"] == "7"


def test_volumes_and_colours_are_shown_and_vectors_said() -> None:
    assert len(Shown(restored(0, 3)).pictures) == 3
    assert len(Shown(restored(0, 1, 8, 8, 8)).pictures) == 3
    sounds = Shown(restored(0, 1, 64))
    assert sounds.pictures == {}
    assert sounds.facts["each"] == "1 x 64 (channels, space)"


def test_a_run_shows_quick_samples_and_no_path() -> None:
    run = unfog.load("fashion")
    shown = Shown(run)
    assert shown.facts["a sample"] == "1 x 28 x 28 (channels, space)"
    assert int(shown.facts["parameters"].replace(",", "")) == sum(
        p.numel() for p in run.denoiser.parameters()
    )
    assert shown.pictures["samples"].std() > 20
    assert str(run.path.parent) not in shown.html


def test_a_run_of_other_data_shows_its_facts_alone() -> None:
    assert Shown(unfog.load("dmri")).pictures == {}
