"""
The forward process: a picture that sinks into noise
====================================================

One real slice of a head at six times of the cosine schedule, and how much signal and noise there is
at each time.
"""

import matplotlib.pyplot as plt
import torch

import unfog
from unfog.core.process import VPCosine
from unfog.core.random import generator, normal

# %%
# A slice of the MNI average brain, on the model's scale from -1 to 1.
dataset = unfog.open_dataset("mni-t1")
x_0 = 2 * dataset.batch([60])["x"].double() - 1

# %%
# The schedule gives alpha and sigma at any time; x_t is one line. The noise is drawn once, so the
# six pictures are six times of one path.
process = VPCosine()
noise = normal(x_0.shape, generator(0, "noise"), like=x_0)
times = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], dtype=torch.float64)
states = [process.alpha(t) * x_0 + process.sigma(t) * noise for t in times]

# %%
# Above, the states; below, the schedule that made them.
figure = plt.figure(figsize=(8, 4.4), layout="constrained")
grid = figure.add_gridspec(2, len(times), height_ratios=(1.2, 1))
for k, (t, x_t) in enumerate(zip(times, states, strict=True)):
    axes = figure.add_subplot(grid[0, k])
    axes.imshow(x_t[0, 0].flip(0), cmap="gray", vmin=-1.5, vmax=1.5)
    axes.set_title(f"t = {float(t):.1f}", fontsize=10)
    axes.axis("off")

axes = figure.add_subplot(grid[1, :])
t = torch.linspace(0, 1, 200, dtype=torch.float64)
axes.plot(t, process.alpha(t), label="alpha: how much of the picture is left")
axes.plot(t, process.sigma(t), label="sigma: standard deviation of the noise")
axes.set_xlabel("t")
axes.grid(alpha=0.3)
axes.legend(fontsize=9)
plt.show()
