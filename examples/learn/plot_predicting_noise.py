"""
What a denoiser answers: the mean of all that fits
==================================================

A trained prior of T1-weighted slices looks at one slice in more and more noise. What it answers is
the mean of every clean slice that could be behind the noise, so it is sharp where the noise is low
and smooth where it is high.
"""

import matplotlib.pyplot as plt
import torch

import unfog
from unfog.core.random import generator, normal

# %%
# A slice of the slab that the prior was not trained on, on the model's scale.
run = unfog.load("t1-slices")
held_out = unfog.open_dataset({"name": "mni-t1", "split": "test"})
x_0 = run.codec.encode(held_out.batch([4])["x"])

# %%
# Four noise levels sigma / alpha, the same noise in all.
process, levels = run.denoiser.process, (0.1, 0.3, 1.0, 3.0)
noise = normal(x_0.shape, generator(0, "noise"))
columns = []
for level in levels:
    t = process.t_of_noise_level(torch.tensor(level, dtype=torch.float64))
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    x_t = alpha * x_0 + sigma * noise
    with torch.no_grad():
        columns.append((x_t / alpha, run.denoiser(x_t, t).mean))

# %%
# Above, x_t / alpha; below, E[x_0 | x_t]; on the left, x_0 itself.
figure, axes = plt.subplots(2, 5, figsize=(8, 4), layout="constrained")
look = {"cmap": "gray", "vmin": -1, "vmax": 1}
for pair, level, column in zip(columns, levels, axes[:, 1:].T, strict=True):
    for image, place in zip(pair, column, strict=True):
        place.imshow(image[0, 0].flip(0), **look)
    column[0].set_title(f"sigma / alpha = {level}", fontsize=9)
axes[0, 0].imshow(x_0[0, 0].flip(0), **look)
axes[0, 0].set_title("x_0", fontsize=9)
for place in axes.flat:
    place.axis("off")
plt.show()
