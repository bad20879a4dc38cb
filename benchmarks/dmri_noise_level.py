"""The noise level of diffusion scans by the Marchenko-Pastur law and by differences within shells,
beside the truth; and the same for a scan whose noise has a map.

    python benchmarks/dmri_noise_level.py --out benchmarks/results/dmri_noise_level.json

Rician noise on the anatomical phantom, 24 x 24 x 16 voxels, white and shared by neighbours (.26
and .10 in the plane, as in small_64D), of tables of 6 to 90 directions; and with faults: 5 % drift,
half a voxel's motion half way, one voxel's shift in every other volume as reversed phase encoding
makes it. Levels are those of magnitudes, averaged over volumes, over the true ones: the mean over
the head and the root mean square of what is beyond 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import dipy
import numpy as np
import torch
from record import write_record
from scipy.ndimage import shift

import unfog
from unfog.core.random import generator
from unfog.dmri import harmonics
from unfog.dmri.denoising.classical import DIFFERENCES, MP, denoise
from unfog.dmri.denoising.noise_differences import can_take_differences
from unfog.dmri.denoising.noise_map import NoiseMap, denoise_by_map, map_of_noise
from unfog.dmri.gradients import GradientTable
from unfog.dmri.rician import magnitude_mean, variance_share
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import Phantom, make_phantom, real_gradients

SHAPE, SNRS, SHARED = (24, 24, 16), (5, 10, 20, 30), (0.26, 0.10, 0.0)
FAULTS = ("still", "drift", "motion", "reversed")


def table(directions: int, shells: tuple[float, ...], b0: int) -> GradientTable:
    """So many directions in each shell, and volumes at b = 0."""
    rows, bvals = [np.zeros((b0, 3))], [np.zeros(b0)]
    for k, b in enumerate(shells):
        rows.append(harmonics.fibonacci(2 * (directions + k)).numpy()[:directions])
        bvals.append(np.full(directions, b))
    return GradientTable(np.concatenate(bvals), np.concatenate(rows))


TABLES = {
    "6": table(6, (1000,), 1),
    "12": table(12, (1000,), 2),
    "20": table(20, (1000,), 3),
    "30": table(30, (1000,), 3),
    "64": real_gradients(),
    "3 x 28": table(28, (1000, 2000, 3000), 6),
}


def with_fault(signal: Any, fault: str) -> Any:
    """(X, Y, Z, volumes) with what a scan does beside noise."""
    signal, volumes = signal.copy(), signal.shape[3]
    if fault == "drift":
        signal *= np.linspace(1, 0.95, volumes)
    if fault == "motion":
        late = slice(volumes // 2, None)
        signal[..., late] = shift(signal[..., late], (0, 0.5, 0, 0), order=1, mode="nearest")
    if fault == "reversed":
        signal[..., ::2] = shift(signal[..., ::2], (0, 1, 0, 0), order=1, mode="nearest")
    return signal


def one(phantom: Phantom, snr: float, correlation: tuple[float, ...], fault: str) -> dict[str, Any]:
    """Each estimate over the truth: mean, and root mean square of what is beyond 1."""
    signal, sigma = with_fault(phantom.signal, fault), phantom.b0 / snr
    clean = torch.from_numpy(signal).float().movedim(3, 0)
    noisy = add_magnitude_noise(clean, sigma, generator(1, "noise"), 1, correlation)
    data = noisy.movedim(0, 3).contiguous().numpy()
    mean = magnitude_mean(signal, sigma)
    truth = sigma * np.sqrt(variance_share(mean, sigma).mean(-1))
    figures = {}
    for method in (MP, DIFFERENCES):
        if method == MP or can_take_differences(phantom.gradients):
            found = denoise(data, phantom.gradients, phantom.mask, noise_level=method).noise
            ratio = (found.level.numpy() / truth)[phantom.mask]
            off = float(np.sqrt(np.mean((ratio - 1) ** 2)))
            figures[method] = {"mean": round(float(ratio.mean()), 3), "off": round(off, 3)}
    return figures


def known(phantom: Phantom, snr: float) -> dict[str, float]:
    """Low rank's error over the voxels' noise, of which every other slice has twice as much and
    ridges three times: told nothing, the true map, and three volumes without excitation.
    """
    level = np.ones(SHAPE)
    level[8:10], level[14:16] = 3, 3
    level[:, :, ::2] *= 2
    level = (level * phantom.b0 / snr).astype(np.float32)
    sigma, zeros = torch.from_numpy(level), torch.zeros(3, *SHAPE)
    clean = torch.from_numpy(phantom.signal).float().movedim(3, 0)
    data = add_magnitude_noise(clean, sigma, generator(1, "noise")).movedim(0, 3).numpy()
    norf = add_magnitude_noise(zeros, sigma, generator(2, "noise")).movedim(0, 3).numpy()
    mask, table = phantom.mask, phantom.gradients
    answers = {
        "nothing": denoise(data, table, mask),
        "map": denoise_by_map(data, table, NoiseMap(level), mask),
        "3 volumes": denoise_by_map(data, table, map_of_noise(norf), mask),
    }
    figures = {}
    for name, answer in answers.items():
        error = ((answer.signal - phantom.signal) / level[..., None])[mask]
        figures[f"{name}, error"] = round(float(np.sqrt(np.mean(error**2))), 4)
        off = np.abs(answer.sigma / level - 1)[mask].mean()
        figures[f"{name}, level off"] = round(float(off), 4)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    anatomy, figures = mni_anatomy(SHAPE), {}
    for name, gradients in TABLES.items():
        phantom = make_phantom(gradients, 0, anatomy)
        for snr in SNRS:
            figures[f"{name}, SNR {snr}, white"] = one(phantom, snr, (0, 0, 0), "still")
            figures[f"{name}, SNR {snr}, shared"] = one(phantom, snr, SHARED, "still")
        for fault in FAULTS[1:] if can_take_differences(gradients) else ():
            figures[f"{name}, SNR 20, {fault}"] = one(phantom, 20, (0, 0, 0), fault)
    phantom = make_phantom(TABLES["30"], 0, anatomy)
    maps = {f"SNR {snr}": known(phantom, snr) for snr in SNRS[1:]}
    write_record({"levels": figures, "noise map": maps}, (unfog, np, torch, dipy), out)


if __name__ == "__main__":
    main()
