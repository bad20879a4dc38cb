"""Grids: the published tables, ends included."""

import pytest
import torch

from unfog.core.process import EDM, VPLinear, ddpm_linear, processes
from unfog.errors import InputError
from unfog.sampling.grids import check_grid, grids


def discrete(grid, steps):
    """The grid as indices n of a table of 1000, t = (n + 1) / 1000, its end -1."""
    return (grids.build(grid)(ddpm_linear(), steps) * 1000 - 1).round().long().tolist()


def test_spacings_are_those_of_the_paper():
    """Lin et al. 2024, table 2, for 10 steps of 1000 (there counted from 1)."""
    assert discrete("leading", 10) == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0, -1]
    assert discrete("linspace", 10) == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0, -1]
    assert discrete("trailing", 10) == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99, -1]


# Those that take any number of steps; `betas` has its own number.
ANY = [name for name in grids.names() if name != "betas"]


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize("process", [ddpm_linear(), VPLinear(), EDM()], ids=["table", "vp", "edm"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_every_grid_is_one(name, process, steps):
    grid = check_grid(grids.build(name)(process, steps))
    assert len(grid) == steps + 1
    assert grid[-1] == 0
    assert grid.dtype == torch.float64


def test_karras_is_even_in_the_seventh_root():
    process = EDM()
    level = process.noise_level(grids.build("karras")(process, 18))[:-1]
    root = level ** (1 / 7)
    assert float(level[0]) == pytest.approx(80)
    assert float(level[-1]) == pytest.approx(0.002)
    assert torch.allclose(root.diff(), root.diff()[0].expand(17), atol=1e-12)


def test_no_steps_is_refused():
    with pytest.raises(InputError, match="at least one step"):
        grids.build("trailing")(ddpm_linear(), 0)


def test_a_process_without_a_last_noise_level_needs_one():
    with pytest.raises(InputError, match="sigma_max"):
        grids.build("karras")(processes.build("flow"), 5)
    grid = grids.build({"name": "karras", "sigma_max": 80.0})(processes.build("flow"), 5)
    assert float(grid[0]) == pytest.approx(80 / 81)
