"""The public face: every name loads, nothing loads before it is used, and the verbs agree with what
they stand for.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import unfog
from unfog.physics.operators import BlockAverage

SETTINGS = {"network.channels": 8, "network.groups": 4, "training.batch": 4}
IMAGES = np.random.default_rng(0).normal(5, 2, (12, 16, 16))


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has after ``code``."""
    line = [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.slow
def test_whatever_is_an_extra_is_imported_by_what_needs_it():
    extras = {"scipy", "skimage", "sklearn", "dipy", "kornia", "h5py", "rdkit", "av", "soundfile"}
    extras |= {"pydicom", "diffusers", "transformers", "tifffile", "tensorboardX", "nibabel"}
    assert not extras & loaded_by("import unfog.builtin")


@pytest.mark.parametrize(
    "code",
    [
        "import unfog",
        "import unfog; unfog.__version__, unfog.__all__, dir(unfog)",
        "import unfog.cli.main",
        "import unfog.workflows.tasks",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_used(code: str) -> None:
    modules = loaded_by(code)
    assert "unfog" in modules
    assert not modules & {"torch", "numpy", "nibabel", "PIL", "unfog.builtin"}


def test_every_public_name_loads() -> None:
    for name in unfog.__all__:
        assert getattr(unfog, name) is not None, name
        assert name in dir(unfog)
    assert set(unfog._PUBLIC) | {"__version__", "threads"} == set(unfog.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        unfog.lode  # noqa: B018
    assert {"edm", "dmri-prior"} <= set(unfog.systems.names())  # modalities are known too


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> unfog.Run:
    out = tmp_path_factory.mktemp("face") / "run"
    return unfog.train("edm", IMAGES, out, steps=2, settings=SETTINGS)


def test_a_run_keeps_the_range_of_its_array(run: unfog.Run) -> None:
    assert run.config["codec"] == {"name": "range", "low": IMAGES.min(), "high": IMAGES.max()}
    assert run.config["data"] == {"name": "memory"}
    again = unfog.load(run.path)
    assert torch.equal(run.sample(2, steps=3), again.sample(2, steps=3))


def test_an_array_resumes_where_it_stopped_and_no_other_does(tmp_path: Path) -> None:
    """As a file does: two steps and two more are the four of an unbroken run, bit for bit."""
    constant = {**SETTINGS, "training.decay": "constant"}
    unbroken = unfog.train("edm", IMAGES, tmp_path / "b", steps=4, settings=constant)
    unfog.train("edm", IMAGES, tmp_path / "a", steps=2, settings=constant)
    with pytest.raises(unfog.InputError, match="training data changed"):
        unfog.train("edm", IMAGES + 1, tmp_path / "a", steps=4, resume=True)
    resumed = unfog.train("edm", IMAGES, tmp_path / "a", steps=4, resume=True)
    assert resumed.weights_sha256 == unbroken.weights_sha256


def test_a_function_restores_as_the_operator_it_is(run: unfog.Run) -> None:
    def means(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 2)

    y = means(torch.from_numpy(IMAGES[:2, None].astype(np.float32)))
    ours = run.restore(y, means, sigma=0.1, samples=2, steps=4)
    known = run.restore(y.numpy(), BlockAverage(2), sigma=0.1, samples=2, steps=4)
    assert torch.allclose(ours.samples, known.samples, atol=1e-3)
    low, high = ours.interval(0.9)
    wide_low, wide_high = ours.interval(0.99)
    assert bool((wide_low < low).all() & (low < ours.mean).all() & (high < wide_high).all())


def test_what_is_measured_moves_the_restoration(run: unfog.Run) -> None:
    """A function that is not linear goes through DPS: the draws fit it better than without y."""
    x = torch.from_numpy(IMAGES[:1, None].astype(np.float32))

    def squared(z: torch.Tensor) -> torch.Tensor:
        return (z[..., ::2, :] / 10).square()

    y = squared(x)
    fitted = run.restore(y, squared, sigma=0.02, samples=2, steps=12, method="dps")
    free = run.restore(y, squared, sigma=1e3, samples=2, steps=12, method="dps")
    errors = [float((squared(r.samples[0]) - y).abs().mean()) for r in (fitted, free)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize(
    ("y", "a", "words"),
    [
        (np.full((1, 1, 16, 16), np.nan), None, "not finite"),
        (np.zeros((1, 1, 16, 16)), lambda x: x.square(), "method='dps'"),
        (np.zeros((1, 1, 9, 16)), lambda x: x[..., ::2, :], r"A makes \(1, 8, 16\)"),
        (np.zeros(3), None, "one for each image"),
    ],
)
def test_bad_measurements_are_refused(run: unfog.Run, y: object, a: object, words: str) -> None:
    with pytest.raises(unfog.InputError, match=words) as error:
        run.restore(y, a, sigma=0.1, samples=2, steps=2)
    assert "\n" not in str(error.value)


def test_bad_training_data_leave_nothing(tmp_path: Path) -> None:
    for data, words in ((IMAGES * np.nan, "not finite"), ("nowhere", "no data set and no file")):
        with pytest.raises(unfog.InputError, match=words):
            unfog.train("edm", data, tmp_path / "run", steps=2)
    with pytest.raises(unfog.InputError, match="describe an array"):
        unfog.train("edm", "digits", tmp_path / "run", dims=2)
    assert list(tmp_path.iterdir()) == []


def test_classes_of_an_array_are_a_condition(tmp_path: Path) -> None:
    labels = np.arange(12) % 3
    trained = unfog.train(
        "edm", IMAGES, tmp_path / "run", labels=labels, steps=6, settings=SETTINGS
    )
    one, two = (
        trained.sample(2, steps=2, condition={"label": torch.full((2,), k)}) for k in (0, 1)
    )
    assert one.shape == (2, 1, 16, 16)
    assert not torch.equal(one, two)
