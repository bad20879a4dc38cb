"""How images are degraded, by task: the operators that ``workflows.tasks`` names.

Each takes a run and the task's options, and returns the operator A of y = A x + noise.
"""

from __future__ import annotations

from unfog.errors import InputError
from unfog.physics import registry
from unfog.physics.linear import Operator
from unfog.physics.operators import BlockAverage, Grey, Identity
from unfog.physics.slices import ThickSlices
from unfog.runs import simulated
from unfog.runs.run import Run
from unfog.workflows.tasks import Options


def identity(run: Run, options: Options) -> Identity:
    """The identity, of denoising."""
    return Identity()


def block_average(run: Run, options: Options) -> BlockAverage:
    """Means over blocks of ``factor`` pixels a side, of super-resolution."""
    return BlockAverage(options.factor)


def thick_slices(run: Run, options: Options) -> ThickSlices:
    """Slices along the last axis, ``factor`` planes apart, of super-resolution through slices."""
    require_volumes(run)
    return ThickSlices(options.factor, -1, options.slice_width)


def require_volumes(run: Run) -> None:
    """``InputError`` unless the run is of volumes."""
    if len(run.shape) != 4:
        raise InputError(
            f"Thick slices are restored by a prior of volumes, and {run.name} is one of "
            f"{len(run.shape) - 1} dimensions; take one such as head."
        )


def gaussian_blur(run: Run, options: Options) -> Operator:
    """A Gaussian blur of standard deviation ``blur`` pixels."""
    return registry.gaussian_blur(options.blur, len(run.shape) - 1)


def grey(run: Run, options: Options) -> Grey:
    """The mean of the three channels, of colourisation."""
    if run.shape[0] != 3:
        raise InputError(f"Colour needs a run of 3 channels, and {run.name} has {run.shape[0]}.")
    return Grey()


def simulated_mri(run: Run, options: Options) -> Operator:
    """k-space of so many ``coils``, one line in ``acceleration`` of it."""
    return simulated.simulated_mri(run, options.acceleration, options.coils)


def simulated_ct(run: Run, options: Options) -> Operator:
    """A sinogram of ``views`` angles over half a turn."""
    return simulated.simulated_ct(run, options.views)
