"""``unfog restore --task shading``: a file under an unknown smooth gain, such as a receiver's,
restored into a new folder together with the gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.errors import InputError
from unfog.files.folder import Job, job
from unfog.files.numpy_files import write_array
from unfog.files.scans import PictureScan, Scan
from unfog.physics.operators import Weights
from unfog.progress import Report
from unfog.runs.restore import Restored, noise_models
from unfog.runs.run import Run, data_range, require_posterior_mean
from unfog.runs.sample import Plan
from unfog.runs.shading import GRID, Unshaded, unshade
from unfog.workflows.choose import AUTO
from unfog.workflows.problem import LEAST_NOISE, InverseProblem, measured_images, told_voxel
from unfog.workflows.restore import require_noise
from unfog.workflows.restore_report import restoration_page
from unfog.workflows.tasks import Draws, Options, Task, task_named

BELOW = 0.25  # of the data's range: noise alone reaches a little below 0
SHADED = (
    "{} was trained on images with shading, so it cannot tell shading from tissue: what the gain "
    "leaves out is taken for tissue; take a prior of images without, such as t1-slices."
)


def unshade_file(
    source: str | Path,
    paths: Sequence[Path],
    task: Task,
    out: Path,
    options: Options,
    draws: Draws,
) -> dict[str, Any]:
    """Restore a shaded file into a new folder: mean, standard deviation, samples, the gain and its
    deviation over the samples in the file's own format, summary.json and report.html.

    Args:
        source: A run's folder, or the name of a shipped prior.
        paths: The one input file.
        task: shading.
        out: The new folder.
        options: Of no meaning here.
        draws: Noise, sampler and samples.

    Returns:
        The summary that is written there too.
    """
    with job(out, *paths) as work:
        sigma = require_noise(draws.noise)
        if str(source) == AUTO:
            raise InputError(
                "Shading is told from tissue by a prior of images without it, which auto does not "
                "choose; name one, such as t1-slices."
            )
        run = open_run(source, draws.precision, draws.loras)
        require_posterior_mean(run)
        problem = measured_images(run, paths, task_named("denoise"), options)
        _require_magnitudes(run, paths[0], problem)
        run = told_voxel(run, problem.target)
        return _unshaded_into(work, run, paths[0], task, problem, sigma, draws)


def _require_magnitudes(run: Run, path: Path, problem: InverseProblem) -> None:
    """``InputError`` for an image far below 0, which no gain makes of a magnitude."""
    low, high = data_range(run)
    least = float(problem.y.min())
    if least < low - BELOW * (high - low):
        value = least * problem.scale + problem.offset
        raise InputError(
            f"{path.name} reaches down to {value:g}, and a gain is of images that are not "
            "negative; give magnitudes, 0 where there is no signal."
        )


def _unshaded_into(
    work: Job,
    run: Run,
    path: Path,
    task: Task,
    problem: InverseProblem,
    noise: float | None,
    draws: Draws,
) -> dict[str, Any]:
    """Draw images and gains and write them; ``noise`` is in the user's units, None to estimate
    it.
    """
    low, high = data_range(run)
    estimate = problem.noise(problem.y) if noise is None else noise / problem.unit
    sigma = max(estimate, LEAST_NOISE * (high - low))
    # Magnitudes lose their bias; their mean under the prior is not known without the gain.
    y = noise_models[draws.noise_model](run, problem.y, Weights(torch.ones(1)), sigma)
    plan = Plan.of(run, draws.sampler, draws.steps, GRID)
    found = _filled(run, y, sigma, plan, draws, work.progress("restoring"))
    # On the file's scale.
    restored = found.restored
    mean, samples = (x * problem.scale + problem.offset for x in (restored.mean, restored.samples))
    results = {
        "mean": mean,
        "std": problem.scale * restored.std,
        **{f"sample-{k:02d}": x for k, x in enumerate(samples.unbind(1))},
    }
    files = [problem.target.write(work.folder, name, x.numpy()).name for name, x in results.items()]
    gains = {"gain": found.gain, "gain-std": found.gain_std}
    files += [_write_gain(problem.target, work.folder, name, x) for name, x in gains.items()]
    shaded = run.config.get("data", {}).get("name") == "synthetic-heads"
    summary = {
        "task": task.name,
        "run": run.name,
        "input": path.name,
        "noise": sigma * problem.unit,
        "noise estimated": noise is None,
        "noise model": draws.noise_model,
        "seed": draws.seed,
        **plan.names,
        "precision": run.precision,
        "offset": problem.offset,
        "scale": problem.scale,
        "mean std": float(results["std"].mean()),
        "gain": {"smallest": float(found.gain.min()), "largest": float(found.gain.max())},
        "mean gain std": float(found.gain_std.mean()),
        "data consistency": found.residual,
        "warnings": problem.warnings + ([SHADED.format(run.name)] if shaded else []),
        "files": files,
    }
    page = restoration_page(summary, y, restored, 1.0, (low, high), {"gain": found.gain})
    if page is not None:
        work.write_report(page.html())
    return work.end(summary)


def _write_gain(target: Scan, folder: Path, name: str, gain: Tensor) -> str:
    """The file of a gain (n, 1, *space), in the input's format; .npy for a picture, whose levels
    end at white.
    """
    if isinstance(target, PictureScan):
        return write_array(folder / f"{name}.npy", gain[0, 0].numpy()).name
    return target.write(folder, name, gain.numpy()).name


def _filled(
    run: Run, y: Tensor, sigma: float, plan: Plan, draws: Draws, report: Report | None
) -> Unshaded:
    """Images and gains of a stack, of which images that are 0 everywhere stay 0 under a gain of 1.

    Args:
        run: The prior.
        y: The measurement with Gaussian noise.
        sigma: The noise's standard deviation, in y's units.
        plan: Sampler and times.
        draws: Samples and seed.
        report: Told of every step.

    Returns:
        The images and gains of all.
    """
    filled = y.flatten(1).any(1)
    if not bool(filled.any()):
        raise InputError("The input is empty: every value is zero.")
    found = unshade(
        run, y[filled], sigma, samples=draws.samples, plan=plan, seed=draws.seed, report=report
    )

    def among_all(part: Tensor, elsewhere: float = 0.0) -> Tensor:
        whole = torch.full((len(y), *part.shape[1:]), elsewhere)
        whole[filled] = part
        return whole

    some = found.restored
    images = Restored(*(among_all(part) for part in (some.mean, some.std, some.samples)))
    return Unshaded(images, among_all(found.gains, 1.0), found.residual)
