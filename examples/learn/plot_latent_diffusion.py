"""
Latent diffusion: pictures in a twelfth of their numbers
========================================================

An autoencoder turns a picture of 64 x 64 x 3 numbers into 8 x 8 x 16 and back. A diffusion model
works on the small side; what it draws is decoded.
"""

import matplotlib.pyplot as plt
import torch

import unfog

# %%
# The autoencoder of the shipped emoji prior, and its prior in the latent space.
run = unfog.load("emoji")
names = ["red heart", "sun", "cat face", "wrapped gift", "red apple"]

# %%
# Five drawings from five prompts, in twenty steps.
drawn = run.sample(5, text=names, steps=20, seed=0)

# %%
# Each drawing is encoded and decoded once more: what the autoencoder alone loses.
latents = run.codec.encode(drawn)
again = run.codec.decode(latents)
print(f"numbers: {drawn[0].numel()} in a picture, {latents[0].numel()} in its latents")
figure, panels = plt.subplots(3, 5, figsize=(8, 4.8), layout="constrained")
for k, name in enumerate(names):
    panels[0, k].imshow(drawn[k].permute(1, 2, 0).clamp(0, 1))
    panels[0, k].set_title(name, fontsize=9)
    panels[1, k].imshow(latents[k, :4].reshape(2, 2, 8, 8).permute(0, 2, 1, 3).reshape(16, 16))
    panels[2, k].imshow(again[k].permute(1, 2, 0).clamp(0, 1))
for axes in panels.flat:
    axes.axis("off")
plt.show()
