"""``unfog evaluate``: how good the samples of a run, or pictures in a folder, are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.evaluation.estimates import Estimate, mean_estimate
from unfog.evaluation.feature_spaces import feature_spaces
from unfog.evaluation.images import RADIUS, psnr, ssim
from unfog.evaluation.judgement import LEAST, Judgement, judge, spectra
from unfog.evaluation.manifold import nearest
from unfog.evaluation.perceptual import LEAST as SMALLEST
from unfog.evaluation.perceptual import NOT_THERE, has_lpips, lpips
from unfog.files.folder import job
from unfog.files.output import write_json
from unfog.runs.machine import AUTO
from unfog.workflows.data_bits import bits_of_data
from unfog.workflows.evaluate_report import Nearest, Paired, page, paired_page
from unfog.workflows.judged import Judged, data_against, is_run, judged, read_samples, real_samples

SHOWN, NEIGHBOURS = 8, 2  # pictures, and real ones beside each
FIGURES = "figures.json"


def evaluate(
    source: Path,
    out: Path,
    *,
    against: str | None = None,
    features: str = "imagenet",
    count: int | None = None,
    steps: int | None = None,
    sampler: str | None = None,
    seed: int = 0,
    precision: str = AUTO,
    bits: int = 0,
) -> dict[str, Any]:
    """Judge samples beside data, into a new folder with figures.json and report.html.

    Args:
        source: A run, a shipped prior's name, a folder of pictures or one of ``unfog sample``.
        out: The new folder.
        against: The data: a name, a file or a folder; those of the run by default.
        features: The feature space of the distances, by name.
        count: Samples; 1000 of a run and all of a folder by default.
        steps: Sampler steps of a run.
        sampler: Its sampler.
        seed: Of samples, choices and resamplings.
        precision: Of a run's network.
        bits: Real samples whose bits per dimension are found under a run; 0 for none.

    Returns:
        The summary, with every figure's value, interval and floor.
    """
    feature_spaces.get(features)
    with job(out) as work:
        dataset = data_against(source, against)
        how: dict[str, Any] = {
            "seed": seed,
            "steps": steps,
            "sampler": sampler,
            "precision": precision,
        }
        sets = judged(source, dataset, count, **how, report=work.progress("sampling"))
        if len(sets.generated) < LEAST:
            raise InputError(
                f"There are {len(sets.generated)} samples to judge (of {len(dataset)} real ones, "
                f"half at most); figures need at least {LEAST}."
            )
        space = feature_spaces.build(features, x=sets.reference, labels=sets.labels)
        work.progress("measuring")
        ours, real, reference = map(space.of, (sets.generated, sets.real, sets.reference))
        found = judge(ours, real, reference, seed)
        _add_spectra(found, sets, seed)
        summary = {
            "samples of": str(source),
            "against": dataset.name,
            "features": space.title,
            **sets.drawn,
            **found.plain(),
        }
        if bits:
            report = work.progress("bits per dimension")
            summary |= bits_of_data(source, dataset, bits, seed, precision, report)
        write_json(work.folder / FIGURES, summary)
        work.write_report(page(summary, found, sets, _nearest(ours, reference)).html())
        return work.end(summary)


def evaluate_pairs(source: Path, out: Path, against: str) -> dict[str, Any]:
    """Judge restored pictures beside the truth of each, into a new folder as ``evaluate`` does.

    Args:
        source: A folder of pictures, or an array.
        out: The new folder.
        against: The truth: as many pictures, in the same order of names.

    Returns:
        The summary: PSNR and SSIM with intervals.

    Raises:
        InputError: There are not as many of each, or ``source`` is a run.
    """
    if is_run(source):
        raise InputError(f"{source} is a run, and its samples have no truth; leave out --paired.")
    with job(out) as work:
        dataset = data_against(source, against)
        restored, truth = _pairs(source, dataset)
        found = Paired(
            restored, truth, psnr(restored, truth), _ssim(restored, truth), _lpips(restored, truth)
        )
        summary = {
            "samples of": str(source),
            "against": dataset.name,
            "n": len(restored),
            "figures": {name: _plain(estimate) for name, estimate in _paired(found).items()},
            **({} if has_lpips() else {"left_out": {"lpips": NOT_THERE}}),
        }
        write_json(work.folder / FIGURES, summary)
        work.write_report(paired_page(summary, found).html())
        return work.end(summary)


def _pairs(source: Path, dataset: Dataset) -> tuple[Tensor, Tensor]:
    """Pictures and the truth of each."""
    restored = read_samples(source, dataset)
    if len(restored) != len(dataset):
        raise InputError(
            f"Pairs need as many pictures as truths, got {len(restored)} in {source} and "
            f"{len(dataset)} in {dataset.name}."
        )
    return restored, real_samples(dataset, torch.arange(len(dataset)))[0]


def _ssim(x: Tensor, truth: Tensor) -> Tensor | None:
    """SSIM of each pair; None where pictures are smaller than its window."""
    return ssim(x, truth) if min(x.shape[2:], default=0) > 2 * RADIUS else None


def _lpips(x: Tensor, truth: Tensor) -> Tensor | None:
    """LPIPS of each pair; None where the library is not installed, or pictures are too small."""
    fits = x.ndim == 4 and x.shape[1] in (1, 3) and min(x.shape[2:]) >= SMALLEST
    return lpips(x, truth) if fits and has_lpips() else None


def _paired(found: Paired) -> dict[str, Estimate]:
    figures = {"psnr": mean_estimate(found.psnr)}
    if found.ssim is not None:
        figures["ssim"] = mean_estimate(found.ssim, least=-1.0, most=1.0)
    if found.lpips is not None:
        figures["lpips"] = mean_estimate(found.lpips, least=0.0)
    return figures


def _plain(estimate: Estimate) -> dict[str, Any]:
    return {"value": estimate.value, "interval": list(estimate.interval)}


def _add_spectra(found: Judgement, sets: Judged, seed: int) -> None:
    """The distance of spectra, where samples have axes of space of one size."""
    sides = set(sets.real.shape[2:])
    if len(sides) != 1:
        found.left_out["spectrum"] = "samples have no axes of space of one size"
        return
    found.figures["spectrum"] = spectra(sets.generated, sets.real, sets.reference, seed)


def _nearest(generated: Tensor, reference: Tensor) -> Nearest:
    """Samples, evenly spaced, and the real ones nearest to each in the features."""
    rows = torch.linspace(0, len(generated) - 1, min(SHOWN, len(generated))).round().long()
    return Nearest(rows, *nearest(generated[rows], reference, NEIGHBOURS))
