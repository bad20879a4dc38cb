"""Denoise a magnitude MRI volume and keep its uncertainty: file in, files out.

    python examples/restore_scan.py noisy.nii.gz restored
    # your own volume: axial slices near 2 mm, one brain
    python examples/restore_scan.py
    # makes its own noisy volume from the held-out slab

The same from the shell: unfog restore t1-slices noisy.nii.gz --task denoise --noise-model rician
--samples 8 --out restored
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from unfog.core.random import generators
from unfog.data.builtin.mni import slab_nifti
from unfog.files.nifti import new_volume, read_nifti, write_nifti
from unfog.physics.noise import add_rician
from unfog.workflows.restore import restore_file
from unfog.workflows.tasks import Draws


def noisy_slab(path: Path, slices: int = 2, sigma: float = 0.08) -> Path:
    """A few slices of the slab no training has seen, with Rician noise."""
    image = slab_nifti("test")
    clean = torch.from_numpy(np.array(image.dataobj[:, :, 8 : 8 + slices], dtype=np.float32))
    volume = new_volume(
        add_rician(clean[None], sigma, generators(0, [0]))[0].numpy(), image.affine, code="mni"
    )
    return write_nifti(path, volume.data, like=volume)


def main(source: Path, out: Path) -> None:
    """Restore ``source`` into the new folder ``out``."""
    draws = Draws(noise_model="rician", samples=8)
    summary = restore_file("t1-slices", [source], "denoise", out, draws=draws)
    mean, std = read_nifti(out / "mean.nii.gz"), read_nifti(out / "std.nii.gz")
    sys.stdout.write(
        f"noise {summary['noise']:.3f}, restored {mean.data.shape}, mean uncertainty "
        f"{std.data.mean():.4f}, in {out.name}\n"
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(noisy_slab(Path(folder) / "noisy.nii.gz"), Path(folder) / "restored")
