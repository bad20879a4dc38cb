"""DiffWave's schedule of noise as it is sampled in few steps, and how its network is told the time
(Kong et al. 2021, arXiv:2009.09761, appendix B).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unfog.core.label import Label, labels
from unfog.core.process import Process
from unfog.errors import InputError
from unfog.sampling.grids import Grid, grids

FAST = (1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5)  # betas of the 6 steps
STEPS = 50  # of the table


@grids.register("betas")
def betas(values: Sequence[float] = FAST) -> Grid:
    """The times at which a process has the noise of another table: alpha^2 = prod (1 - beta_j), the
    last beta the noisiest. DiffWave's 6-step schedule by default.

    Args:
        values: The betas, the first that of the last step.

    Returns:
        The grid, which has as many steps as betas.
    """

    def times(process: Process, steps: int) -> Tensor:
        table = torch.as_tensor(values, dtype=torch.float64)
        if steps != len(table):
            raise InputError(
                f"A grid of {len(table)} betas has {len(table)} steps, not {steps}; set "
                "sampling.steps, or take another grid."
            )
        power = torch.cumprod(1 - table, 0)
        t = process.t_of(torch.log(power / (1 - power)))
        return torch.cat([t.clamp(max=1.0).flip(0), torch.zeros(1, dtype=torch.float64)])

    return times


@labels.register("diffwave")
def diffwave_label(steps: int = STEPS) -> Label:
    """The index n = 0 .. T - 1 of the table's knots t = (n + 1) / T; between two of them alpha goes
    linearly, as DiffWave's authors align other schedules.
    """

    def label(process: Process, t: Tensor) -> Tensor:
        low = (t * steps - 1e-9).floor().clamp(0, steps - 1)
        before, after = process.alpha(low / steps), process.alpha((low + 1) / steps)
        share = (before - process.alpha(t)) / (before - after)
        return (low - 1 + share).clamp(min=0)

    return label
