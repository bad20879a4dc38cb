"""All samplers, by name."""

from __future__ import annotations

from unfog.core.registry import Registry
from unfog.sampling.ancestral import DDIM, DDPM, variances
from unfog.sampling.loop import Sampler
from unfog.sampling.multistep import DPMpp2MHeun, DPMpp2MMidpoint
from unfog.sampling.ode import Euler, Heun

samplers: Registry[Sampler] = Registry("sampler")
samplers.register("ddim")(DDIM)
samplers.register("euler")(Euler)
samplers.register("heun")(Heun)
samplers.register("dpmpp-2m")(DPMpp2MMidpoint)
samplers.register("dpmpp-2m-heun")(DPMpp2MHeun)


@samplers.register("ddpm")
def ddpm(variance: str = "small") -> DDPM:
    """DDPM with a variance by name: small, large or posterior."""
    return DDPM(variances.get(variance))
