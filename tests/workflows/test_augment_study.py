"""``unfog augment-study``: held to real pictures in the place of synthetic ones, which must help,
and to wrong labels, which must hurt.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy import stats
from support.commands import invoke

from unfog.data.dataset import open_dataset
from unfog.evaluation.classical_augmentation import ClassicalAugmentation
from unfog.evaluation.conformal import student_quantile
from unfog.evaluation.downstream import Classification, Segmentation, dice, learn, scored
from unfog.workflows.augment_arms import Arms, summarised
from unfog.workflows.augment_pool import Labelled, chosen

TINY = "--set network.channels=8 --set network.groups=4"


def bars(count: int, seed: int) -> Labelled:
    """Bright bars in noise, across (1) or down (0), at any place."""
    draw = np.random.default_rng(seed)
    label, place = draw.integers(0, 2, count), draw.integers(2, 14, count)
    x = draw.normal(0.3, 0.25, (count, 1, 16, 16)).astype(np.float32)
    for k in range(count):
        where = (0, slice(place[k], place[k] + 2))
        x[k][where if label[k] else (0, slice(None), where[1])] += 0.5
    return Labelled(torch.from_numpy(x).clamp(0, 1), torch.from_numpy(label))


@pytest.mark.slow
def test_real_pictures_in_the_place_of_synthetic_ones_help_and_wrong_labels_hurt():
    test, arms = bars(300, 99), {}
    study = Arms(Classification(2), test, ClassicalAugmentation(mirror=True, masks=False), 60)
    for seed in range(3):
        few, more = bars(20, seed), bars(160, 100 + seed)
        wrong = Labelled(more.x, 1 - more.target)
        for name, pool in {"more": more, "wrong": wrong}.items():
            arms.setdefault(name, []).append(study.score("synthetic 8", few, pool, seed))
        arms.setdefault("real", []).append(study.score("real", few, more, seed))
    gains = {k: np.array(arms[k]) - np.array(arms["real"]) for k in ("more", "wrong")}
    assert (gains["more"] > 0.05).all()
    assert (gains["wrong"] < -0.2).all()


def test_a_ratio_takes_so_many_pictures():
    class Weights(Classification):
        """Scores by a sum of what the network says, which any other training changes."""

        def score(self, out, target):
            return out.sum(1).double()

    real, pool, other = bars(4, 0), bars(8, 1), bars(8, 2)
    study = Arms(Weights(2), real, ClassicalAugmentation(False, False), 3)
    # Half a picture a real one are the first two; the others are not looked at.
    half = study.score("synthetic 0.5", real, pool, 0)
    assert half == study.score("synthetic 0.5", real, pool[:2] + other, 0)
    assert half != study.score("synthetic 0.5", real, other, 0)
    assert half != study.score("synthetic 1", real, pool, 0)
    assert study.score("real", real, pool, 0) == study.score("real", real, other, 0)


def test_few_labelled_pictures_are_the_first_of_more_and_even_in_class():
    data = open_dataset("digits")
    more, few = chosen(data, "label", 50, 3), chosen(data, "label", 20, 3)
    assert torch.equal(more[:20], few)
    assert torch.bincount(data.batch(few)["label"]).tolist() == [2] * 10
    assert not torch.equal(few, chosen(data, "label", 20, 4))


def test_gains_are_paired_and_say_from_which_ratio():
    scores = {
        "10": {
            "real": [0.5, 0.7, 0.6],
            "classical": [0.6, 0.8, 0.7],
            "synthetic 1": [0.55, 0.76, 0.65],
            "synthetic 4": [0.4, 0.59, 0.51],
        }
    }
    found = summarised(scores, [1, 4])["10"]
    gain = found["arms"]["synthetic 1"]["over real"]
    d = np.array([0.05, 0.06, 0.05])
    low, high = stats.t.interval(0.95, 2, d.mean(), d.std(ddof=1) / 3**0.5)
    assert gain["mean"] == pytest.approx(d.mean())
    assert gain["interval"] == pytest.approx([low, high], rel=1e-6)
    assert (found["helps from"], found["hurts from"]) == (1, 4)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9])
def test_the_quantile_is_students(freedom):
    expected = stats.t.ppf(0.975, freedom)
    assert student_quantile(freedom, 0.95) == pytest.approx(expected, rel=8e-3)


def test_dice_of_what_nobody_has_is_one():
    found, asked = torch.tensor([[[0, 1, 1, 0]]]), torch.tensor([[[0, 1, 0, 0]]])
    assert dice(found, asked, 1).tolist() == [pytest.approx(2 / 3)]
    assert dice(found, asked, 2).tolist() == [1.0]


@pytest.mark.slow
def test_masks_are_learned_and_move_with_their_pictures():
    x = torch.zeros(12, 1, 18, 14)
    for k in range(12):
        x[k, :, 3 + k % 6 : 9 + k % 6, 4:9] = 0.8
    mask = (x > 0.4).float()
    moved, target = ClassicalAugmentation(mirror=True, masks=True)(x, mask, 0, 0)
    assert not torch.equal(moved, x)
    assert ((moved > 0.3) == (target > 0)).float().mean() > 0.95
    network = learn(Segmentation(2), 1, lambda step: (x, mask), 40, 0)
    assert scored(Segmentation(2), network, x, mask) > 0.9


@pytest.mark.slow
def test_a_study_goes_on_and_draws_nothing_again(tmp_path, monkeypatch):
    pytest.importorskip("kornia")
    monkeypatch.chdir(tmp_path)
    train = f"train edm --data fashion-mnist --set data.count=60 {TINY}"
    status, _, told = invoke(f"{train} --set training.steps=2 --set training.batch=4 --out run")
    if "fetch" in told:
        pytest.skip("fashion-mnist is not here")
    assert status == 0, told
    line = "augment-study run --ratios 1 --seeds 2 --steps 2 --sampler-steps 2 --out to --json"
    status, out, told = invoke(f"{line} --labels 10")
    assert status == 0, told
    first = json.loads(out)["labels"]["10"]
    assert json.loads(out)["run was trained on"] == 60
    pool, scores = sorted((tmp_path / "to" / "pool").iterdir()), tmp_path / "to" / "scores.json"
    before = [(file.stat().st_mtime_ns, file.read_bytes()) for file in pool]
    # A score and some pictures are lost: they come again as they were, and the others stay.
    kept = json.loads(scores.read_text())
    lost = kept.pop("10 labels, synthetic 1, seed 1")
    scores.write_text(json.dumps(kept))
    pool[1].unlink()
    status, out, told = invoke(f"{line} --labels 10")
    assert status == 0, told
    assert json.loads(out)["labels"]["10"] == first
    assert json.loads(scores.read_text())["10 labels, synthetic 1, seed 1"] == lost
    assert pool[0].stat().st_mtime_ns == before[0][0]
    assert pool[1].read_bytes() == before[1][1]
    assert "10 labels" in (tmp_path / "to" / "report.html").read_text()
    # More labels and more pictures a label join; the cells that are there stay.
    status, out, told = invoke(f"{line.replace('--ratios 1', '--ratios 1,2')} --labels 10,12")
    assert status == 0, told
    found = json.loads(out)["labels"]
    assert found["10"]["arms"]["synthetic 1"] == first["arms"]["synthetic 1"]
    assert set(found["12"]["arms"]) == {"real", "classical", "synthetic 1", "synthetic 2"}
    # Another study has no place in the same folder.
    status, _, told = invoke(f"{line} --labels 10 --guidance 2")
    assert (status, "another" in told) == (2, True)


def test_what_does_not_fit_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for name in ("mine", "others"):
        np.savez(f"{name}.npz", x=draw.random((40, 8, 8), np.float32), y=np.arange(40) % 4)
    train = f"train edm --data mine.npz --set data.label=y {TINY}"
    assert invoke(f"{train} --set training.steps=1 --set training.batch=2 --out run")[0] == 0
    study = "augment-study run --out to"
    for line, said in {
        study: "no test split",
        f"{study} --test others.npz": "no 'label'",
        f"{study} --test others.npz --labels 10,x": "whole numbers",
        f"{study} --test others.npz --target mask": "'mask' is no class",
    }.items():
        status, _, told = invoke(line)
        assert (status, said in told) == (2, True), told
    assert not (tmp_path / "to").exists()
