"""
The score: which way the data are
=================================

The score of x_t for data on three blobs, at three times: arrows up the slope of log p(x_t), over
its exact density.
"""

import matplotlib.pyplot as plt
import torch

from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import VPLinear

# %%
process = VPLinear()
means = torch.tensor([[-1.2, -0.6], [1.2, -0.6], [0.0, 1.2]], dtype=torch.float64)
denoiser = MixtureDenoiser(
    process,
    torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64),
    means,
    torch.full((3, 2), 0.06, dtype=torch.float64),
)


# %%
# A grid of points for the density, and a coarser one for the arrows.
def points(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The axis of a square grid, and its points (count^2, 2)."""
    axis = torch.linspace(-2.5, 2.5, count, dtype=torch.float64)
    return axis, torch.cartesian_prod(axis, axis)


fine, dense = points(100)
_, sparse = points(17)

# %%
figure, panels = plt.subplots(1, 3, figsize=(8, 3), sharey=True, layout="constrained")
for axes, time in zip(panels, (0.05, 0.25, 0.6), strict=True):
    t = torch.tensor(time, dtype=torch.float64)
    density = denoiser.log_density(dense, t).exp().view(100, 100)
    score = denoiser.score(sparse, t)
    # The arrows show the direction; their length grows as the root of the score's.
    arrows = score / score.norm(dim=1, keepdim=True).sqrt()
    axes.pcolormesh(fine, fine, density.T, cmap="Blues", shading="gouraud")
    axes.quiver(*sparse.T, *arrows.T, width=0.005, alpha=0.8)
    axes.set(title=f"t = {time}", aspect="equal")
plt.show()
