"""
Guidance: towards the class, away from the rest
===============================================

Samples of one class out of two, for three scales of classifier-free guidance. Both denoisers,
with and without the class, are exact.
"""

from typing import Any

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from unfog.core.denoiser import Denoiser, Posterior
from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import VPCosine
from unfog.core.random import generators, normal
from unfog.guidance.classifier_free import ClassifierFree
from unfog.sampling import sample, samplers

# %%
# Each class is two blobs, and the classes overlap.
process = VPCosine()
means = torch.tensor([[-1.2, 0.0], [-0.2, 0.8], [0.3, -0.8], [1.2, 0.0]], dtype=torch.float64)
covariances = torch.full((4, 2), 0.12, dtype=torch.float64)


def mixture(*parts: int) -> MixtureDenoiser:
    """The exact denoiser of some of the blobs."""
    rows, weights = list(parts), torch.ones(len(parts), dtype=torch.float64)
    return MixtureDenoiser(process, weights, means[rows], covariances[rows])


class TwoClasses(Denoiser):
    """A denoiser that may be told the class, as a trained network is."""

    def __init__(self) -> None:
        super().__init__()
        self.process = process
        self.anything, self.left = mixture(0, 1, 2, 3), mixture(0, 1)

    def forward(self, x_t: Tensor, t: Tensor, **condition: Any) -> Posterior:
        chosen = self.left if condition else self.anything
        return chosen(x_t, t)


# %%
# The same noise under each scale; scale 1 is the class as it is.
grid = torch.linspace(1, 0, 101, dtype=torch.float64)
noise = normal((600, 2), generators(0, range(600)), like=means)
axis = torch.linspace(-2.5, 2.5, 120, dtype=torch.float64)
points, clean = torch.cartesian_prod(axis, axis), torch.tensor(0.0, dtype=torch.float64)
figure, panels = plt.subplots(1, 3, figsize=(8, 3), sharey=True, layout="constrained")
for axes, scale in zip(panels, (1, 2, 5), strict=True):
    guided = ClassifierFree(TwoClasses(), scale)
    x = sample(
        guided,
        noise,
        grid,
        samplers.build("ddim"),
        randomness=generators(0, range(600)),
        condition={"label": torch.zeros(600, dtype=torch.long)},
    )
    for parts, colour in (((0, 1), "Blues"), ((2, 3), "Oranges")):
        density = mixture(*parts).log_density(points, clean).exp().view(120, 120)
        axes.contour(axis, axis, density.T, cmap=colour, levels=5, linewidths=1)
    axes.scatter(*x.T, s=3, color="black", alpha=0.4)
    axes.set(title=f"scale {scale}", aspect="equal", xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))
    print(f"scale {scale}: mean {x.mean(0).tolist()}, deviation {x.std(0).tolist()}")
plt.show()
