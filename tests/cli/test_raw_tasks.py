"""k-space and sinograms on the command line, on a run of 8 x 8 digits: every form of file, and what
is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from unfog.cli.main import app
from unfog.data import open_dataset
from unfog.physics.coils import birdcage
from unfog.physics.fourier import Coils, ComplexOf, Fourier, to_complex
from unfog.physics.radon import FanBeam, ParallelBeam

SHORT = ["--samples", "2", "--steps", "8"]


def numbers(x: torch.Tensor) -> np.ndarray[Any, Any]:
    return np.asarray(x.numpy())


@pytest.fixture
def place(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Measurements, almost without noise, of the first two digits, ``truth.npy``."""
    pytest.importorskip("sklearn")
    h5py = pytest.importorskip("h5py")
    monkeypatch.chdir(tmp_path)
    Path("run").symlink_to(run)
    x = open_dataset("digits").batch([0, 1])["x"]
    maps = birdcage(4, (8, 8)).to(torch.complex64)
    kspace = to_complex((Fourier() @ Coils(maps) @ ComplexOf())(x))
    kspace = numbers(
        kspace + 1e-3 * torch.randn(kspace.shape, generator=torch.Generator().manual_seed(0))
    )
    mask = np.ones(8)
    mask[[0, 7]] = 0
    angles = torch.arange(0, 180, 11.25)
    views, fan = (
        numbers(ParallelBeam(angles, 8)(x)[:, 0]),
        numbers(FanBeam(angles * 2, 8, 20.0, 13, 40.0)(x)[:, 0]),
    )
    np.save("truth.npy", numbers(x[:, 0]))
    np.save("digit.npy", numbers(x[0]))
    np.save("kspace.npy", kspace[0])
    np.save("maps.npy", numbers(maps))
    np.save("lines.npy", mask)
    np.save("nothing.npy", np.zeros(8))
    np.savez("scan.npz", kspace=1e-6 * kspace, sensitivities=numbers(maps), mask=mask)
    np.savez("narrow.npz", kspace=kspace, sensitivities=numbers(maps[:3]))
    np.savez("wide.npz", kspace=kspace, mask=np.ones((3, 8)))
    np.savez("flat.npz", kspace=kspace.real, sensitivities=numbers(maps))
    np.savez("empty.npz", kspace=0 * kspace, sensitivities=numbers(maps))
    np.savez("bad.npz", kspace=np.where(kspace == kspace[0, 0, 0, 0], np.nan, kspace))
    with h5py.File("scan.h5", "w") as file:
        file["kspace"], file["sensitivities"] = kspace, numbers(maps)
    with h5py.File("fast.h5", "w") as file:
        file["kspace"], file["ismrmrd_header"] = kspace, "<?xml version='1.0'?>"
        file.attrs["acquisition"] = "AXT1"
    angle = numbers(angles)
    np.savez(
        "ct.npz",
        sinogram=3 * views,
        angles=angle,
        scale=3.0,
        deviation=np.full(views.shape[1:], 0.3),
    )
    np.savez("fan.npz", sinogram=fan, angles=2 * angle, radius=20.0, opening=40.0)
    np.savez("turned.npz", sinogram=views.swapaxes(1, 2)[:, :, :5], angles=angle)
    np.savez("angleless.npz", sinogram=views, scale=3.0)
    np.savez("coarse.npz", sinogram=views[..., :7], angles=angle)
    np.savez("scaleless.npz", sinogram=views, angles=angle, scale=-1.0)
    np.savez("certain.npz", sinogram=views, angles=angle, deviation=np.zeros(views.shape[1:]))
    return tmp_path


def restore(line: str) -> dict[str, Any]:
    result = CliRunner().invoke(
        app, ["restore", "run", *line.split(), *SHORT, "--out", "out", "--json"]
    )
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def error(factor: float = 1.0, row: int | None = None) -> float:
    """Root mean square of the mean against the truth, of 16."""
    truth, mean = np.load("truth.npy"), np.load("out/mean.npy") / factor
    return float(
        np.sqrt(np.mean((mean.reshape(-1, 8, 8) - (truth if row is None else truth[row])) ** 2))
    )


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("scan.h5 --task mri --noise 0.1", None),
        ("fast.h5 --task mri --noise 0.1 --sensitivities maps.npy", None),
        ("kspace.npy --task mri --sensitivities maps.npy --noise 0.1", 0),
        ("fan.npz --task ct --noise 0.1", None),
        ("ct.npz --task ct", None),
    ],
)
def test_what_is_measured_whole_comes_back(place: Path, line: str, row: int | None) -> None:
    """To a sixteenth of the range: a prior of two steps, in eight steps of the sampler, spoils
    little of what was measured.
    """
    found = restore(line)
    assert error(row=row) < 1.0
    assert found["files"] == ["mean.npy", "std.npy", "sample-00.npy", "sample-01.npy"]
    assert found["data consistency"] < 3
    assert np.load("out/mean.npy").shape == ((8, 8) if row is not None else (2, 1, 8, 8))
    assert "Content-Security-Policy" in Path("out/report.html").read_text()
    assert 'class="wipe"' in Path("out/report.html").read_text()


def test_units_are_found_and_given_back(place: Path) -> None:
    found = restore("scan.npz --task mri")
    assert found["noise estimated"]
    assert error(1e-6) < 4
    assert found["scale"] == pytest.approx(1e-6, rel=0.3)


def test_coils_are_found_where_they_are_not_given(place: Path) -> None:
    found = restore("kspace.npy --task mri --noise 0.1")
    assert "middle of k-space" in found["warnings"][0]
    assert found["data consistency"] < 30


def test_an_operator_from_files_measures_as_the_task_does(place: Path) -> None:
    """Multi-coil k-space by hand: pairs of channels, and the maps and the mask in files beside the
    operator's.
    """
    folder = Path("described")
    folder.mkdir()
    for name in ("maps", "lines"):
        (folder / f"{name}.npy").write_bytes(Path(f"{name}.npy").read_bytes())
    (folder / "mri.yaml").write_text(
        "- complex\n- {name: coils, maps: maps.npy}\n- fourier\n- {name: mask, mask: lines.npy}\n"
    )
    whole = np.load("kspace.npy") * np.load("lines.npy")
    np.save("pairs.npy", np.stack([whole.real, whole.imag], 1).reshape(8, 8, 8))
    custom = restore("pairs.npy --task custom --operator described/mri.yaml --noise 0.1")
    mean = np.load("out/mean.npy")
    for file in Path("out").iterdir():
        file.unlink()
    task = restore("kspace.npy --task mri --sensitivities maps.npy --mask lines.npy --noise 0.1")
    np.testing.assert_allclose(mean[0], np.load("out/mean.npy"), atol=2e-3)
    assert custom["data consistency"] == pytest.approx(task["data consistency"], rel=1e-3)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nowhere.h5 --task mri", "no file"),
        ("ct.npz --task mri", "holds no 'kspace'"),
        ("flat.npz --task mri", "give complex numbers"),
        ("empty.npz --task mri", "not all zero"),
        ("bad.npz --task mri", "non-finite"),
        ("narrow.npz --task mri", "a map for every coil"),
        ("wide.npz --task mri", "has a mask (3, 8)"),
        ("kspace.npy --task mri --mask nothing.npy", "zero everywhere"),
        ("kspace.npy --task mri --operator x.yaml", "--task custom"),
        ("kspace.npy --task mri --noise 0", "above 0"),
        ("kspace.npy --task mri --noise-model rician", "leave --noise-model out"),
        ("digit.npy --task denoise --sensitivities maps.npy", "for --task mri"),
        ("ct.npz --task ct --mask lines.npy", "not for ct"),
        ("truth.npy --task ct", "holds no 'angles'"),
        ("angleless.npz --task ct", "holds no 'angles'"),
        ("turned.npz --task ct", "one angle for each row"),
        ("coarse.npz --task ct", "one pixel apart"),
        ("scaleless.npz --task ct", "one number above zero"),
        ("certain.npz --task ct", "for every ray"),
    ],
)
def test_refused_in_one_sentence(place: Path, line: str, words: str) -> None:
    before = sorted(place.rglob("*"))
    result = CliRunner().invoke(app, ["restore", "run", *line.split(), "--out", "new"])
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("unfog: ")
    assert result.stderr.count("\n") == 1
    assert words in result.stderr
    assert sorted(place.rglob("*")) == before


def test_an_operator_whose_adjoint_is_wrong_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ParallelBeam, "adjoint", lambda self, y: 1.1 * FanBeam.adjoint(self, y))
    result = CliRunner().invoke(app, ["restore", "run", "ct.npz", "--task", "ct", "--out", "new"])
    assert (result.exit_code, "mend its adjoint" in result.stderr, Path("new").exists()) == (
        2,
        True,
        False,
    )


def test_lines_may_be_missing_elsewhere_in_every_image(place: Path) -> None:
    """An image is restored from what was measured of it, so it is what it is alone."""
    kspace = np.load("scan.npz")["kspace"] * 1e6
    kspace[0, :, :, [0, 7]] = kspace[1, :, :, [1, 6]] = 0
    np.savez("pair.npz", kspace=kspace, sensitivities=np.load("maps.npy"))
    np.savez("alone.npz", kspace=kspace[:1], sensitivities=np.load("maps.npy"))
    restore("alone.npz --task mri --noise 0.1")
    alone = np.load("out/mean.npy")
    Path("out").rename("before")
    restore("pair.npz --task mri --noise 0.1")
    np.testing.assert_allclose(np.load("out/mean.npy")[0, 0], alone, atol=0.05)


def test_axes_that_are_named_give_the_same_image(place: Path) -> None:
    kspace, maps = np.load("kspace.npy"), np.load("maps.npy")
    last = {"kspace": np.moveaxis(kspace, 0, 2), "sensitivities": np.moveaxis(maps, 0, 2)}
    np.savez("last.npz", **last)
    restore("last.npz --task mri --noise 0.1 --axes rows,columns,coils")
    named = np.load("out/mean.npy")
    Path("out").rename("before")
    restore("kspace.npy --task mri --sensitivities maps.npy --noise 0.1")
    np.testing.assert_array_equal(named, np.load("out/mean.npy"))
