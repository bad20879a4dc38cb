"""``unfog audit``: whether a model gives its training data away."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.data.dataset import Dataset, datasets, open_dataset
from unfog.errors import InputError
from unfog.evaluation.feature_spaces import FeatureSpace, feature_spaces
from unfog.evaluation.memorisation import (
    LEAST,
    Copies,
    nearest_in_features,
    nearest_in_pixels,
    verdict,
)
from unfog.evaluation.sscd import SSCD
from unfog.files.folder import Job, job
from unfog.runs.folder import locate, run_config
from unfog.runs.machine import AUTO
from unfog.systems.registry import Config
from unfog.workflows.audit_card import write_into_card
from unfog.workflows.audit_extraction import EXTRACT, Draws
from unfog.workflows.audit_membership import LIKELY, membership
from unfog.workflows.audit_report import Audit, Searched, audit_page
from unfog.workflows.audit_similarity import similarity
from unfog.workflows.judged import (
    data_against,
    draw_beside,
    is_run,
    read_samples,
    real_samples,
    require_shape,
    some_of,
    to_unit,
)

DRAWN = 500  # samples, and held-out ones, by default
SURE = 0.01  # chance below which so many copies are no accident
# Held-out data must be as the training data are, and these leave out of a test split what they
# have in training: overlapping squares, and oblique planes.
AS_TRAINED: dict[str, Config] = {
    "textures": {"stride": 8},
    "mni-tissue": {"oblique": 900},
    "head-ct-bone": {"oblique": 400},
}


def audit(
    source: Path,
    out: Path,
    *,
    against: str | None = None,
    held_out: str | None = None,
    features: str = "data",
    count: int | None = None,
    alarm: float = 0.01,
    likely: int = LIKELY,
    extract: int = EXTRACT,
    sscd: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    precision: str = AUTO,
) -> dict[str, Any]:
    """Look for training data in samples, and for who was trained on in the loss, into a new folder.

    Args:
        source: A run, a shipped prior's name, or a folder of samples.
        out: The new folder.
        against: The training data; those of the run by default.
        held_out: Data alike that were not trained on; the test split of built-in data by default.
        features: The feature space, beside pixels, in which copies are looked for.
        count: Samples; 500 of a run and all of a folder by default.
        alarm: The share of false alarms that is allowed.
        likely: Members, and held-out items, whose likelihood is measured; 0 for none.
        extract: Draws of each of ten conditions; 0 for no extraction.
        sscd: The file of SSCD's network, or "package"; None to leave it out.
        steps: Sampler steps of a run.
        seed: Of samples and choices.
        precision: Of a run's network.

    Returns:
        The summary, which a run's card keeps too.
    """
    feature_spaces.get(features)
    judge = None if sscd is None else SSCD(None if sscd == "package" else sscd)
    if not 0 < alarm < 1:
        raise InputError(f"The share of false alarms is between 0 and 1, not {alarm}.")
    with job(out) as work:
        train = data_against(source, against)
        other = held_out_data(source, train, held_out)
        x = _samples(source, train, count, steps, seed, precision, work)
        real = real_samples(train, torch.arange(len(train)))
        held = real_samples(other, some_of(other, max(len(x), DRAWN), seed))[0]
        work.progress("searching")
        space = _space(features, *real)
        searched = _everywhere(space, x, held, real[0], alarm)
        members = membership(source, train, other, len(held), likely, seed, work)
        drawn = Draws(source, train, other, steps, seed, precision, alarm)
        again = drawn.extracted(x, real[0], searched["pixels"], extract, work)
        alike = None if judge is None else similarity(judge, x, held, real[0], searched["pixels"])
        found = Audit(x, real[0], searched, members.loss)
        summary = {
            "samples of": str(source),
            "against": train.name,
            "n": len(x),
            "training items": len(train),
            "held out": len(held),
            "false alarms allowed": alarm,
            **{name: one.plain() for name, one in searched.items()},
            "features are": space.title if isinstance(space, FeatureSpace) else space,
            **members.plain(),
            "extraction": again,
            **({} if alike is None else {"SSCD": alike}),
            "copies": any(one.verdict.chance < SURE / len(searched) for one in searched.values()),
        }
        work.write_report(audit_page(summary, found).html())
        write_into_card(source, summary)
        return work.end(summary)


def held_out_data(source: Path, train: Dataset, held_out: str | None) -> Dataset:
    """Data alike that were not trained on.

    Args:
        source: The run or folder.
        train: The training data.
        held_out: Their name or path; None for the test split of a run's built-in data, made as
            its training data are.

    Returns:
        The data set.

    Raises:
        InputError: None is named and there is no such split, or they are the training data, or of
            another shape.
    """
    if held_out is None:
        other = held_out_split(source, "--held-out", AS_TRAINED)
    else:
        other = open_dataset(held_out)
    require_shape("the held-out data", other.shape, train)
    if other.fingerprint == train.fingerprint:
        raise InputError("The held-out data are the training data; give others alike.")
    if len(other) < LEAST:
        raise InputError(f"The held-out data need at least {LEAST} samples, got {len(other)}.")
    return other


def held_out_split(source: Path, option: str, made: Mapping[str, Config] | None = None) -> Dataset:
    """The test split of the built-in data that a run was trained on.

    Args:
        source: The run, or a folder.
        option: What names other data, for errors.
        made: Options by the name of the data, where the run's config does not say otherwise.

    Returns:
        The data set.

    Raises:
        InputError: It was trained on other data, or on that split.
    """
    section = run_config(locate(source))["data"] if is_run(source) else {}
    name = section.get("name", "")
    splits = name in datasets.names() and "split" in _parameters(name)
    if not splits or section.get("split", "train") != "train":
        raise InputError(
            f"The data of {source} have no test split; give {option} data alike that were not "
            "trained on."
        )
    return open_dataset({**(made or {}).get(name, {}), **section, "split": "test"})


def _parameters(name: str) -> set[str]:
    """The options of a data set."""
    return set(inspect.signature(datasets.get(name)).parameters)


def _samples(
    source: Path,
    train: Dataset,
    count: int | None,
    steps: int | None,
    seed: int,
    precision: str,
    work: Job,
) -> Tensor:
    """The samples to look at, on the range [0, 1]; of a run under the conditions of training
    items.
    """
    if not is_run(source):
        if steps is not None:
            raise InputError(f"{source} is no run, so it takes no --steps.")
        return read_samples(source, train)[:count]
    ids = some_of(train, count or DRAWN, seed)
    how = work.progress("sampling")
    x, _ = draw_beside(source, train, ids, seed, steps=steps, precision=precision, report=how)
    return to_unit(train, x)


def _space(features: str, x: Tensor, labels: Tensor | None) -> FeatureSpace | str:
    """The feature space, or why there is none for such data."""
    if features == "pixels":
        return "none but pixels were asked for"
    try:
        return feature_spaces.build(features, x=x, labels=labels)
    except InputError as error:
        return str(error)


def _everywhere(
    space: FeatureSpace | str, x: Tensor, held: Tensor, train: Tensor, alarm: float
) -> dict[str, Searched]:
    """Copies in pixels, and in features where there are some."""
    near = nearest_in_pixels if x.ndim > 2 else nearest_in_features  # vectors have no contrast
    found = {"pixels": _searched(near, x, held, train, alarm)}
    if isinstance(space, FeatureSpace):
        ours, others, items = map(space.of, (x, held, train))
        found["features"] = _searched(nearest_in_features, ours, others, items, alarm)
    return found


def _searched(
    search: Callable[[Tensor, Tensor], Copies], x: Tensor, held: Tensor, train: Tensor, alarm: float
) -> Searched:
    """The nearest training items of samples and of held-out data, and the verdict on them."""
    ours, others = search(x, train), search(held, train)
    return Searched(ours, others, verdict(ours.relative, others.relative, alarm))
