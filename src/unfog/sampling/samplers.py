"""All samplers, by name."""

from __future__ import annotations

from unfog.core.registry import Registry
from unfog.sampling.ancestral import DDIM, DDPM, variances
from unfog.sampling.churn import Churn
from unfog.sampling.consistency import Consistency
from unfog.sampling.covariance import CovarianceSampler
from unfog.sampling.langevin import AnnealedLangevin, Langevin, PredictorCorrector
from unfog.sampling.loop import Sampler
from unfog.sampling.moments import dpmpp_3m_rule, exact, halved, midpoint
from unfog.sampling.multistep import DEIS, ExponentialAdamsMoulton, Multistep
from unfog.sampling.ode import Euler, Heun
from unfog.sampling.sde import EulerMaruyama, ReverseDiffusion

samplers: Registry[Sampler] = Registry("sampler")
samplers.register("ddim")(DDIM)
samplers.register("euler")(Euler)
samplers.register("heun")(Heun)
samplers.register("calibrated-draws")(CovarianceSampler)
samplers.register("euler-maruyama")(EulerMaruyama)
samplers.register("reverse-diffusion")(ReverseDiffusion)
samplers.register("annealed-langevin")(AnnealedLangevin)
samplers.register("deis")(DEIS)
samplers.register("consistency")(Consistency)


@samplers.register("ddpm")
def ddpm(variance: str = "small") -> DDPM:
    """DDPM with a variance by name: small, large or posterior."""
    return DDPM(variances.get(variance))


@samplers.register("euler-ancestral")
def euler_ancestral() -> DDIM:
    """Euler ancestral, which is the same step as DDIM with eta = 1."""
    return DDIM(eta=1.0)


@samplers.register("heun-churn")
def heun_churn(
    gamma: float = 40 / 256, s_min: float = 0.05, s_max: float = 50.0, s_noise: float = 1.003
) -> Churn:
    """EDM's stochastic sampler (Karras et al. 2022, algorithm 2); the defaults are the paper's for
    ImageNet at 256 steps.

    Args:
        gamma: Share by which the noise level rises before a step, S_churn / steps of the paper.
        s_min: Lowest noise level with churn.
        s_max: Highest noise level with churn.
        s_noise: Deviation of the added noise over what it should be.

    Returns:
        The sampler.
    """
    return Churn(gamma, s_min, s_max, s_noise)


@samplers.register("predictor-corrector")
def predictor_corrector(
    predictor: str = "reverse-diffusion", snr: float = 0.16, corrections: int = 1
) -> PredictorCorrector:
    """Predictor-corrector sampling (Song et al. 2021): a one-step sampler, then Langevin steps.

    Args:
        predictor: The one-step sampler, by name.
        snr: Signal-to-noise ratio of a Langevin step.
        corrections: Langevin steps after each of the predictor's.

    Returns:
        The sampler.
    """
    return PredictorCorrector(samplers.build(predictor), Langevin(snr), corrections)


@samplers.register("dpmpp-2m")
def dpmpp_2m(eta: float = 0.0) -> Multistep:
    """DPM-Solver++(2M), midpoint (Lu et al. 2022): what papers call DPM++ 2M."""
    return Multistep(2, midpoint, eta)


@samplers.register("dpmpp-2m-heun")
def dpmpp_2m_heun(eta: float = 0.0) -> Multistep:
    """DPM-Solver++(2M), heun: exponential Adams of order 2."""
    return Multistep(2, exact, eta)


@samplers.register("dpmpp-3m")
def dpmpp_3m(eta: float = 0.0) -> Multistep:
    """DPM-Solver++(3M) as published; it is not of third order, "adams" is."""
    return Multistep(3, dpmpp_3m_rule, eta)


@samplers.register("dpmpp-2m-sde")
def dpmpp_2m_sde(eta: float = 1.0) -> Multistep:
    """The SDE variant of DPM-Solver++(2M), midpoint."""
    return Multistep(2, midpoint, eta)


@samplers.register("dpmpp-3m-sde")
def dpmpp_3m_sde(eta: float = 1.0) -> Multistep:
    """DPM-Solver++(3M) SDE, as in k-diffusion."""
    return Multistep(3, halved, eta)


@samplers.register("adams-3-sde")
def adams_sde(eta: float = 1.0) -> Multistep:
    """Exponential Adams of order 3 for the SDE: noise is replaced at the rate eta."""
    return Multistep(3, exact, eta)


@samplers.register("adams")
def adams(order: int = 3) -> ExponentialAdamsMoulton:
    """Exponential Adams with a corrector that takes no further network call."""
    return ExponentialAdamsMoulton(order, exact)


@samplers.register("unipc")
def unipc(order: int = 3) -> ExponentialAdamsMoulton:
    """UniPC with B(h) = e^h - 1 (Zhao et al. 2023)."""
    return ExponentialAdamsMoulton(order, midpoint)
