"""
A sample depends on the seed and its number
===========================================

Sample 5 is the same alone and in a batch, with samplers that draw noise as well. So a picture that
was seen once can be made again without the others.
"""

import matplotlib.pyplot as plt
import torch

import unfog
from unfog.runs.sample import Plan, draw

# %%
# Six samples together, and the fifth by itself.
run = unfog.load("t1-slices")
plan = Plan.of(run, sampler="ddpm", steps=12)
together = draw(run, plan, ids=range(6), seed=0)
alone = draw(run, plan, ids=[5], seed=0)
difference = float((together[5] - alone[0]).abs().max())
print(f"largest difference of a value: {difference:.1e} of a range of 1")
assert difference < 1e-4

# %%
figure, panels = plt.subplots(1, 7, figsize=(9, 1.9), layout="constrained")
for k, (axes, image) in enumerate(zip(panels, torch.cat([together, alone]), strict=True)):
    axes.imshow(image[0].flip(0), cmap="gray", vmin=0, vmax=1)
    axes.set_title(f"sample {k}" if k < 6 else "5, alone", fontsize=9)
    axes.axis("off")
plt.show()
