r"""Everything that is said of generated samples beside real ones: each figure with its interval,
and with the floor that real samples themselves leave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.evaluation.distances import Moments, kid, moments
from unfog.evaluation.estimates import Estimate, bootstrap_error, mean_estimate
from unfog.evaluation.frechet_error import frechet_estimate
from unfog.evaluation.manifold import Manifold, manifold
from unfog.evaluation.sliced import projections, sliced_of_projections
from unfog.evaluation.spectrum import radial_spectrum, spectrum_distance

LEAST = 20  # samples, for anything to be said
LEAST_OF: Mapping[str, int] = {"frechet": 100, "kid": 100}  # for these figures
BLOCKS = 10  # of a kernel distance, whose spread is its error

Function = Callable[[Tensor, Tensor], Estimate]


@dataclass(frozen=True)
class Figure:
    """A figure of generated samples, and the same of real ones in their place."""

    generated: Estimate
    floor: Estimate

    def plain(self) -> dict[str, Any]:
        """As plain data: the value, its 95 % interval, and the floor."""
        low, high = self.generated.interval
        return {
            "value": self.generated.value,
            "interval": [low, high],
            "floor": self.floor.value,
            "floor interval": list(self.floor.interval),
        }


@dataclass
class Judgement:
    """What is said of generated samples.

    Args:
        n: Generated samples, and real ones in their place.
        reference: Real samples that both are compared with.
        figures: By name.
        left_out: Why a figure is not there, by name.
    """

    n: int
    reference: int
    figures: dict[str, Figure] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As plain data."""
        figures = {name: figure.plain() for name, figure in self.figures.items()}
        return {
            "n": self.n,
            "n_reference": self.reference,
            "figures": figures,
            "left_out": self.left_out,
        }


def judge(generated: Tensor, real: Tensor, reference: Tensor, seed: int = 0) -> Judgement:
    """Distances, precision and recall, density and coverage of features.

    Args:
        generated: (n, d), features.
        real: (n, d), of real samples, for the floor.
        reference: (m, d) with m of n or more, of other real samples.
        seed: Of resamplings and directions.

    Returns:
        The figures; those that n is too small for are left out, with the reason.

    Raises:
        InputError: There are fewer than ``LEAST`` samples, or the sets' sizes do not fit.
    """
    n = len(generated)
    if n < LEAST:
        raise InputError(
            f"{n} samples are too few to judge by; give at least {LEAST}, and {LEAST_OF['frechet']}"
            " for the Frechet and kernel distances."
        )
    if len(real) != n or len(reference) < n:
        raise InputError(
            f"The floor needs as many real samples as generated ones and a reference no smaller, "
            f"got {len(real)} and {len(reference)} for {n}."
        )
    found = Judgement(n, len(reference))
    fitted = Moments(*moments(reference)) if n >= LEAST_OF["frechet"] else None
    functions: dict[str, Function] = {
        "frechet": lambda x, other: frechet_estimate(x, other, cast(Moments, fitted)),
        "kid": _kid,
        "sliced wasserstein": _slices,
    }
    for name, function in functions.items():
        least = LEAST_OF.get(name, LEAST)
        if n < least:
            found.left_out[name] = f"{n} samples are fewer than the {least} that it needs"
            continue
        found.figures[name] = Figure(function(generated, reference), function(real, reference))
    # Those of neighbours depend on both sizes: equal ones.
    equal = reference[:n]
    ours, floor = (_neighbours(manifold(x, equal), seed) for x in (generated, real))
    found.figures |= {name: Figure(ours[name], floor[name]) for name in ours}
    return found


def spectra(generated: Tensor, real: Tensor, reference: Tensor, seed: int = 0) -> Figure:
    """The distance of mean radial spectra (``spectrum_distance``).

    Args:
        generated: (n, channels, *space), one size along every axis of space.
        real: (n, ...), for the floor.
        reference: (m, ...).
        seed: Of resamplings.

    Returns:
        The root mean square of ln(E_1 / E_2).
    """
    wanted = radial_spectrum(reference).mean(0).clamp(min=1e-30)
    estimates = []
    for x in (generated, real):
        each = radial_spectrum(x).clamp(min=1e-30)

        def distance(rows: Tensor, each: Tensor = each) -> float:
            return spectrum_distance(each[rows].mean(0), wanted)

        value = distance(torch.arange(len(each)))
        estimates.append(Estimate(value, bootstrap_error(distance, len(each), seed), 0.0))
    return Figure(*estimates)


def _kid(x: Tensor, reference: Tensor) -> Estimate:
    found = kid(x, reference, block=len(x) // BLOCKS)
    return Estimate(found.value, found.error)


def _slices(x: Tensor, reference: Tensor) -> Estimate:
    first, second = projections(x, reference[: len(x)])

    def distance(columns: Tensor) -> float:
        return sliced_of_projections(first[:, columns], second)

    value = sliced_of_projections(first, second)
    return Estimate(value, bootstrap_error(distance, len(x), draws=50), 0.0)


def _neighbours(found: Manifold, seed: int) -> dict[str, Estimate]:
    return {
        "precision": mean_estimate(found.precision, seed, 0.0, 1.0),
        "recall": mean_estimate(found.recall, seed, 0.0, 1.0),
        "density": mean_estimate(found.density, seed, 0.0),
        "coverage": mean_estimate(found.coverage, seed, 0.0, 1.0),
    }
