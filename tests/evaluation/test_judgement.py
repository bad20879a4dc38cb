"""Figures of generated samples, against closed forms, sums done by hand and other libraries."""

import math

import numpy as np
import pytest
import torch

from unfog.core.random import generator
from unfog.errors import InputError
from unfog.evaluation.distances import frechet_distance, polynomial_mmd
from unfog.evaluation.estimates import Estimate, mean_estimate
from unfog.evaluation.feature_spaces import feature_spaces
from unfog.evaluation.frechet_error import frechet_error
from unfog.evaluation.judgement import judge, spectra
from unfog.evaluation.manifold import manifold, nearest, radii
from unfog.evaluation.sliced import sliced_wasserstein


def draw(n: int, d: int, name: str) -> torch.Tensor:
    return torch.randn(n, d, generator=generator(0, name), dtype=torch.float64)


def test_the_error_of_a_frechet_distance_is_the_spread_of_many() -> None:
    mix = draw(5, 5, "mix")
    pairs = [(draw(300, 5, f"a{i}") @ mix + 0.3, draw(500, 5, f"b{i}")) for i in range(80)]
    values = torch.tensor([frechet_distance(*pair) for pair in pairs])
    errors = torch.tensor([frechet_error(*pair) for pair in pairs])
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.2)


def test_the_error_of_a_frechet_distance_in_one_dimension_by_hand() -> None:
    # FD = (m - q)^2 + (s - r)^2; its derivative by m and s^2 are 2 (m - q) and 1 - r / s.
    a, b = 2 * draw(4000, 1, "a") + 3, draw(4000, 1, "b")
    m, q, s, r = 3.0, 0.0, 2.0, 1.0
    first = (4 * (m - q) ** 2 * s**2 + (1 - r / s) ** 2 * 2 * s**4) / 4000
    second = (4 * (m - q) ** 2 * r**2 + (1 - s / r) ** 2 * 2 * r**4) / 4000
    assert frechet_error(a, b) == pytest.approx(math.sqrt(first + second), rel=0.05)


@pytest.mark.slow
def test_distances_are_those_of_torchmetrics() -> None:
    fid = pytest.importorskip("torchmetrics.image.fid")
    kid = pytest.importorskip("torchmetrics.image.kid")
    a, b = draw(300, 8, "a"), 1.3 * draw(300, 8, "b") + 0.2
    moments = [v for x in (a, b) for v in (x.mean(0), torch.cov(x.T))]
    assert frechet_distance(a, b) == pytest.approx(float(fid._compute_fid(*moments)), rel=1e-6)
    assert float(polynomial_mmd(a, b)) == pytest.approx(float(kid.poly_mmd(a, b)), rel=1e-6)


def test_frechet_is_scipys() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    a, b = draw(200, 6, "a") @ draw(6, 6, "mix"), draw(200, 6, "b")
    (m, c), (q, d) = ((x.mean(0).numpy(), np.cov(x.numpy().T)) for x in (a, b))
    root = linalg.sqrtm(c @ d).real
    expected = ((m - q) ** 2).sum() + np.trace(c + d - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_sliced_wasserstein_of_a_shift_is_its_length_over_root_d() -> None:
    x, d = draw(200, 7, "x"), 7
    shift = torch.zeros(d, dtype=torch.float64)
    shift[0] = 3
    # E (u . s)^2 = |s|^2 / d.
    assert sliced_wasserstein(x, x + shift, 20_000) == pytest.approx(3 / math.sqrt(d), rel=0.02)


def test_sliced_wasserstein_in_one_dimension_is_scipys_transport() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    a, b = draw(40, 1, "a"), 2 * draw(40, 1, "b") + 1
    cost = (a - b.T).square().numpy()
    rows, columns = optimize.linear_sum_assignment(cost)
    assert sliced_wasserstein(a, b) == pytest.approx(math.sqrt(cost[rows, columns].mean()), 1e-9)


def by_numpy(fake: np.ndarray, real: np.ndarray, k: int) -> tuple[float, float, float, float]:
    """Naeem et al.'s definitions, pair by pair."""

    def distance(x, y):
        return np.sqrt(((x[:, None] - y[None]) ** 2).sum(-1))

    ball_real = np.sort(distance(real, real), 1)[:, k]
    ball_fake = np.sort(distance(fake, fake), 1)[:, k]
    between = distance(real, fake)
    inside = between < ball_real[:, None]
    return (
        inside.any(0).mean(),
        (between < ball_fake[None]).any(1).mean(),
        inside.sum(0).mean() / k,
        (between.min(1) < ball_real).mean(),
    )


def test_precision_recall_density_and_coverage_are_their_definitions() -> None:
    fake, real = 0.8 * draw(1100, 3, "f") + 0.5, draw(90, 3, "r")  # more than one block of rows
    found = manifold(fake, real)
    ours = [float(v.mean()) for v in (found.precision, found.recall, found.density, found.coverage)]
    assert ours == pytest.approx(by_numpy(fake.numpy(), real.numpy(), 5), abs=1e-9)


def test_coverage_of_a_mixture_of_which_some_modes_are_drawn() -> None:
    # Eight modes far apart, of which five are drawn: coverage and recall are 5/8, precision is 1.
    angle = torch.arange(8, dtype=torch.float64) * math.tau / 8
    centres = 100 * torch.stack([angle.cos(), angle.sin()], 1)
    real = centres.repeat(50, 1) + draw(400, 2, "real")
    fake = centres[:5].repeat(100, 1) + draw(500, 2, "fake")
    found = manifold(fake, real)
    assert float(found.coverage.mean()) == pytest.approx(5 / 8, abs=0.02)
    assert float(found.recall.mean()) == pytest.approx(5 / 8, abs=0.02)
    assert float(found.precision.mean()) > 0.95


def test_neighbours_by_hand() -> None:
    x = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert radii(x, 2).tolist() == [3, 2, 3, 6]
    distance, number = nearest(torch.tensor([[2.6]]), x, 2)
    assert number.tolist() == [[2, 1]]
    torch.testing.assert_close(distance, torch.tensor([[0.4, 1.6]]))


def test_the_interval_of_a_mean_holds_it_as_often_as_it_says() -> None:
    held = 0
    for i in range(200):
        x = (torch.rand(150, generator=generator(1, f"{i}")) < 0.3).double()
        low, high = mean_estimate(x, most=1.0, least=0.0).interval
        held += low <= 0.3 <= high
    assert 180 <= held <= 199


def test_an_interval_stays_within_what_is_possible() -> None:
    assert Estimate(0.98, 0.1, 0.0, 1.0).interval[1] == 1.0


def test_real_samples_in_the_place_of_generated_ones_reach_the_floor() -> None:
    found = judge(draw(400, 4, "g"), draw(400, 4, "h"), draw(800, 4, "r"))
    for name, figure in found.figures.items():
        low, high = figure.generated.interval
        margin = figure.floor.interval[1] - figure.floor.value
        assert low - margin <= figure.floor.value <= high + margin, name


def test_collapse_shows_in_recall_and_not_in_precision() -> None:
    few = draw(400, 4, "g")[:10].repeat(40, 1) + 0.01 * draw(400, 4, "jitter")
    found = judge(few, draw(400, 4, "h"), draw(800, 4, "r")).figures
    assert found["precision"].generated.value > 0.8
    assert found["recall"].generated.value < 0.2 < found["recall"].floor.value
    assert found["frechet"].generated.interval[0] > found["frechet"].floor.interval[1]


def test_too_few_samples_are_refused_or_said() -> None:
    with pytest.raises(InputError, match="too few"):
        judge(draw(10, 2, "g"), draw(10, 2, "h"), draw(20, 2, "r"))
    found = judge(draw(50, 2, "g"), draw(50, 2, "h"), draw(60, 2, "r"))
    assert set(found.left_out) == {"frechet", "kid"}
    assert "fewer than the 100" in found.left_out["frechet"]


def test_spectra_of_a_scaled_field() -> None:
    x = draw(60, 64, "x").view(60, 1, 8, 8)
    # Twice the amplitude is four times the power at every wavenumber.
    found = spectra(2 * x, x, x)
    assert found.generated.value == pytest.approx(math.log(4))
    assert found.floor.value == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_learned_features_see_what_tells_classes_apart() -> None:
    labels = torch.arange(300) % 2
    x = 0.5 + 0.1 * draw(300, 144, "x").view(300, 1, 12, 12)
    x[labels == 1, :, :6] += 0.2
    space = feature_spaces.build("data", x=x.float(), labels=labels)
    features = space.of(x.float())
    gap = frechet_distance(features[labels == 0], features[labels == 1])
    assert gap > 5 * frechet_distance(features[0:150], features[150:300])
    with pytest.raises(InputError, match="pixels"):
        feature_spaces.build("data", x=x.flatten(1))
