"""What heads.py asks of trust: misfit, the noise's level, lesions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from heads_common import NOISES, SIDE, case, say, told
from heads_data import heads
from matplotlib import pyplot
from scipy.ndimage import gaussian_filter
from torch import Tensor

from unfog.core.random import generator
from unfog.data.builtin.synthetic_heads import SyntheticHeads
from unfog.physics.noise import add_gaussian
from unfog.runs.misfit import misfit_by_band
from unfog.runs.noise_level import noise_by_prior
from unfog.runs.restore import posterior_mean
from unfog.runs.run import Run


def misfit(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """The misfit by kind of volume at each noise."""
    like, unlike = {}, {}
    for head in heads():
        for sigma in NOISES:
            noisy = case(head, sigma)[1][..., :32, :32, :32].contiguous()
            like[f"{head.name}, {sigma:g}"] = fit(told(run, head), noisy, sigma)
            say(f"misfit {head.name} {sigma:g}", like[f"{head.name}, {sigma:g}"])
    for name, (_, noisy) in strangers().items():
        unlike[name] = fit(run, noisy, 0.08)
        say(f"misfit {name}", unlike[name])
    ok, bad = ([largest(one) for one in kind.values()] for kind in (like, unlike))
    area = np.mean([[b > a for a in ok] for b in bad])
    return {
        "heads": like,
        "others": unlike,
        "area": round(float(area), 3),
    }


def largest(found: dict[str, Any]) -> float:
    """Of the whole and of all but fine detail, as ``unfog restore`` warns by."""
    return max(found[name] or 0.0 for name in ("whole", "medium", "coarse"))


def roc(results: dict[str, Any], path: Path) -> None:
    """Draw what each threshold of the misfit finds of strangers, and warns of among heads."""
    ok, bad = (
        sorted(largest(one) for one in results[kind].values()) for kind in ("heads", "others")
    )
    thresholds = [np.inf, *sorted({*ok, *bad}, reverse=True)]
    false, true = ([np.mean([v >= t for v in kind]) for t in thresholds] for kind in (ok, bad))
    figure, axis = pyplot.subplots(figsize=(3.6, 3.4))
    axis.plot(false, true, "o-", label=f"area {results['area']:.2f}")
    axis.plot([0, 1], [0, 1], ":", color="grey")
    axis.set_xlabel(f"of {len(ok)} cases of heads, warned of")
    axis.set_ylabel(f"of {len(bad)} strangers, found")
    axis.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def fit(run: Run, noisy: Tensor, sigma: float) -> dict[str, Any]:
    mean = posterior_mean(run, noisy, sigma)
    found = misfit_by_band(run, noisy, mean, sigma)
    return {name: value and round(value, 3) for name, value in found.items()}


def strangers() -> dict[str, tuple[Tensor, Tensor]]:
    """What is unlike a scan of a head with white noise of .08: a CT, a photograph as a volume, a
    scan denoised already, noise that neighbours share.
    """
    from unfog.data import open_dataset

    ct = open_dataset("head-ct").batch(range(20, 52))["x"][:, 0]
    ct = (ct - ct.min()) / (ct.max() - ct.min())
    middle = [slice((n - 32) // 2, (n + 32) // 2) for n in ct.shape[1:]]
    photograph = open_dataset("photographs").batch(range(1))["x"][0].mean(0)
    photograph = (photograph - photograph.min()) / (photograph.max() - photograph.min())
    head = heads()[1].cube(SIDE)[:32, :32, :32]
    smooth = torch.from_numpy(gaussian_filter(head, 1.5))
    truth = {
        "CT": ct[(slice(0, 32), *middle)],
        "photograph": photograph[:32, :32].expand(32, 32, 32),
        "checkerboard": (torch.from_numpy(np.indices((32, 32, 32)).sum(0) // 3 % 2)).float(),
    }
    found = {}
    for name, x in truth.items():
        x = x.contiguous()[None, None]
        found[name] = (x, add_gaussian(x, 0.08, [generator(0, name)]))
    x = smooth[None, None]
    found["a scan denoised already"] = (x, x)
    shared = torch.randn(x.shape, generator=generator(0, "shared"))
    shared = torch.from_numpy(gaussian_filter(shared.numpy(), (0, 0, 0.7, 0.7, 0.7)))
    found["noise that neighbours share"] = (x, x + 0.08 * shared / shared.std())
    return found


# --- noise

LAWS = {"Gaussian": 0, "Rician": 1, "four coils": 4}


def noise(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """The level by the prior over the truth: in 40 volumes that training has not seen, of three
    laws and noises of .04 to .12, and in the scans, where theirs is added to what they had.
    """
    simulated, found = [], {}
    data = SyntheticHeads(split="test", seed=99, count=40, kept=1)
    for k in range(40):
        sample = data.batch([k])
        own = run.told(voxel=sample["voxel"])
        law = list(LAWS)[k % 3]
        sigma = NOISES[k // 3 % 3]
        y = under(LAWS[law], sample["x"], sigma, k)
        level = noise_by_prior(own, y, sigma * 1.3, magnitude=LAWS[law] > 0)
        simulated.append([law, sigma, level and round(level.sigma / sigma, 3)])
        say(f"noise {k}", simulated[-1])
    for head in heads():
        for sigma in NOISES:
            noisy = case(head, sigma)[1]
            level = noise_by_prior(told(run, head), noisy, sigma * 1.3)
            found[f"{head.name}, {sigma:g}"] = level and round(level.sigma / sigma, 3)
            say(f"noise {head.name} {sigma:g}", found[f"{head.name}, {sigma:g}"])
    ratios = [one[2] for one in simulated if one[2] is not None]
    return {
        "simulated": simulated,
        "within 3 % of those told": round(float(np.mean([abs(r - 1) < 0.03 for r in ratios])), 3),
        "told": len(ratios),
        "median": round(float(np.median(ratios)), 3),
        "scans": found,
    }


def under(coils: int, x: Tensor, sigma: float, number: int) -> Tensor:
    """Gaussian noise for no coil, else the root of a sum of squares over coils' two parts."""
    randomness = generator(0, "noise", number)
    if not coils:
        return x + sigma * torch.randn(x.shape, generator=randomness)
    parts = sigma * torch.randn(2 * coils, *x.shape, generator=randomness)
    parts[0] += x
    return parts.square().sum(0).sqrt()


def lesions(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Balls of 2 to 6 mm, .15 to .3 brighter, in the heads under noise of .08: the contrast that is
    left, of the mean of ten draws of the noise.
    """
    found = []
    for head in heads():
        truth, _ = case(head, 0.08)
        random = np.random.default_rng(0)
        for k in range(5):
            centre = random.integers(10, SIDE - 10, 3)
            radius = random.uniform(1, 3) / head.voxel[0]
            away = np.sqrt(sum((np.indices((SIDE,) * 3)[a] - centre[a]) ** 2 for a in range(3)))
            ball = np.clip(radius - away + 0.5, 0, 1).astype(np.float32)
            height = random.uniform(0.15, 0.3)
            ball = torch.from_numpy(ball)[None, None] * height
            kept = []
            part = tuple(slice(c - 16, c + 16) for c in centre.clip(16, SIDE - 16))
            for n in range(options.draws):
                noise = 0.08 * torch.randn(truth.shape, generator=generator(0, "lesions", k, n))
                one, two = (
                    posterior_mean(told(run, head), x[(..., *part)].contiguous(), 0.08)
                    for x in (truth + ball + noise, truth + noise)
                )
                b = ball[(..., *part)]
                kept.append(float(((one - two) * b).sum() / b.square().sum()))
            found.append(round(float(np.mean(kept)), 3))
        say(f"lesions {head.name}", found[-5:])
    return {"contrast kept": found, "median": float(np.median(found))}
