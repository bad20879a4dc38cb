"""The Fréchet ChemNet distance of molecules, by the library ``fcd`` where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError, MissingExtra
from unfog.evaluation.distances import Moments, moments
from unfog.evaluation.frechet_error import frechet_estimate
from unfog.evaluation.judgement import Figure

LEAST = 100  # molecules


def chemnet_features(smiles: Sequence[str]) -> Tensor:
    """ChemNet's numbers of molecules (Preuer et al. 2018).

    Args:
        smiles: Canonical, one a molecule (``metrics.smiles_of``).

    Returns:
        (n, 512), float32.

    Raises:
        MissingExtra: The library is not installed.
    """
    try:
        import fcd
    except ImportError as error:
        raise MissingExtra("chemnet", "fcd") from error
    network: Any = fcd.load_ref_model()
    found = fcd.get_predictions(network, list(smiles), n_jobs=0, device="cpu")
    return torch.from_numpy(found).float()


def chemnet_distance(
    generated: Sequence[str], real: Sequence[str], reference: Sequence[str]
) -> Figure:
    """The Fréchet distance in ChemNet's numbers, with its error, beside what real molecules score.

    Args:
        generated: SMILES of n generated molecules, of those that have one.
        real: As many real ones, for the floor.
        reference: Real ones that both are compared with.

    Returns:
        The distance and its floor.

    Raises:
        InputError: There are fewer than 100 molecules, or not as many real as generated ones.
        MissingExtra: The library is not installed.
    """
    if min(len(generated), len(reference)) < LEAST or len(real) != len(generated):
        raise InputError(
            f"A ChemNet distance needs {LEAST} molecules or more, and as many real as generated "
            f"ones, got {len(generated)}, {len(real)} and a reference of {len(reference)}."
        )
    ours, floor, held = map(chemnet_features, (generated, real, reference))
    fitted = Moments(*moments(held))
    return Figure(frechet_estimate(ours, held, fitted), frechet_estimate(floor, held, fitted))
