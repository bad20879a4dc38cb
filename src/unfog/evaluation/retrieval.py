r"""Whether pictures show their captions: retrieval in a common space of both.

The common space is that of canonical correlations, which is in closed form, so that a judge of
samples has no training that could be tuned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from unfog.errors import InputError


@dataclass(frozen=True)
class Projection:
    """Features (n, features) projected onto the unit sphere of (n, directions).

    Args:
        mean: Of the features, (features,).
        directions: Each times the root of its canonical correlation, (features, directions).
    """

    mean: Tensor
    directions: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Unit vectors (n, directions) float64 of features (n, features)."""
        return normalize((features.double() - self.mean) @ self.directions, dim=1)


@dataclass(frozen=True)
class CanonicalCorrelations:
    """Regularised canonical correlation analysis (Hotelling 1936; Vinod 1976): the directions a, b
    of two kinds of features of the same things along which they correlate most,

        A = Cov(x) + shrinkage mean(diag) I,  B likewise,   A^(-1/2) Cov(x, y) B^(-1/2) = U S V^T,
        a = A^(-1/2) U,  b = B^(-1/2) V.

    Args:
        first: Of x, such as features of pictures.
        second: Of y, such as a text encoder's vectors.
        correlations: S, (directions,), the largest first.
    """

    first: Projection
    second: Projection
    correlations: Tensor

    @classmethod
    def fit(
        cls, x: Tensor, y: Tensor, *, directions: int = 64, shrinkage: float = 1.0
    ) -> CanonicalCorrelations:
        """The analysis of pairs.

        Args:
            x: (n, features).
            y: (n, other features), row k of the same thing as row k of x.
            directions: How many are kept.
            shrinkage: Of the covariances; 0 is Hotelling's analysis, for n far above the number of
                features.

        Returns:
            Both projections.

        Raises:
            InputError: The rows differ in number, or there are fewer features than directions.
        """
        if len(x) != len(y) or len(x) < 2:
            raise InputError(
                f"Canonical correlations need pairs, and were given {len(x)} and {len(y)} rows."
            )
        if not 1 <= directions <= min(x.shape[1], y.shape[1]):
            raise InputError(
                f"Features of {x.shape[1]} and {y.shape[1]} numbers have no {directions} "
                "canonical directions; ask for fewer."
            )
        x_mean, y_mean = x.double().mean(0), y.double().mean(0)
        a, b = x.double() - x_mean, y.double() - y_mean
        whiten_x, whiten_y = (_inverse_root(c.T @ c / len(c), shrinkage) for c in (a, b))
        u, s, v = torch.linalg.svd(whiten_x @ (a.T @ b / len(a)) @ whiten_y, full_matrices=False)
        u, s, v = u[:, :directions], s[:directions], v[:directions].T
        return cls(
            Projection(x_mean, whiten_x @ u * s.sqrt()),
            Projection(y_mean, whiten_y @ v * s.sqrt()),
            s,
        )


def _inverse_root(covariance: Tensor, shrinkage: float) -> Tensor:
    """(covariance + shrinkage mean(diag) I)^(-1/2)."""
    ridge = shrinkage * covariance.diagonal().mean()
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * (values + ridge).clamp(min=1e-12).rsqrt()) @ vectors.T
    return root


def ranks(pictures: Tensor, texts: Tensor) -> Tensor:
    """The rank of each picture's own text among all texts, 0 where it is the nearest; ties count
    against it.

    Args:
        pictures: Unit vectors, (n, directions).
        texts: Unit vectors, (n or more, directions), row k the own text of picture k.

    Returns:
        (n,) int64.
    """
    likeness = pictures @ texts.T
    own = likeness.diagonal()[:, None]
    found: Tensor = (likeness >= own).sum(1) - 1
    return found


def retrieval(pictures: Tensor, texts: Tensor, first: int = 1) -> float:
    """The share of pictures whose own text is among the ``first`` nearest; by chance first / texts.

    Args:
        pictures: Unit vectors, (n, directions).
        texts: Unit vectors, (n or more, directions), row k the own text of picture k.
        first: How many texts a picture may name.

    Returns:
        From 0 to 1.
    """
    return float((ranks(pictures, texts) < first).double().mean())
