"""A molecule as the state of a diffusion model, and back (Hoogeboom et al. 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.molecules.molecule import NUMBERS, Molecule

ATOMS = ("H", "C", "N", "O", "F")  # the types of QM9, in the order of their channels
AXES = 3  # of space, which are the first channels
CHANNELS = AXES + len(ATOMS) + 1  # places, types, atomic number
# Places, types over 4, atomic numbers over 10.
CODEC = {
    "name": "standard",
    "mean": 0.0,
    "std": [1.0] * AXES + [4.0] * len(ATOMS) + [10.0],
}
SPACE = {
    "name": "split",
    "parts": [
        {"name": "zero-centre", "channels": AXES},
        {"name": "masked", "channels": len(ATOMS) + 1},
    ],
}


def features_of(kind: str, in_channels: int, out_channels: int, token_width: int | None) -> int:
    """How many features of an atom a network of molecules sees beside its place.

    Args:
        kind: What the network is, with its article.
        in_channels: Of the state.
        out_channels: Of the output.
        token_width: Of tokens.

    Returns:
        The number.

    Raises:
        InputError: There are no places, the output has other channels, or there are tokens.
    """
    features = in_channels - AXES
    if features < 0 or out_channels != in_channels or token_width is not None:
        raise InputError(
            f"{kind} takes and gives {AXES} axes and features, and no tokens; got {in_channels} "
            f"and {out_channels} channels."
        )
    return features


def states(molecules: Sequence[Molecule], atoms: int) -> dict[str, Tensor]:
    """Molecules as a batch.

    Args:
        molecules: Of the elements ``ATOMS``.
        atoms: The length that all are padded to.

    Returns:
        ``x``, (molecules, 9, atoms): places in Angstrom without their mean, types as ones among
        zeros, atomic numbers; and ``mask``, (molecules, 1, atoms), True where there is an atom.

    Raises:
        InputError: A molecule is too large, or has an element that is none of ``ATOMS``.
    """
    x = torch.zeros(len(molecules), CHANNELS, atoms)
    mask = torch.zeros(len(molecules), 1, atoms, dtype=torch.bool)
    for row, molecule in enumerate(molecules):
        n = len(molecule)
        called = molecule.name or f"Molecule {row}"
        if n > atoms:
            raise InputError(f"{called} has {n} atoms, and the model takes up to {atoms}.")
        if strange := sorted(set(molecule.symbols) - set(ATOMS)):
            raise InputError(
                f"{called} has {strange[0]}, and the model knows {', '.join(ATOMS)} alone."
            )
        place = molecule.positions - molecule.positions.mean(0)
        x[row, :AXES, :n] = torch.from_numpy(place.T.astype(np.float32))
        kinds = [ATOMS.index(symbol) for symbol in molecule.symbols]
        x[row, [AXES + kind for kind in kinds], range(n)] = 1
        x[row, -1, :n] = torch.from_numpy(molecule.numbers.astype(np.float32))
        mask[row, 0, :n] = True
    return {"x": x, "mask": mask}


def molecules_of(x: Tensor, mask: Tensor) -> list[Molecule]:
    """The molecules of states: each atom is of the type with the largest channel.

    Args:
        x: In natural units, (molecules, 9, atoms).
        mask: True where there is an atom, (molecules, 1, atoms).

    Returns:
        The molecules.
    """
    numbers = torch.tensor([NUMBERS[symbol] for symbol in ATOMS])
    kinds = numbers[x[:, AXES : AXES + len(ATOMS)].argmax(1).cpu()]
    return [
        Molecule(
            kinds[row][there].numpy().astype(np.int64),
            x[row, :AXES, there].T.double().cpu().numpy(),
            f"sample-{row:04d}",
        )
        for row, there in enumerate(mask[:, 0].cpu())
    ]
