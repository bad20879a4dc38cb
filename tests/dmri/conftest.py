"""A scanner's table and the ring of ``rings``, made once."""

from __future__ import annotations

import pytest
from support.rings import Ring, make_ring

from unfog.dmri.gradients import GradientTable
from unfog.dmri.simulation.phantom import real_gradients


@pytest.fixture(scope="session")
def gradients() -> GradientTable:
    return real_gradients()


@pytest.fixture(scope="session")
def ring(gradients: GradientTable) -> Ring:
    return make_ring(gradients)
