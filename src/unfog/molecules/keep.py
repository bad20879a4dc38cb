"""How molecules of a run keep a fragment."""

from __future__ import annotations

import torch
from torch import Tensor

from unfog.molecules import held
from unfog.molecules.fragment import Fragment
from unfog.posterior.repaint import RePaint
from unfog.runs.run import Run
from unfog.sampling.loop import Sampler
from unfog.sampling.resampled import Resampled

REPEATS = 10  # times that an interval is gone, as in RePaint


def keeping(run: Run, sampler: Sampler, operator: Fragment, known: Tensor) -> Sampler:
    """A sampler of molecules that keep a fragment: resampling by a network that was trained to be
    told of one, or else RePaint.

    Args:
        run: The model.
        sampler: Its sampler.
        operator: A, the fragment of a molecule.
        known: The fragment, on the model's scale, for the batch.

    Returns:
        The sampler.
    """
    if held.NAME in run.denoiser.conditioner.parts:
        return held.Keeping(Resampled(sampler, REPEATS), operator, known)
    return RePaint(sampler, operator, known, repeats=REPEATS)


def told_of(run: Run, operator: Fragment, count: int) -> dict[str, Tensor]:
    """What the run's network is told of the fragment that ``count`` molecules keep, by the
    condition's name; nothing where it takes none.
    """
    if held.NAME not in run.denoiser.conditioner.parts:
        return {}
    value = torch.zeros(count, 1, operator.largest)
    value[:, :, : operator.atoms] = 1
    return {held.NAME: value}
