"""What the page shows of noise and of tensors, held to closed forms; and the viewer that ships."""

from __future__ import annotations

import hashlib
import json
import math
from importlib.resources import files
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from unfog.lab.maps import write_maps
from unfog.lab.points import DEVIATION, MODES, PROCESSES, RADIUS, lattice, mixture, score, walk
from unfog.lab.trajectory import ROWS, write_trajectory

# dist/niivue.umd.js of @niivue/niivue 0.69.0
NIIVUE = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"


@pytest.mark.parametrize("name", PROCESSES)
def test_arrows_are_the_gradient_of_the_log_density(name: str) -> None:
    """By autograd through the density of the mixture, written anew."""
    process = PROCESSES[name]
    turns = torch.arange(MODES, dtype=torch.float64) * 2 * math.pi / MODES
    means = RADIUS * torch.stack([turns.sin(), turns.cos()], 1)
    weights = torch.tensor([2.0, 1, 1, 1, 1], dtype=torch.float64)
    for t in torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64):
        alpha, sigma = (float(v) for v in process.scales(t))
        x = lattice(2.0).requires_grad_()
        variance = alpha**2 * DEVIATION**2 + sigma**2
        squares = (x[:, None] - alpha * means).square().sum(-1)
        log = torch.logsumexp(weights.log() - squares / (2 * variance), 1)
        (exact,) = torch.autograd.grad(log.sum(), x)
        found = score(mixture(process), x.detach(), t)
        torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-9)


def test_the_walks_that_ship_are_what_the_module_makes() -> None:
    kept = json.loads((files("unfog.lab.examples") / "noise-edm.json").read_text("utf-8"))
    made = walk("edm")
    for one, other in zip(kept["frames"], made["frames"], strict=True):
        np.testing.assert_allclose(one["x"], other["x"], atol=2e-3)
        np.testing.assert_allclose(one["score"], other["score"], atol=2e-3)
    for time in kept["times"][:-1]:
        exact = 20 * math.log10(time["alpha"] / max(time["sigma"], 1e-3))
        assert time["decibels"] == pytest.approx(exact, abs=1e-6)


def test_points_end_on_the_data() -> None:
    """Every point ends within a few deviations of a mode, and the modes have their shares."""
    ends = np.array(walk("vp-linear")["frames"][-1]["x"]) * 2.4 * RADIUS / math.sqrt(2)
    turns = 2 * np.pi * np.arange(MODES) / MODES
    means = RADIUS * np.stack([np.sin(turns), np.cos(turns)], 1)
    far = np.linalg.norm(ends[:, None] - means, axis=-1)
    assert (far.min(1) < 5 * DEVIATION).mean() > 0.97
    share = np.bincount(far.argmin(1), minlength=MODES) / len(ends)
    assert share[0] == pytest.approx(2 / 6, abs=0.12)


def test_a_trajectory_of_a_run(run: Path, tmp_path: Path) -> None:
    """All three rows end at the sample; the seed decides; times fall to clean data."""
    sheets = []
    for k, seed in enumerate((0, 0, 1)):
        write_trajectory(str(run), tmp_path / str(k), "heun", 4, seed)
        sheets.append(np.asarray(Image.open(tmp_path / str(k) / "frames.png")))
    facts = json.loads((tmp_path / "0/frames.json").read_text())
    assert facts["rows"] == list(ROWS)
    assert sheets[0].shape == (3 * 8, 5 * 8)
    state, mean, forward = np.split(sheets[0], 3)
    np.testing.assert_array_equal(state[:, -8:], mean[:, -8:])
    np.testing.assert_array_equal(state[:, -8:], forward[:, -8:])
    assert (state[:, :8] != forward[:, :8]).mean() > 0.3  # fresh noise
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert (sheets[0] != sheets[2]).any()
    assert facts["times"][-1]["sigma"] == 0


def test_fa_and_md_of_a_known_tensor(tmp_path: Path) -> None:
    """One tensor everywhere, no noise: FA and MD in closed form, outside the mask 0."""
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(13, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    axes[0], bvals = 0, np.r_[0, np.full(12, 1000)]
    eigenvalues = np.array([1.7e-3, 0.4e-3, 0.3e-3])
    signal = 1000 * np.exp(-bvals * (axes**2 @ eigenvalues))
    data = np.broadcast_to(signal.astype(np.float32), (3, 4, 2, 13))
    inside = np.zeros((3, 4, 2), np.uint8)
    inside[1:] = 1
    result = tmp_path / "result"
    result.mkdir()
    nib.Nifti1Image(data, np.eye(4)).to_filename(result / "dwi_denoised.nii.gz")
    nib.Nifti1Image(inside, np.eye(4)).to_filename(result / "mask.nii.gz")
    (result / "dwi_denoised.bval").write_text(" ".join(map(str, bvals)))
    np.savetxt(result / "dwi_denoised.bvec", axes.T)
    before = sorted(p.name for p in result.iterdir())
    fa, md = (np.asarray(nib.load(p).dataobj) for p in write_maps(tmp_path))
    mean = eigenvalues.mean()
    spread = np.sqrt(1.5 * ((eigenvalues - mean) ** 2).sum() / (eigenvalues**2).sum())
    np.testing.assert_allclose(fa[1:], spread, rtol=1e-4)
    np.testing.assert_allclose(md[1:], mean, rtol=1e-4)
    assert not fa[0].any()
    assert sorted(p.name for p in result.iterdir()) == before  # the result is the command's alone


def test_the_viewer_is_the_pinned_one() -> None:
    folder = files("unfog.lab.static")
    content = (folder / "niivue.umd.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == NIIVUE
    assert b"eval(" not in content.replace(b"interval(", b"")
    assert (folder / "LICENSE-NiiVue").read_text("utf-8").startswith("BSD 2-Clause License")
    own = [p.name for p in folder.iterdir() if p.name.endswith(".js")]
    knowing = [n for n in own if b"niivue" in (folder / n).read_bytes().lower()]
    assert sorted(set(knowing) - {"niivue.umd.js", "slices.js"}) == ["viewer.js"]
