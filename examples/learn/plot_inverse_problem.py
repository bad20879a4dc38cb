"""
An inverse problem: what the stripes hid
========================================

A slice of a head is measured in stripes, with noise. A prior of heads fills in what is missing:
two samples of what it may have been, their mean, and how much they differ.
"""

import matplotlib.pyplot as plt
import torch

import unfog
from unfog.core.random import generator, normal

# %%
# A held-out slice, and what is measured of it: 8 of every 12 rows, with noise.
run = unfog.load("t1-slices")
x = unfog.open_dataset({"name": "mni-t1", "split": "test"}).batch([4])["x"]
seen = (torch.arange(x.shape[2]) % 12 < 8).view(-1, 1).expand(x.shape[2:])
rows = seen[:, 0]


def measure(image: torch.Tensor) -> torch.Tensor:
    """The rows that are measured."""
    return image[:, :, rows]


sigma = 0.03
y = measure(x) + sigma * normal(measure(x).shape, generator(0, "measurement"))

# %%
# Four draws from p(x | y), in 24 steps each.
restored = run.restore(y, measure, sigma=sigma, samples=4, steps=24)

# %%
# The measurement, two draws, their mean, their deviation, and the truth.
picture = torch.full_like(x, torch.nan)
picture[:, :, rows] = y
shown = {
    "measured": picture,
    "a draw": restored.samples[:, 0],
    "another": restored.samples[:, 1],
    "mean of 4": restored.mean,
    "deviation of 4": restored.std,
    "truth": x,
}
figure, panels = plt.subplots(1, 6, figsize=(9, 2.1), layout="constrained")
for axes, (name, image) in zip(panels, shown.items(), strict=True):
    top = 0.2 if name.startswith("deviation") else 1.0
    colours = plt.get_cmap("magma" if top < 1 else "gray").with_extremes(bad="tab:blue")
    axes.imshow(image[0, 0].flip(0), cmap=colours, vmin=0, vmax=top)
    axes.set_title(name, fontsize=9)
    axes.axis("off")
error = (restored.mean - x)[:, :, ~rows].square().mean().sqrt()
print(f"root-mean-square error in the stripes that were not measured: {error:.3f}")
plt.show()
