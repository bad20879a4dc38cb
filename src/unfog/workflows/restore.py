"""``unfog restore``: a degraded file restored into a new folder, with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.core.denoiser import Denoiser
from unfog.errors import InputError
from unfog.files.folder import Job, job
from unfog.guidance.told import Told
from unfog.physics.operators import Identity
from unfog.posterior.methods import AUTO, methods
from unfog.progress import Report
from unfog.runs.edit import stated_conditions
from unfog.runs.guided import guided, prompted
from unfog.runs.noise_level import noise_by_prior
from unfog.runs.restore import GRID, Restored, data_consistency, noise_models, restore
from unfog.runs.run import Run, data_range, require_posterior_mean
from unfog.runs.sample import Plan
from unfog.runs.uncertainty import interval_scale
from unfog.workflows.choose import AUTO as AUTO_PRIOR
from unfog.workflows.choose import chosen_prior
from unfog.workflows.fit import LARGEST, UNLIKE, fit_of
from unfog.workflows.problem import LEAST_NOISE, InverseProblem, told_voxel
from unfog.workflows.restore_report import restoration_page
from unfog.workflows.tasks import Draws, Options, Task, function, task_named

BY_PRIOR = "prior"
CORRELATED = (
    "Neighbours share noise: fine detail has less of it than coarser detail, as after "
    "interpolation or filters; what is left looks like tissue, and deviations are too small."
)


def restore_file(
    source: str | Path,
    paths: Sequence[Path],
    task: Task | str,
    out: Path,
    options: Options | None = None,
    draws: Draws | None = None,
) -> dict[str, Any]:
    """Restore a file into a new folder: mean, standard deviation and samples in the file's own
    format (.npy for raw data of scanners), summary.json and report.html. The default workflow of a
    ``Task``.

    Args:
        source: A run's folder, or the name of a shipped prior.
        paths: The one input file.
        task: A task of ``workflows.tasks``, or its name.
        out: The new folder.
        options: The task's files and numbers besides its input.
        draws: Noise, method, sampler and samples.

    Returns:
        The summary that is written there too.
    """
    task = task_named(task) if isinstance(task, str) else task
    options, draws = options or Options(), draws or Draws()
    method, sampler, steps = task.chosen(draws.method, draws.sampler, draws.steps)
    draws = replace(draws, method=method, sampler=sampler, steps=steps)
    with job(out, *paths, *options.files) as work:
        sigma = None if draws.noise == BY_PRIOR else require_noise(draws.noise)
        if draws.method != AUTO:
            methods.get(draws.method)
        source, reason = chosen_prior(paths[0]) if str(source) == AUTO_PRIOR else (source, None)
        run = open_run(source, draws.precision, draws.loras)
        require_posterior_mean(run)
        _prior(run, draws)  # refused before anything is read
        problem: InverseProblem = function(task.reader)(run, paths, task, options)
        run = told_voxel(run, problem.target)
        why = {} if reason is None else {"prior chosen": reason}
        return _restored_into(work, run, paths[0], task, problem, sigma, draws, why)


def _images(problem: InverseProblem, restored: Restored, factor: float) -> dict[str, Tensor]:
    """Mean, deviation and samples on the file's scale, by the names of their files."""
    mean, samples = (x * problem.scale + problem.offset for x in (restored.mean, restored.samples))
    return {
        "mean": mean,
        "std": factor * problem.scale * restored.samples.std(1),
        **{f"sample-{k:02d}": x for k, x in enumerate(samples.unbind(1))},
    }


def _restored_into(
    work: Job,
    run: Run,
    path: Path,
    task: Task,
    problem: InverseProblem,
    noise: float | None,
    draws: Draws,
    why: dict[str, str],
) -> dict[str, Any]:
    """Solve the problem and write the results; ``noise`` is in the user's units, None to estimate
    it.
    """
    # The noise on the model's scale, made Gaussian.
    low, high = data_range(run)
    estimate, said = _noise(run, problem, draws) if noise is None else (noise / problem.unit, [])
    sigma = max(estimate, LEAST_NOISE * (high - low))
    y = noise_models[draws.noise_model](run, problem.y, problem.operator, sigma)
    # Samples of the posterior.
    plan, folder = Plan.of(run, draws.sampler, draws.steps, GRID), work.folder
    restored = _restore_filled(run, y, problem, sigma, plan, draws, work.progress("restoring"))
    # How far the image is from those of the prior.
    fit = fit_of(run, y, problem, restored, sigma, draws)
    misfit = None if fit is None else fit.largest
    wider = misfit if misfit is not None and misfit > LARGEST else None
    # On the file's scale, the deviation with the factor that was learned for the task, and with
    # that of the misfit where it is large.
    factor = interval_scale(run, task.name) * (wider or 1.0)
    results = _images(problem, restored, factor)
    if fit is not None:
        results["std"] = results["std"] * fit.widening(wider or 1.0)
        results["misfit"] = fit.local
    require_finite_results(path, results)
    files = [problem.target.write(folder, name, x.numpy()).name for name, x in results.items()]
    summary = {
        "task": task.name,
        "run": run.name,
        **why,
        "input": path.name,
        "noise": sigma * problem.unit,
        "noise estimated": noise is None,
        "noise model": draws.noise_model,
        "method": draws.method,
        **({"to": list(draws.to), "guidance": draws.guidance} if draws.to else {}),
        "seed": draws.seed,
        **plan.names,
        "precision": run.precision,
        "offset": problem.offset,
        "scale": problem.scale,
        "std scale": factor,
        "mean std": float(results["std"].mean()),
        "misfit": None if fit is None else fit.whole,
        "misfit by detail": None if fit is None else fit.bands,
        "misfit above 1.25": None if fit is None else float((fit.local > LARGEST).float().mean()),
        "data consistency": data_consistency(problem.operator, y, restored.samples, sigma),
        "warnings": problem.warnings + said + ([UNLIKE.format(wider)] if wider else []),
        "files": files,
    }
    summary = work.hide(summary)
    page = restoration_page(summary, problem.operator.adjoint(y), restored, factor, (low, high))
    if page is not None:
        work.write_report(page.html())
    return work.end(summary)


def require_finite_results(path: Path, results: Mapping[str, Tensor]) -> None:
    """``InputError`` where a result overflowed float32, so that none is written.

    Args:
        path: The input.
        results: By the names of their files.
    """
    for name, values in results.items():
        if not bool(torch.isfinite(values).all()):
            raise InputError(
                f"The {name} of {path.name} is not finite, because its values, or a factor on "
                "them, come near the ends of float32; divide them first."
            )


def require_noise(text: str) -> float | None:
    """The standard deviation in the text of an option, or None for one to estimate."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"The noise is 'auto' or a number above 0, not {text!r}.")
    return value


def _noise(run: Run, problem: InverseProblem, draws: Draws) -> tuple[float, list[str]]:
    """The estimate of the noise's deviation in y's units, by the file alone or by the prior too,
    and what to know about it.

    Args:
        run: The prior.
        problem: The measurement.
        draws: How the noise is found, its model and the seed.

    Returns:
        The deviation, and sentences.

    Raises:
        InputError: The prior is asked about what is no denoising.
    """
    estimate = problem.noise(problem.y)
    if draws.noise != BY_PRIOR:
        return estimate, []
    if not isinstance(problem.operator, Identity) or not run.codec.affine:
        raise InputError("The prior finds the noise of --task denoise alone; give --noise VALUE.")
    y = problem.y[problem.y.flatten(1).any(1)]
    magnitude = draws.noise_model == "rician"
    low, high = data_range(run)
    level = noise_by_prior(run, y, max(estimate, 0.02 * (high - low)), draws.seed, magnitude)
    if level is None:
        return estimate, ["The prior finds too little signal to tell the noise by; see --noise."]
    return level.sigma, [CORRELATED] if level.correlated else []


def _prior(run: Run, draws: Draws) -> Denoiser | None:
    """The run's denoiser told what the restorations are to show, under guidance where that is asked
    for; None where nothing is told. ``InputError`` for what means nothing to the run.
    """
    if not draws.to:
        return None
    condition = stated_conditions(run, draws.to)
    towards = prompted(run) if draws.guidance is None else guided(run, draws.guidance)
    return Told(towards, condition)


def _restore_filled(
    run: Run,
    y: Tensor,
    problem: InverseProblem,
    sigma: float,
    plan: Plan,
    draws: Draws,
    report: Report | None = None,
) -> Restored:
    """The restoration of a stack, of which images that are 0 everywhere stay 0.

    Args:
        run: The prior.
        y: The measurement with Gaussian noise, shaped as the problem's.
        problem: The operator.
        sigma: The noise's standard deviation, in y's units.
        plan: Sampler and times.
        draws: Samples, seed and method.
        report: Told of every step.

    Returns:
        Mean, deviation and samples of all images.
    """
    filled = y.flatten(1).any(1)
    if not bool(filled.any()):
        raise InputError("The input is empty: every value is zero.")
    restored = restore(
        run,
        y[filled],
        problem.operator.of(filled),
        sigma,
        samples=draws.samples,
        plan=plan,
        seed=draws.seed,
        report=report,
        method=draws.method,
        prior=_prior(run, draws),
    )

    def among_all(part: Tensor) -> Tensor:
        """The results of the filled images among zeros for the others."""
        whole = torch.zeros(len(y), *part.shape[1:])
        whole[filled] = part
        return whole

    return Restored(*(among_all(part) for part in (restored.mean, restored.std, restored.samples)))
