"""
Latent diffusion: a drawing forms in a twelfth of its numbers
=============================================================

An autoencoder turns a picture of 64 x 64 x 3 numbers into 8 x 8 x 16 and back. A diffusion model
works on the small side. Here one of its walks, with what it would draw if it ended there.
"""

import matplotlib.pyplot as plt
import torch

import unfog
from unfog.core.random import generators, normal
from unfog.sampling import grids, samplers, trajectory

# %%
# The prior of emoji that ships, and its latent space.
run = unfog.load("emoji")
shape = run.codec.latent_shape(run.shape)
print(f"a picture is {run.shape}, its latents are {shape}")

# %%
# Twenty steps from noise. The state is a latent; the denoiser's answer is one too, and is decoded.
grid = grids.build({"name": "karras", "sigma_max": 40.0})(run.denoiser.process, 20)
noise = normal((1, *shape), generators(11, [0]))
start = float(run.denoiser.process.sigma(grid[0])) * noise
path = list(
    trajectory(
        run.denoiser, start, grid, samplers.build("dpmpp-2m"), randomness=generators(11, [0])
    )
)
steps = (0, 6, 9, 12, 15, 20)
figure, panels = plt.subplots(2, len(steps), figsize=(8, 3), layout="constrained")
for k, column in zip(steps, panels.T, strict=True):
    state, t = path[k].x, torch.tensor(path[k].t, dtype=torch.float64)
    with torch.no_grad():
        answer = run.denoiser(state, t).mean if k < 20 else state
        picture = (run.codec.decoded(answer)[0].permute(1, 2, 0) / 2 + 0.5).clamp(0, 1)
    # Four of the sixteen channels, as four small maps.
    maps = (state[0, :4] / state.std()).reshape(2, 2, 8, 8).permute(0, 2, 1, 3).reshape(16, 16)
    column[0].imshow(maps, cmap="coolwarm", vmin=-2.5, vmax=2.5)
    column[1].imshow(picture)
    column[0].set_title(f"after {k} steps", fontsize=9)
for axes in panels.flat:
    axes.axis("off")
plt.show()
