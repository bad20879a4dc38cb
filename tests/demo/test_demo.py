"""The whole demo on its smallest settings, and the care it takes of what lies in its way."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from unfog.data.builtin.packages import is_fetched
from unfog.demo.main import FULL, MADE_BY, PRIOR, affordable, run_demo
from unfog.demo.tasks import Inpaint, Slab, Superres
from unfog.demo.terminal import Show
from unfog.errors import InputError
from unfog.runs.folder import priors
from unfog.runs.run import Run
from unfog.runs.sample import Plan

needs_data = pytest.mark.skipif(
    not is_fetched("nilearn"), reason="mni-t1 is not fetched: unfog data fetch mni-t1"
)


def test_a_folder_of_others_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="another folder"):
        run_demo(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_demo_with_something_added_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(
        json.dumps({"made by": MADE_BY, "files": ["summary.json", "report.html"]})
    )
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="more than an earlier demo"):
        run_demo(tmp_path)


def test_an_earlier_demo_stays_until_another_can_begin(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(
        json.dumps({"made by": MADE_BY, "files": ["summary.json"]})
    )
    with pytest.raises(InputError, match="not a run"):
        run_demo(tmp_path, prior=tmp_path / "nowhere")
    assert (tmp_path / "summary.json").exists()


def test_an_unknown_prior_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        run_demo(tmp_path / "demo", prior=tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_stripes_are_full_width_and_three_eighths() -> None:
    task = Inpaint(96, 80)
    assert task.share == 0.375
    assert bool((task.keep.all(-1) | ~task.keep.any(-1)).all())
    assert bool(task.keep[..., 0, :].all())


@needs_data
def test_the_slab_is_the_held_out_one_and_its_grid_in_place() -> None:
    slab = Slab.of("test", 3)
    assert slab.heights == [6, 9, 12]
    world = slab.grid.affine @ [0, 0, 2, 1]
    assert world[2] == slab.heights[2]
    coarse = Superres().grid(slab.grid)
    corner = np.array([-0.5, -0.5, 0, 1])  # the outer corner of the field of view is the same
    assert np.allclose(coarse.affine @ corner, slab.grid.affine @ corner)


@needs_data
@pytest.mark.parametrize(("seconds", "expected"), [(0.0, 8), (1e6, 24)])
def test_a_task_draws_what_its_seconds_hold(seconds: float, expected: int) -> None:
    run, slab = Run.open(PRIOR), Slab.of("test", 1)
    task = Inpaint(*slab.x.shape[2:])
    size = replace(FULL, seconds=seconds)
    assert affordable(run, task, slab, size, Plan.of(run, steps=4)) == expected


@pytest.mark.slow
@needs_data
@pytest.mark.skipif(PRIOR not in priors(), reason=f"the prior {PRIOR} is not in this package")
def test_quick_demo(tmp_path: Path) -> None:
    out, stream = tmp_path / "demo", io.StringIO()
    run_demo(out, quick=True, show=Show(Console(file=stream)))
    summary = json.loads((out / "summary.json").read_text())
    there = {str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()}
    assert there == set(summary["files"])
    assert set(summary["tasks"]) == {"denoise", "inpaint", "superres"}
    for task in summary["tasks"].values():
        assert task["gain"] > 0
        assert 0.75 <= task["interval coverage"] <= 0.99
    _check_report((out / "report.html").read_text("utf-8"), summary, tmp_path)
    with Image.open(out / "figure.png") as figure:
        figure.load()
        assert figure.width > 1000
    fine, coarse = (nib.load(out / "superres" / f"{name}.nii.gz") for name in ("mean", "measured"))
    assert np.allclose(fine.affine, nib.load(out / "inpaint" / "std.nii.gz").affine)
    assert coarse.shape[0] * 4 == fine.shape[0]
    assert "training a small model" in stream.getvalue()


def _check_report(html: str, summary: dict[str, object], folder: Path) -> None:
    assert (
        "http:" not in html
    )  # the colon, for four letters come up in a picture's base64 by chance
    assert "https:" not in html
    assert str(folder) not in html
    assert str(folder) not in json.dumps(summary)
    assert "one average brain" in str(summary["data"])
    assert "held out of all training" in html
