"""
Does the uncertainty hold?
==========================

Held-out slices are restored and each stated interval is checked against the truth: of the intervals
of 90 %, how many hold the value?
"""

import matplotlib.pyplot as plt
import torch

import unfog
from unfog.core.random import generators, normal
from unfog.evaluation.conformal import conformal_scale, student_scale

# %%
# Four held-out slices with noise of a tenth of the range; eight draws from the posterior
# of each in six steps, by two samplers.
run = unfog.load("t1-slices")
x = unfog.open_dataset({"name": "mni-t1", "split": "test"}).batch([0, 3, 6, 9])["x"]
sigma = 0.1
y = x + sigma * normal(x.shape, generators(0, range(4)))
draws = {
    "DDPM": run.restore(y, sigma=sigma, samples=8, steps=6, sampler="ddpm"),
    "calibrated draws": run.restore(y, sigma=sigma, samples=8, steps=6, sampler="calibrated-draws"),
}
head = x > 0.1  # outside the head all is known
first, others = slice(0, 2), slice(2, 4)  # two slices to measure a factor on, two to check


# %%
# Student's factor is for what eight draws can say; the conformal one is measured on the first two
# slices. For each level and factor, the share of values of the other two in their interval.
def coverage(error: torch.Tensor, std: torch.Tensor, level: float, factor: float) -> float:
    """The share of errors within ``factor`` times their interval."""
    z = torch.special.ndtri(torch.tensor(0.5 + level / 2))
    return float((error.abs() <= factor * z * std).float().mean())


levels = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
curves = {}
for name, r in draws.items():
    error = r.samples.mean(1) - x
    known = error[first][head[first]], r.std[first][head[first]]
    checked = error[others][head[others]], r.std[others][head[others]]
    curves[name] = [coverage(*checked, level, student_scale(8, level)) for level in levels]
    curves[f"{name}, scaled"] = [
        coverage(*checked, level, conformal_scale(*known, level)) for level in levels
    ]

# %%
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
axes.plot(levels, levels, color="grey", ls="--", label="as stated")
for (name, curve), mark in zip(curves.items(), "o^sv", strict=True):
    axes.plot(levels, curve, f"{mark}-", label=name)
    print(f"{name}: {100 * curve[4]:.0f} % of the intervals of 90 % hold")
axes.set(xlabel="stated", ylabel="found on the slices not used")
axes.grid(alpha=0.3)
axes.legend()
plt.show()
