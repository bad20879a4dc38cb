"""The samples that are judged beside the data: of a run, of a folder or of an array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.builtin import open_run
from unfog.core.codec import Codec, codecs
from unfog.core.random import generator
from unfog.data.dataset import Dataset, open_dataset
from unfog.errors import InputError
from unfog.files.numpy_files import read_array
from unfog.progress import Report
from unfog.runs.embeddings import embedded
from unfog.runs.folder import CONFIG, locate, priors, run_config
from unfog.runs.generated import GeneratorRun
from unfog.runs.run import Run
from unfog.runs.sample import Plan, draw
from unfog.runs.text_states import captioned
from unfog.systems.registry import Config
from unfog.workflows.kinds import is_generator

REFERENCE = 10_000  # real samples to compare with, at most
DRAWN = 1000  # samples of a run by default
BATCH = 64
ARRAY = "samples.npy"  # what unfog sample writes beside its pictures


@dataclass(frozen=True)
class Judged:
    """Samples and real ones, (n, channels, *space) each, on the data's range as [0, 1].

    Args:
        generated: What is judged.
        real: As many real samples, for the floor.
        reference: Other real samples.
        reference_ids: Their numbers in the data.
        labels: The classes of the reference, where the data have some.
        drawn: How they were drawn, for a summary.
    """

    generated: Tensor
    real: Tensor
    reference: Tensor
    reference_ids: Tensor
    labels: Tensor | None
    drawn: dict[str, Any]


def is_run(source: Path) -> bool:
    """Whether a path is a run's folder, or the name of a shipped prior."""
    return (source / CONFIG).is_file() or (not source.exists() and str(source) in priors())


def data_against(source: Path, against: str | None) -> Dataset:
    """The data to compare with: those that are named, or those that a run was trained on.

    Args:
        source: The run or the folder.
        against: A data set by name, a file or folder, or None.

    Returns:
        The data set.

    Raises:
        InputError: None is named, and the run's own data are not at hand.
    """
    if against is not None:
        return open_dataset(against)
    if not is_run(source):
        raise InputError(
            f"{source} is no run and knows no data; give --against a data set, file or folder."
        )
    section: Config = run_config(locate(source))["data"]
    if "path" in section and not Path(section["path"]).exists():
        raise InputError(
            f"The data that {source} was trained on are not at hand ({section['path']}); give "
            "--against their new place, or other data."
        )
    return open_dataset(section)


def judged(
    source: Path,
    dataset: Dataset,
    count: int | None,
    *,
    seed: int = 0,
    steps: int | None = None,
    sampler: str | None = None,
    precision: str = "auto",
    report: Report | None = None,
) -> Judged:
    """The samples of a run or of a folder, and real ones.

    A run is told the conditions of the real samples of the floor, so that both show the same.

    Args:
        source: A run, a shipped prior's name, a folder of pictures or of ``unfog sample``.
        dataset: The real data.
        count: Samples; 1000 of a run and all of a folder by default, half of the data at most.
        seed: Of the samples and of the choice of real ones.
        steps: Sampler steps of a run.
        sampler: Its sampler.
        precision: Its network's.
        report: Told (steps done, steps in all).

    Returns:
        The samples.

    Raises:
        InputError: Samples and data differ in shape, or the folder cannot be read.
    """
    codec = codecs.build(dataset.codec).scale
    order = torch.randperm(len(dataset), generator=generator(seed, "judged"))
    most = len(dataset) // 2
    drawn: dict[str, Any] = {}
    if is_run(source):
        n = min(count or DRAWN, most)
        x, drawn = draw_beside(
            source,
            dataset,
            order[:n],
            seed,
            sampler=sampler,
            steps=steps,
            precision=precision,
            report=report,
        )
        generated = _unit(codec, x)
    else:
        if steps is not None or sampler is not None:
            raise InputError(f"{source} is no run, so it takes no --steps and no --sampler.")
        generated = read_samples(source, dataset)
        n = min(count or len(generated), len(generated), most)
        generated = generated[:n]
    ids = order[n : n + REFERENCE]
    reference, labels = real_samples(dataset, ids)
    return Judged(generated, real_samples(dataset, order[:n])[0], reference, ids, labels, drawn)


def draw_beside(
    source: Path,
    dataset: Dataset,
    ids: Tensor,
    seed: int,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    precision: str = "auto",
    guidance: float | None = None,
    report: Report | None = None,
) -> tuple[Tensor, dict[str, Any]]:
    """Samples of a run under the conditions of real ones, as many.

    Args:
        source: The run, of a denoiser or of a generator.
        dataset: The real data.
        ids: The real samples' numbers.
        seed: Of the samples.
        sampler: The sampler of a denoiser's run.
        steps: Its steps.
        precision: Its network's.
        guidance: The scale of classifier-free guidance by the conditions; None for none.
        report: Told (steps done, steps in all).

    Returns:
        (n, channels, *space) in natural units, and how they were drawn.
    """
    if is_generator(source):
        if (sampler, steps, guidance) != (None, None, None):
            raise InputError(
                f"{source} draws in one call; leave out --sampler, --steps and --guidance."
            )
        model = GeneratorRun.open(source)
        require_shape(str(source), model.shape, dataset)
        labels = None if model.label is None else dataset.batch(ids)[model.label]
        return model.sample(len(ids), seed=seed, labels=labels, report=report), {"seed": seed}
    run = open_run(source, precision)
    require_shape(str(source), run.shape, dataset)
    plan = Plan.of(run, sampler, steps)
    x = _drawn(run, plan, dataset, ids, seed, guidance, report)
    return x, {**plan.names, "precision": run.precision, "seed": seed}


def real_samples(dataset: Dataset, ids: Tensor) -> tuple[Tensor, Tensor | None]:
    """Samples of a data set by number, (n, channels, *space), its range as [0, 1]; and their
    classes, where it has a condition of one.
    """
    codec = codecs.build(dataset.codec).scale
    batch = dataset.batch(ids)
    named = [k for k, part in dataset.conditions.items() if part["name"] == "class"]
    return _unit(codec, batch["x"]), batch[named[0]] if named else None


def some_of(dataset: Dataset, count: int, seed: int) -> Tensor:
    """The numbers of some samples, at random."""
    return torch.randperm(len(dataset), generator=generator(seed, "audited"))[:count]


def read_samples(source: Path, dataset: Dataset) -> Tensor:
    """The samples in a folder or file, on the range [0, 1]: of ``unfog sample`` in the natural
    units of the data, of others in their own.
    """
    array = source / ARRAY if source.is_dir() else source
    if array.name == ARRAY and array.is_file():
        x = torch.from_numpy(read_array(array)).float()
        require_shape(str(source), tuple(x.shape[1:]), dataset)
        return _unit(codecs.build(dataset.codec).scale, x)
    folder = open_dataset(source)
    require_shape(str(source), folder.shape, dataset)
    return real_samples(folder, torch.arange(len(folder)))[0]


def to_unit(dataset: Dataset, x: Tensor) -> Tensor:
    """Natural units of a data set, its range as [0, 1]."""
    return _unit(codecs.build(dataset.codec).scale, x)


def require_shape(what: str, shape: tuple[int, ...], dataset: Dataset) -> None:
    """``InputError`` where samples are of another shape than the data."""
    if tuple(shape) != tuple(dataset.shape):
        raise InputError(
            f"The samples of {what} are {_sizes(shape)} and those of {dataset.name} are "
            f"{_sizes(dataset.shape)}; bring both to one size and the same channels."
        )


def _sizes(shape: tuple[int, ...]) -> str:
    """A sample's shape in words."""
    return f"{' x '.join(map(str, shape[1:]))} with {shape[0]} channel(s)"


def _unit(codec: Codec, x: Tensor) -> Tensor:
    """Natural units with the data's range as [0, 1]."""
    return codec.encode(x).float() / 2 + 0.5


def _drawn(
    run: Run,
    plan: Plan,
    dataset: Dataset,
    ids: Tensor,
    seed: int,
    guidance: float | None,
    report: Report | None,
) -> Tensor:
    """Samples of a run under the conditions of real ones, in natural units."""
    told = embedded(captioned(dataset, run.config), run.config)
    conditioner = run.denoiser.conditioner
    condition: dict[str, Tensor] = {}
    if conditioner.parts:
        values = told.batch(ids)
        condition = {k: v for k, v in values.items() if conditioner.owner(k) is not None}
    return draw(
        run,
        plan,
        range(len(ids)),
        seed,
        condition=condition,
        guidance=guidance,
        batch=BATCH,
        report=report,
    )
