"""
Noise that is never negative
============================

An MRI magnitude is the length of a complex number, so noise makes dark voxels brighter. In
diffusion MRI the dark voxels are those along the fibres, and fractional anisotropy comes out wrong.
"""

import matplotlib.pyplot as plt
import numpy as np

from unfog.dmri import gradients
from unfog.dmri.rician import koay_inversion, magnitude_mean
from unfog.dmri.tensor import fit_tensors

# %%
# A fibre along x: diffusion of 1.7e-3 mm^2/s along it and 0.3e-3 across, and 60 directions evenly
# on the sphere (a Fibonacci lattice) at three b-values, with six volumes at b = 0.
count = 60
height = 1 - (2 * np.arange(count) + 1) / count
angle = np.pi * (1 + 5**0.5) * np.arange(count)
ring = np.sqrt(1 - height**2)
lattice = np.stack([ring * np.cos(angle), ring * np.sin(angle), height], 1)
tensor = np.diag([1.7e-3, 0.3e-3, 0.3e-3])
bvecs = np.concatenate([np.tile([1.0, 0.0, 0.0], (6, 1)), lattice])
truth = np.sqrt(
    1.5 * np.square(np.diag(tensor) - np.trace(tensor) / 3).sum() / np.square(tensor).sum()
)


def anisotropy(b: float, snr: float, corrected: bool) -> float:
    """FA of the mean of many magnitudes, 1 / snr the noise, with the bias of noise or without."""
    table = gradients(np.r_[np.zeros(6), np.full(count, b)], bvecs)
    signal = np.exp(-b * np.einsum("vi,ij,vj->v", lattice, tensor, lattice))
    magnitude = magnitude_mean(np.r_[np.ones(6), signal], 1 / snr)
    if corrected:
        magnitude = koay_inversion(magnitude, 1 / snr)
    return float(fit_tensors(magnitude[None], table).fa[0])


# %%
# Left, the mean magnitude against the signal; right, FA against the signal-to-noise ratio.
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
signal = np.linspace(0, 5, 200)
left.plot(signal, signal, color="grey", ls="--", label="signal")
left.plot(signal, magnitude_mean(signal, 1.0), label="mean magnitude")
left.set(xlabel="signal / sigma", ylabel="magnitude / sigma", aspect="equal")
snr = np.linspace(4, 30, 27)
for b, colour in ((1000.0, "tab:blue"), (2000.0, "tab:orange"), (3000.0, "tab:green")):
    right.plot(snr, [anisotropy(b, s, False) for s in snr], color=colour, label=f"b = {b:g}")
right.plot(snr, [anisotropy(3000.0, s, True) for s in snr], "k:", label="b = 3000, bias undone")
right.axhline(truth, color="grey", ls="--", zorder=0)
right.set(xlabel="signal-to-noise ratio at b = 0", ylabel="fractional anisotropy")
for axes in (left, right):
    axes.grid(alpha=0.3)
    axes.legend()
print(f"FA: truth {truth:.3f}; b = 3000, SNR 10: {anisotropy(3000.0, 10, False):.3f}")
plt.show()
