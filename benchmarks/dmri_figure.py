"""The picture of docs/dmri.md: one plane of a phantom, noisy, after DIPY's MPPCA, after unfog, and
the truth.

    python benchmarks/dmri_figure.py docs/dmri.png

A weighted volume; fibre directions coloured by axis, as bright as FA; how far white matter's
principal direction is off, to 10 degrees.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from dmri_denoise import noisy, single_shell

from unfog.core.denoiser import InBfloat16
from unfog.dmri.checks.errors_to_truth import axis_angle
from unfog.dmri.denoising.blind import denoise_blind
from unfog.dmri.simulation.phantom import Phantom
from unfog.dmri.tensor import Tensors, fit_tensors
from unfog.runs.run import Run

mpl.use("Agg")
from matplotlib import pyplot as plt

PLANE, VOLUME, OFF = 14, 20, 10.0


def plane(x: Any) -> Any:
    """Upright, for a picture."""
    return np.moveaxis(x[:, :, PLANE], 0, 1)[::-1]


def coloured(found: Tensors, phantom: Phantom) -> Any:
    """|direction| times FA, (rows, columns, 3)."""
    whole = np.zeros((*phantom.mask.shape, 3))
    whole[phantom.mask] = np.abs(found.direction) * np.clip(found.fa, 0, 1)[:, None]
    return np.clip(1.3 * plane(whole), 0, 1)


def off(found: Tensors, truth: Tensors, phantom: Phantom) -> tuple[Any, float]:
    """Degrees in white matter (rows, columns), and their mean over the phantom."""
    whole, angle = np.full(phantom.mask.shape, np.nan), axis_angle(found.direction, truth.direction)
    whole[phantom.mask] = angle
    whole[~phantom.white] = np.nan
    return plane(whole), float(np.nanmean(whole))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--snr", type=float, default=20)
    parser.add_argument("--prior", default="dmri-refiner")
    options = parser.parse_args()
    from dipy.denoise.localpca import mppca

    phantom = single_shell(0)
    y = noisy(phantom, options.snr, "white", 0)
    ours = denoise_blind(
        InBfloat16(Run.open(options.prior).denoiser), y, phantom.gradients, phantom.mask
    ).signal
    scans = {
        f"as acquired, SNR {options.snr:g}": y,
        "DIPY's MPPCA": mppca(y, mask=phantom.mask),
        "unfog": ours,
        "truth": phantom.signal,
    }
    truth = phantom.tensors()
    figure, axes = plt.subplots(3, 4, figsize=(10, 7.7), layout="constrained")
    for column, (name, scan) in zip(axes.T, scans.items(), strict=True):
        found = fit_tensors(np.asarray(scan)[phantom.mask], phantom.gradients)
        angle, mean = off(found, truth, phantom)
        error = (
            100
            / phantom.b0
            * float(
                np.sqrt(
                    np.mean((scan - phantom.signal)[phantom.mask][:, ~phantom.gradients.b0] ** 2)
                )
            )
        )
        column[0].imshow(
            plane(scan[..., VOLUME]),
            cmap="gray",
            vmin=0,
            vmax=float(np.quantile(phantom.signal[..., VOLUME], 0.995)),
        )
        column[0].set_title(name, fontsize=10)
        column[1].imshow(coloured(found, phantom))
        shown = column[2].imshow(angle, cmap="magma", vmin=0, vmax=OFF)
        for ax, text in (
            (column[0], f"error {error:.2f} % of b0"),
            (column[2], f"{mean:.2f} degrees off"),
        ):
            ax.set_xlabel(text if name != "truth" else "", fontsize=9)
        for ax in column:
            ax.set_xticks([])
            ax.set_yticks([])
    figure.colorbar(shown, ax=axes[2], shrink=0.8, label="degrees")
    figure.savefig(options.out, dpi=90, facecolor="white", metadata={"Software": None})


if __name__ == "__main__":
    main()
