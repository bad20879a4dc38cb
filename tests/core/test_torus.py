"""Repeats: the plane that a cell covers, and a prior with borders made one without."""

from __future__ import annotations

import pytest
import torch

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import gaussian_denoiser
from unfog.core.process import EDM
from unfog.core.torus import Torus, home, laid_out
from unfog.errors import InputError
from unfog.evaluation.law import affine_law
from unfog.sampling.ancestral import DDIM
from unfog.sampling.grids import grids

PROCESS = EDM(10.0)
OFFSETS = {"square": (0, 0), "half-drop": (4, 0), "brick": (0, 6)}
H, W = 8, 12


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS)
def test_a_canvas_repeats_by_its_rule(offset: tuple[int, int]) -> None:
    down, across = offset
    cell = torch.randn(2, H, W, generator=torch.Generator().manual_seed(0))
    canvas = laid_out(cell, (4 * H, 4 * W), offset)
    assert torch.equal(canvas[:, :H, :W], cell)
    assert torch.equal(canvas[:, down : down + H, W : 2 * W], cell)
    assert torch.equal(canvas[:, H : 2 * H, across : across + W], cell)
    assert torch.equal(canvas[:, down:, W:], canvas[:, : 4 * H - down, : 3 * W])
    assert torch.equal(canvas[:, H:, across:], canvas[:, : 3 * H, : 4 * W - across])
    with pytest.raises(InputError, match="not both"):
        home(torch.arange(2), torch.arange(2), (H, W), (1, 1))


class Blurring(Denoiser):
    """Blurs by 3 x 3 cells within its window, whose borders it sees as zeros, and adds a map."""

    process = PROCESS

    def forward(self, x_t: torch.Tensor, t: torch.Tensor, **condition: torch.Tensor) -> Posterior:
        kernel = torch.arange(9.0, dtype=x_t.dtype).view(1, 1, 3, 3) / 36
        blurred = torch.nn.functional.conv2d(x_t, kernel, padding=1)
        more = condition.get("map", 0.0)
        return Posterior(blurred + more + condition["label"].view(-1, 1, 1, 1))


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS)
def test_no_place_of_the_cell_is_a_border(offset: tuple[int, int]) -> None:
    """Averaged over times, at which windows lie elsewhere, what a window's border does wrong is
    spread evenly; and a cell moved along its own plane is denoised as the moved cell.
    """
    x = torch.ones(1, 1, H, W, dtype=torch.float64)
    torus = Torus(Blurring(), (6, 6), offset, overlap=3)
    label, times = torch.zeros(1), torch.linspace(0.01, 0.99, 400, dtype=torch.float64)
    mean = torch.stack([torus(x, t, label=label).mean[0, 0] for t in times]).mean(0)
    assert float(mean.std() / mean.mean()) < 0.01
    assert float(mean.mean()) < 0.995  # borders do cost something


@pytest.mark.parametrize("offset", OFFSETS.values(), ids=OFFSETS)
def test_inside_a_window_it_is_the_denoiser_on_the_plane(offset: tuple[int, int]) -> None:
    """With maps, cells smaller than a window, and a label a sample."""
    generator = torch.Generator().manual_seed(1)
    x, picture = (torch.randn(2, 1, H, W, generator=generator).double() for _ in range(2))
    label, t = torch.tensor([1.0, 2.0]), torch.tensor(0.37, dtype=torch.float64)

    class Pointwise(Denoiser):
        process = PROCESS

        def forward(
            self, x_t: torch.Tensor, t: torch.Tensor, **condition: torch.Tensor
        ) -> Posterior:
            return Posterior(x_t.sin() + condition["map"] + condition["label"].view(-1, 1, 1, 1))

    for size in ((6, 6), (5, 9), (20, 20)):
        torus = Torus(Pointwise(), size, offset, batch=3, maps=["map"])
        found = torus(x, t, map=picture, label=label).mean
        expected = x.sin() + picture + label.view(-1, 1, 1, 1)
        assert torch.allclose(found, expected, atol=1e-12)


def test_bad_windows_are_refused() -> None:
    with pytest.raises(InputError, match="two axes"):
        Torus(Blurring(), (8,))
    with pytest.raises(InputError, match="overlap"):
        Torus(Blurring(), (8, 8), overlap=8)


def energies(covariance: torch.Tensor, side: int, offset: tuple[int, int]) -> list[torch.Tensor]:
    """E |x_i - x_j|^2 of neighbours down and across in the plane, each (side, side), the last row
    or column over the cell's border.
    """
    at, size = torch.arange(side), (side, side)
    here = home(at, at, size, offset).flatten()
    variance = covariance.diagonal()
    found = []
    for rows, columns in ((at + 1, at), (at, at + 1)):
        there = home(rows, columns, size, offset).flatten()
        energy = variance[here] + variance[there] - 2 * covariance[here, there]
        found.append(energy.view(side, side))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", OFFSETS)
def test_a_seam_has_the_energy_of_the_interior(name: str) -> None:
    """The exact law of samples of a stationary Gaussian prior of windows whose ends know nothing of
    each other: differences over the cell's border have the mean energy of those within to 5 %, in
    all repeats; laid out by another rule they have far more.
    """
    side, window = 10, 10
    offset = {"square": (0, 0), "half-drop": (side // 2, 0), "brick": (0, side // 2)}[name]
    place = torch.cartesian_prod(torch.arange(window), torch.arange(window)).double()
    prior = gaussian_denoiser(
        PROCESS,
        torch.full((window**2,), 0.3).double(),
        torch.exp(-torch.cdist(place, place) / 1.2),
    )
    times = grids.build({"name": "karras", "sigma_min": 0.05})(PROCESS, 16)
    torus = Torus(prior, (window, window), offset)
    mean, covariance = affine_law(torus, DDIM(), times, (1, side, side))
    assert float(mean.std() / mean.mean()) < 0.05
    down, across = energies(covariance, side, offset)
    inside = float(down[:-1].mean() + across[:, :-1].mean()) / 2
    assert abs(float(down[-1].mean()) / inside - 1) < 0.05
    assert abs(float(across[:, -1].mean()) / inside - 1) < 0.05
    other = (side // 2, 0) if name == "square" else (0, 0)
    wrong = energies(covariance, side, other)
    assert max(float(wrong[0][-1].mean()), float(wrong[1][:, -1].mean())) > 1.3 * inside
