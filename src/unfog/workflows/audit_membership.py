"""How well a run's loss and its likelihood tell what it was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unfog.data.dataset import Dataset
from unfog.errors import MissingExtra
from unfog.evaluation.estimates import Estimate
from unfog.evaluation.memorisation import membership_auc
from unfog.files.folder import Job
from unfog.runs.likely import unlikelihood_of
from unfog.runs.membership import losses_of
from unfog.workflows.judged import is_run, some_of

LIKELY = 64  # members, and others, whose likelihood is measured by default
NO_RUN = "there is no run, or its loss is none of single samples"
NO_FLOW = "there is no run, or it has no likelihood of single samples"


@dataclass(frozen=True)
class Membership:
    """The areas under the curve.

    Args:
        loss: By the run's own training loss; None where it has none of single samples.
        likelihood: By its likelihood; or why there is none.
    """

    loss: Estimate | None
    likelihood: Estimate | str

    def plain(self) -> dict[str, Any]:
        """As plain data, for a summary."""
        return {
            "membership": _plain(self.loss or NO_RUN),
            "membership by likelihood": _plain(self.likelihood),
        }


def membership(
    source: Path, train: Dataset, other: Dataset, count: int, likely: int, seed: int, work: Job
) -> Membership:
    """Tell members of a run's training data from other data.

    Args:
        source: The run; of a folder of samples nothing can be said.
        train: What it was trained on.
        other: Data alike.
        count: Members, and others, for the loss, at most.
        likely: For the likelihood, at most; 0 for none.
        seed: Of the choice.
        work: Shows progress.

    Returns:
        The areas.
    """
    if not is_run(source):
        return Membership(None, NO_FLOW)
    size = min(count, len(train), len(other))
    members = losses_of(source, train, some_of(train, size, seed), report=work.progress("members"))
    if members is None:
        return Membership(None, NO_FLOW)
    others = losses_of(source, other, some_of(other, size, seed), report=work.progress("others"))
    assert others is not None
    by_loss, size = membership_auc(members, others), min(likely, size)
    if not size:
        return Membership(by_loss, "it was not asked for")
    try:
        first, second = (
            unlikelihood_of(source, data, some_of(data, size, seed), report=work.progress(what))
            for data, what in ((train, "likelihood of members"), (other, "of others"))
        )
    except MissingExtra as error:
        return Membership(by_loss, str(error))
    assert first is not None
    assert second is not None
    return Membership(by_loss, membership_auc(first, second))


def _plain(area: Estimate | str) -> Mapping[str, Any]:
    """An area under the curve as plain data, or why there is none."""
    if isinstance(area, str):
        return {"left out": area}
    return {"auc": area.value, "interval": list(area.interval)}
