"""Does denoising help tractography? A phantom whose fibres are known is tracked with DIPY on its
truth, with noise, and denoised.

    python examples/track_phantom.py            # SNR 12
    python examples/track_phantom.py 20         # another
    python examples/track_phantom.py 12 tracks  # and streamlines: tracks/denoised.trx and others

From every seed in a bundle a streamline is tracked on all three. The one on the noise-free signal
is the reference: a streamline is found again if it stays within a voxel of it on average. A bundle
is scored by the share found again and by the overlap (Dice) of what it visits.
"""

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from dipy.core.gradients import gradient_table
from dipy.data import get_sphere
from dipy.direction import peaks_from_model
from dipy.io.stateful_tractogram import Space, StatefulTractogram
from dipy.io.streamline import save_tractogram
from dipy.reconst.shm import CsaOdfModel
from dipy.tracking.local_tracking import LocalTracking
from dipy.tracking.stopping_criterion import BinaryStoppingCriterion
from dipy.tracking.streamline import set_number_of_points

from unfog.core.denoiser import InBfloat16
from unfog.core.random import generator
from unfog.dmri.denoising.blind import denoise_blind
from unfog.dmri.simulation.anatomy import mni_anatomy
from unfog.dmri.simulation.noise import add_magnitude_noise
from unfog.dmri.simulation.phantom import FAMILIES, Phantom, make_phantom, real_gradients
from unfog.runs.run import Run

BUNDLES = ("callosal", "corticospinal", "association")
POINTS = 20  # of a streamline when two are compared
Streamlines = list[np.ndarray]


def track(signal: np.ndarray, phantom: Phantom, seeds: np.ndarray) -> Streamlines:
    """A streamline (points, 3) in voxels through each of ``seeds`` (n, 3), along the peaks of
    constant-solid-angle ODFs.
    """
    table = gradient_table(phantom.gradients.bvals, bvecs=phantom.gradients.directions)
    sphere = get_sphere(name="repulsion100")
    model = CsaOdfModel(table, 6)
    peaks = peaks_from_model(
        model, signal, sphere, 0.5, 25, mask=phantom.white, npeaks=FAMILIES, return_sh=False
    )
    found = LocalTracking(
        peaks, BinaryStoppingCriterion(phantom.white), seeds, np.eye(4), step_size=0.25, max_cross=1
    )
    return list(found)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance (voxels) of two streamlines, in the order of points that fits better."""
    a, b = (
        set_number_of_points(line.astype(np.float32), nb_points=POINTS) for line in (one, other)
    )
    return min(float(np.linalg.norm(a - order, axis=1).mean()) for order in (b, b[::-1]))


def visited(streamlines: Streamlines, shape: tuple[int, ...]) -> np.ndarray:
    """The voxels that streamlines run through."""
    mask = np.zeros(shape, bool)
    for line in streamlines:
        mask[tuple(np.clip(np.rint(line).astype(int), 0, np.array(shape) - 1).T)] = True
    return mask


def score(
    found: Streamlines, reference: Streamlines, shape: tuple[int, ...]
) -> tuple[float, float]:
    """The share of streamlines found again, and the Dice overlap of the bundles."""
    pairs = [(a, b) for a, b in zip(found, reference, strict=True) if len(b) > 4]
    again = np.mean([len(a) > 1 and apart(a, b) < 1.0 for a, b in pairs])
    a, b = visited(found, shape), visited(reference, shape)
    return float(again), float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


def save(streamlines: Streamlines, phantom: Phantom, path: Path) -> None:
    """Write streamlines in voxels as a TRX file in the phantom's place in the world."""
    grid = nib.Nifti1Image(phantom.mask.astype(np.uint8), phantom.affine)
    kept = [line.astype(np.float32) for line in streamlines if len(line) > 1]
    save_tractogram(StatefulTractogram(kept, grid, Space.VOX), str(path), bbox_valid_check=False)


def main(snr: float, folder: Path | None = None) -> None:
    """Print both scores of each bundle, and write the streamlines into a folder."""
    phantom = make_phantom(real_gradients(), 0, mni_anatomy((32, 32, 16)))
    clean = phantom.signal.astype(np.float32)
    noise = add_magnitude_noise(
        torch.from_numpy(clean).movedim(3, 0), phantom.b0 / snr, generator(0, "noise")
    )
    noisy = noise.movedim(0, 3).contiguous().numpy()
    denoised = denoise_blind(
        InBfloat16(Run.open("dmri-refiner").denoiser), noisy, phantom.gradients
    ).signal
    family = np.where(
        phantom.fractions[..., :FAMILIES].max(-1) > 0.6,
        phantom.fractions[..., :FAMILIES].argmax(-1),
        -1,
    )
    seeds = np.argwhere(phantom.white & (family >= 0))[::4]
    of = family[tuple(seeds.T)]
    reference, *others = (
        track(signal, phantom, seeds.astype(float)) for signal in (clean, noisy, denoised)
    )
    if folder is not None:
        folder.mkdir(parents=True)
        for name, lines in zip(("truth", "noisy", "denoised"), (reference, *others), strict=True):
            save(lines, phantom, folder / f"{name}.trx")
    for k, name in enumerate(BUNDLES):
        truth, *found = (
            [lines[i] for i in np.flatnonzero(of == k)] for lines in (reference, *others)
        )
        scores = [score(lines, truth, family.shape) for lines in found]
        told = (
            f"{kind} {again:.0%} found again, Dice {dice:.2f}"
            for kind, (again, dice) in zip(("noisy", "denoised"), scores, strict=True)
        )
        sys.stdout.write(f"{name}, {len(truth)} seeds: " + "; ".join(told) + "\n")


if __name__ == "__main__":
    given = sys.argv[1:]
    main(float(given[0]) if given else 12.0, Path(given[1]) if len(given) > 1 else None)
