"""
A measurement is any linear function
====================================

The operator is one line of torch that the library has never seen. Its adjoint is derived, its
linearity is checked, and the prior restores from it.
"""

import matplotlib.pyplot as plt
import torch

import unfog
from unfog.core.random import generator, normal
from unfog.physics.function import as_operator

# %%
# A head that moves by nine pixels while it is scanned.
run = unfog.load("t1-slices")


def measure(x: torch.Tensor) -> torch.Tensor:
    """The mean of nine places along the rows."""
    return torch.stack([x.roll(k, -1) for k in range(-4, 5)]).mean(0)


# %%
# The derived adjoint keeps <A x, y> = <x, A* y>, for any x and y.
operator = as_operator(measure, run.shape)
a = normal((1, *run.shape), generator(0, "a"))
b = normal(measure(a).shape, generator(0, "b"))
left, right = float((measure(a) * b).sum()), float((a * operator.adjoint(b)).sum())
print(f"<A x, y> = {left:.4f}, <x, A* y> = {right:.4f}")
assert abs(left - right) < 1e-3

# %%
# A held-out slice, measured with a little noise and restored.
x = unfog.open_dataset({"name": "mni-t1", "split": "test"}).batch([2])["x"]
y = measure(x) + 0.02 * normal(measure(x).shape, generator(0, "noise"))
restored = run.restore(y, measure, sigma=0.02, samples=4, steps=16)

# %%
figure, panels = plt.subplots(1, 4, figsize=(8, 2.7), layout="constrained")
shown = {"measured": y, "mean of 4": restored.mean, "a draw": restored.samples[:, 0]}
for axes, (name, image) in zip(panels, {**shown, "truth": x}.items(), strict=True):
    axes.imshow(image[0, 0].flip(0), cmap="gray", vmin=0, vmax=1)
    axes.set_title(name, fontsize=9)
    axes.axis("off")
for name, image in shown.items():
    error = float((image - x).square().mean().sqrt())
    print(f"{name}: root-mean-square error {error:.4f}")
plt.show()
