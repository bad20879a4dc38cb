"""
A real diffusion MRI scan, denoised
===================================

A small piece of a real scan that comes with DIPY, denoised by one call: nothing is told of the
noise, and no training is done on the scan.
"""

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from dipy.data import get_fnames

import unfog

# %%
# The scan, its table of b-values and directions.
scan, bvals, bvecs = get_fnames(name="small_64D")
volume = nib.load(scan)
data = volume.get_fdata(dtype=np.float32)
table = unfog.dmri.gradients(np.loadtxt(bvals), np.loadtxt(bvecs), volume.affine)
print(f"{data.shape[:3]} voxels, {data.shape[3]} volumes")

# %%
# One call.
found = unfog.dmri.denoise(data, table, np.ones(data.shape[:3], bool))
print(
    f"noise found: {np.median(found.sigma):.1f}, in units of a signal of {data[..., 0].mean():.0f}"
)

# %%
# One weighted volume before and after, and what was taken away.
plane, k = data.shape[2] // 2, 30
before, after = data[:, :, plane, k], found.signal[:, :, plane, k]
figure, panels = plt.subplots(1, 3, figsize=(8, 2.9), layout="constrained")
top = float(np.percentile(before, 99.5))
for axes, image, name in zip(panels[:2], (before, after), ("acquired", "denoised"), strict=True):
    axes.imshow(image.T, cmap="gray", vmin=0, vmax=top, origin="lower")
    axes.set_title(name)
shown = panels[2].imshow(
    (before - after).T, cmap="coolwarm", vmin=-top / 4, vmax=top / 4, origin="lower"
)
panels[2].set_title("taken away")
figure.colorbar(shown, ax=panels[2])
for axes in panels:
    axes.axis("off")
plt.show()
