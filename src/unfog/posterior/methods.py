"""The posterior methods, by name: from a denoiser of x_0 given x_t to one given a measurement too.

A new method is a ``Denoiser`` in a file of its own and a line here. Methods that renew x_t
themselves (projection, RePaint, the particle filter) are samplers, and stand in no table.
"""

from __future__ import annotations

from torch import Tensor

from unfog.core.denoiser import Denoiser
from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.physics.linear import Operator
from unfog.physics.measurement import Measurement
from unfog.physics.operators import Identity
from unfog.posterior.ddnm import DDNM
from unfog.posterior.ddrm import DDRM
from unfog.posterior.diffpir import DiffPIR
from unfog.posterior.direct import DirectMeasurement
from unfog.posterior.dps import DPS
from unfog.posterior.gdp import GDP
from unfog.posterior.linearised import Linearised
from unfog.posterior.mmps import MMPS
from unfog.posterior.pigdm import PiGDM
from unfog.posterior.reconstruction import ReconstructionGuidance
from unfog.posterior.tmpd import TMPD

AUTO = "auto"

methods: Registry[Denoiser] = Registry("method")
methods.register("mmps")(MMPS)
methods.register("dps")(DPS)
methods.register("pigdm")(PiGDM)
methods.register("tmpd")(TMPD)
methods.register("diffpir")(DiffPIR)
methods.register("ddnm")(DDNM)
methods.register("ddrm")(DDRM)
methods.register("gdp")(GDP)
methods.register("reconstruction")(ReconstructionGuidance)


LINEARISED = ("mmps", "tmpd")  # ask for A v and A* w alone, which a Jacobian gives


def posterior_denoiser(
    denoiser: Denoiser,
    operator: Operator | Measurement,
    measurement: Tensor,
    sigma: float,
    method: str = AUTO,
) -> Denoiser:
    """The denoiser of x_0 given x_t and y = A x_0 + noise, A linear or any function with a gradient
    (``posterior.linearised``).

    Args:
        denoiser: The prior's.
        operator: A.
        measurement: y, one for each image of the batch, on the model's scale.
        sigma: The noise's standard deviation, on the model's scale.
        method: A name of ``methods``; "auto" is exact where x_0 itself is measured
            (``posterior.direct``) and MMPS elsewhere.

    Returns:
        The denoiser given both, for any sampler.

    Raises:
        InputError: A is not linear, and the method needs more of it than its Jacobian.
    """
    if method == AUTO and isinstance(operator, Identity):
        return DirectMeasurement(denoiser, measurement, sigma)
    name = "mmps" if method == AUTO else method
    if not isinstance(operator, Operator) and name != "dps":
        factory = methods.get(name)
        if name not in LINEARISED:
            raise InputError(
                f"The method {name!r} needs more of a measurement than its Jacobian, and this one "
                f"is not linear; take dps, {' or '.join(LINEARISED)}."
            )
        return Linearised(denoiser, operator, measurement, sigma, factory)
    return methods.build(
        name, denoiser=denoiser, operator=operator, measurement=measurement, sigma=sigma
    )
