"""What a notebook shows of the results of diffusion MRI: facts and axial planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from unfog.report import figures
from unfog.report.figures import fragment, sizes

if TYPE_CHECKING:
    from unfog.dmri.denoising.classical import Denoised
    from unfog.dmri.denoising.complete import Completed
    from unfog.dmri.fibres.fod import Fod
    from unfog.dmri.fibres.orientation import Orientation


def denoised_html(one: Denoised) -> str:
    """The last volume before and after, the noise level and the expected error."""
    sigma = one.sigma[one.sigma > 0]
    facts: dict[str, Any] = {
        "scan": f"{sizes(one.signal.shape)} (X, Y, Z, volumes)",
        "noise, median": float(np.median(sigma)) if sigma.size else 0.0,
        "expected error, median": float(np.median(one.expected_error)),
        "coils": one.coils,
        "bias of magnitudes": "taken away" if one.unbiased else "left",
    }
    pictures = {
        "last volume, measured": figures.volume(one.measured[..., -1]),
        "last volume, denoised": figures.volume(one.signal[..., -1]),
        "noise": figures.map_of(one.sigma),
        "expected error": figures.map_of(one.expected_error),
    }
    return fragment("Denoised diffusion MRI", facts, pictures, " ".join(one.notes))


def completed_html(one: Completed) -> str:
    """The last volume that was asked for, and its deviation."""
    facts: dict[str, Any] = {
        "scan": f"{sizes(one.signal.shape)} (X, Y, Z, volumes)",
        "standard deviation, median": float(np.median(one.std)),
    }
    if one.check is not None:
        facts["error at directions held out"] = one.check.prior
        facts["that of ridge regression"] = one.check.ridge
    pictures = {
        "last volume": figures.volume(one.signal[..., -1]),
        "its standard deviation": figures.map_of(one.std[..., -1]),
    }
    return fragment("Completed diffusion MRI", facts, pictures)


def orientation_html(one: Orientation) -> str:
    """Directions as colours, FA and the cones."""
    return fragment("Fibre orientations", _facts(one), _maps(one))


def fod_html(one: Fod) -> str:
    """As of the orientations, with the densities' draws and response."""
    facts = _facts(one.maps) | {
        "draws of the density": one.samples.shape[-1],
        "response": ", ".join(f"{k:.4g}" for k in one.response),
    }
    return fragment("Fibre orientation densities", facts, _maps(one.maps))


def _facts(one: Orientation) -> dict[str, Any]:
    """Sizes, and medians over the voxels that were looked at."""
    inside = one.fa_mean > 0
    medians = {
        "FA, median": one.fa_mean,
        "MD in mm^2/s, median": one.md_mean,
        "cone of 95 % in degrees, median": one.cone95,
    }
    found = {k: float(np.median(v[inside])) if inside.any() else 0.0 for k, v in medians.items()}
    return {"voxels": sizes(one.fa_mean.shape), **found}


def _maps(one: Orientation) -> dict[str, figures.Figure]:
    """The pictures of orientations."""
    return {
        "direction": figures.directions(one.direction, one.fa_mean),
        "fractional anisotropy": figures.map_of(one.fa_mean, 1.0, "gray"),
        "cone of 95 %, bright at 90 degrees": figures.map_of(one.cone95, 90.0),
    }
