"""
The reverse process: from noise to two peaks
============================================

Paths of DDPM and DDIM over the exact density of x_t, for data with two peaks. The denoiser is
known in closed form, so nothing is trained and nothing is approximated but the finite steps.
"""

import matplotlib.pyplot as plt
import torch

from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import VPCosine
from unfog.core.random import generators, normal
from unfog.sampling import samplers, trajectory

# %%
# The data: 30 % near -1.2, 70 % near 0.8, each with a deviation of 0.15.
process = VPCosine()
weights = torch.tensor([0.3, 0.7], dtype=torch.float64)
means = torch.tensor([[-1.2], [0.8]], dtype=torch.float64)
denoiser = MixtureDenoiser(
    process, weights, means, torch.full((2, 1), 0.15**2, dtype=torch.float64)
)

# %%
# The density of x_t at every time, exactly.
t = torch.linspace(1, 0.001, 120, dtype=torch.float64)
x = torch.linspace(-3, 3, 160, dtype=torch.float64)
density = torch.stack([denoiser.log_density(x[:, None], time).exp() for time in t], 1)

# %%
# Thirty paths of each sampler, from the same noise.
grid = torch.linspace(1, 0, 101, dtype=torch.float64)
noise = normal((30, 1), generators(0, range(30), "start"), like=means)
figure, both = plt.subplots(1, 2, figsize=(8, 3.6), sharey=True, layout="constrained")
for axes, name in zip(both, ("ddpm", "ddim"), strict=True):
    randomness = generators(0, range(30))
    path = trajectory(
        denoiser, noise * process.sigma(grid[0]), grid, samplers.build(name), randomness=randomness
    )
    states = torch.stack([state.x[:, 0] for state in path])
    axes.pcolormesh(t, x, density / density.amax(0), cmap="Blues", vmax=1.4, shading="gouraud")
    axes.plot(grid, states, color="black", lw=0.6, alpha=0.7)
    axes.set(xlim=(1, 0), ylim=(-3, 3), xlabel="t", title=name.upper())
both[0].set_ylabel("x")
plt.show()
