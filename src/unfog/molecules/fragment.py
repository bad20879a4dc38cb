"""A fragment that a molecule keeps: a linear measurement of its state, for the posterior methods
that exist.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.molecules.molecule import Molecule
from unfog.molecules.state import AXES, CHANNELS, states
from unfog.physics.linear import Operator

CLASH = 0.5  # Angstrom: no two atoms are nearer


@dataclass(frozen=True)
class Fragment(Operator):
    """The first atoms of a molecule, A x: their places less the mean of these, and their features.

    Where the molecule lies is free, since states have no centre of mass, and so is where the
    fragment lies in it. A is an orthogonal projection within the space of states: A A* y = y for
    measurements y, and A* y has no centre of mass.

    Args:
        atoms: How many atoms are the fragment's.
        largest: Atoms that states are padded to.
    """

    atoms: int
    largest: int

    def __call__(self, x: Tensor) -> Tensor:
        return self._centred(x[:, :, : self.atoms])

    def adjoint(self, y: Tensor) -> Tensor:
        x = y.new_zeros(len(y), CHANNELS, self.largest)
        x[:, :, : self.atoms] = self._centred(y)
        return x

    def pseudo_inverse(self, y: Tensor) -> Tensor:
        return self.adjoint(y)

    def tikhonov(self, y: Tensor, weight: Tensor) -> Tensor:
        scale = torch.as_tensor(1 + weight).to(y).reshape(-1, 1, 1)
        return self.adjoint(y) / scale

    @staticmethod
    def _centred(y: Tensor) -> Tensor:
        place = y[:, :AXES]
        return torch.cat([place - place.mean(2, keepdim=True), y[:, AXES:]], 1)


def fragment_of(molecule: Molecule, largest: int) -> tuple[Fragment, Tensor]:
    """The measurement of a fragment: the operator, and y in natural units.

    Args:
        molecule: The fragment; of two pieces where these are to be linked.
        largest: Atoms that states are padded to.

    Returns:
        The operator, and (1, 9, atoms of the fragment).

    Raises:
        InputError: It is as large as any molecule of the model, or two of its atoms clash.
    """
    n = len(molecule)
    called = molecule.name or "The fragment"
    if n >= largest:
        raise InputError(
            f"{called} has {n} atoms, and the model draws molecules of up to {largest}; keep a "
            "smaller fragment."
        )
    x = molecule.positions
    distance = torch.cdist(torch.from_numpy(x), torch.from_numpy(x)).fill_diagonal_(torch.inf)
    if n > 1 and float(distance.min()) < CLASH:
        raise InputError(
            f"{called} has two atoms {float(distance.min()):.2f} Angstrom apart; mend its places."
        )
    operator = Fragment(n, largest)
    return operator, operator(states([molecule], largest)["x"])
