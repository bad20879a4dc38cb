"""Parity with diffusers' schedulers: the same model outputs through both, to 1e-5 relative, over
whole trajectories.
"""

import inspect

import numpy as np
import pytest
import torch

from unfog.core.denoiser import Denoiser, NetworkDenoiser, Posterior
from unfog.core.label import labels
from unfog.core.prediction import Flow, Noise
from unfog.core.process import RectifiedFlow, ddpm_linear
from unfog.core.variance import LearnedRange
from unfog.sampling.ancestral import DDIM, DDPM, large, posterior, small
from unfog.sampling.grids import grids
from unfog.sampling.loop import trajectory
from unfog.sampling.moments import midpoint
from unfog.sampling.multistep import Multistep
from unfog.sampling.ode import Euler, Heun
from unfog.sampling.samplers import samplers

diffusers = pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
PROCESS = ddpm_linear()
TABLE = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
}
X = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def noise_model(x, index):
    """A smooth stand-in for a network, of x on the variance-preserving scale and the discrete time:
    a Gaussian's noise, and a wave.
    """
    sigma = float(PROCESS.sigma(torch.tensor((index + 1) / 1000, dtype=torch.float64)))
    return sigma * x + 0.3 * torch.sin(2 * x + 0.003 * index) + 0.1 * x.roll(1, -1)


class Shared(Denoiser):
    def __init__(self):
        super().__init__()
        self.process = PROCESS

    def forward(self, x_t, t, **condition):
        out = noise_model(x_t, float(t) * 1000 - 1)
        return Posterior(Noise().to_x0(out, x_t, *self.scales(t)))


def ours(grid, sampler, x=X):
    return list(
        trajectory(Shared(), x, grid, sampler, randomness=torch.Generator().manual_seed(1))
    )[-1].x


def theirs(scheduler, x=X, sigma_space=False):
    """The scheduler's own loop; ``sigma_space`` for schedulers that carry x / alpha."""
    generator = torch.Generator().manual_seed(1)
    if sigma_space:
        x = x * float((scheduler.sigmas[0] ** 2 + 1) ** 0.5)  # x / alpha
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if sigma_space else x
        kwargs = (
            {"generator": generator}
            if "generator" in inspect.signature(scheduler.step).parameters
            else {}
        )
        x = scheduler.step(noise_model(scaled, float(t)), t, x, **kwargs).prev_sample
    return x


def close(a, b):
    return float(b.abs().max()) > 0.1 and float((a - b).abs().max() / b.abs().max()) <= 1e-5


@pytest.mark.parametrize(("spacing", "steps"), [("leading", 20), ("trailing", 20), ("leading", 50)])
def test_ddim(spacing, steps):
    scheduler = diffusers.DDIMScheduler(
        **TABLE, clip_sample=False, timestep_spacing=spacing, set_alpha_to_one=True
    )
    scheduler.set_timesteps(steps)
    assert close(ours(grids.build(spacing)(PROCESS, steps), DDIM()), theirs(scheduler))


def test_ddim_with_noise():
    scheduler = diffusers.DDIMScheduler(
        **TABLE, clip_sample=False, timestep_spacing="trailing", set_alpha_to_one=True
    )
    scheduler.set_timesteps(20)
    generator, x = torch.Generator().manual_seed(1), X
    for t in scheduler.timesteps:
        x = scheduler.step(noise_model(x, float(t)), t, x, eta=0.7, generator=generator).prev_sample
    assert close(ours(grids.build("trailing")(PROCESS, 20), DDIM(eta=0.7)), x)


@pytest.mark.parametrize(("name", "variance"), [("fixed_small", small), ("fixed_large", large)])
@pytest.mark.parametrize("steps", [50, 1000])
def test_ddpm(name, variance, steps):
    scheduler = diffusers.DDPMScheduler(
        **TABLE, clip_sample=False, variance_type=name, timestep_spacing="leading"
    )
    scheduler.set_timesteps(steps)
    # In float64 on both sides: over 1000 steps the rounding of a float32 table alone exceeds 1e-5.
    scheduler.betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas, 0)
    x = X.double()
    assert close(
        ours(grids.build("leading")(PROCESS, steps), DDPM(variance), x), theirs(scheduler, x)
    )


@pytest.mark.parametrize("kind", ["Euler", "Heun"])
@pytest.mark.parametrize("spacing", ["trailing", "linspace"])
def test_euler_and_heun(kind, spacing):
    scheduler = getattr(diffusers, f"{kind}DiscreteScheduler")(**TABLE, timestep_spacing=spacing)
    steps = 15 if spacing == "trailing" else 28  # linspace must land on knots: 999 / 27 = 37
    scheduler.set_timesteps(steps)
    final = ours(grids.build(spacing)(PROCESS, steps), {"Euler": Euler, "Heun": Heun}[kind]())
    assert close(final, theirs(scheduler, sigma_space=True))


def exactly(scheduler, end):
    """The scheduler with its table of noise levels in float64, and the grid it stands for."""
    times = torch.cat(
        [(scheduler.timesteps.double() + 1) / 1000, torch.tensor([end], dtype=torch.float64)]
    )
    scheduler.sigmas = PROCESS.noise_level(times)
    return times


@pytest.mark.parametrize(
    ("name", "algorithm", "order", "kind"),
    [
        ("ddim", "dpmsolver++", 1, "midpoint"),
        ("ddpm", "sde-dpmsolver++", 1, "midpoint"),
        ("dpmpp-2m", "dpmsolver++", 2, "midpoint"),
        ("dpmpp-2m-heun", "dpmsolver++", 2, "heun"),
        ("dpmpp-3m", "dpmsolver++", 3, "midpoint"),
        ("dpmpp-2m-sde", "sde-dpmsolver++", 2, "midpoint"),
        ({"name": "dpmpp-2m-heun", "eta": 1.0}, "sde-dpmsolver++", 2, "heun"),
    ],
)
@pytest.mark.parametrize("steps", [16, 28])
def test_dpmpp(name, algorithm, order, kind, steps):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **TABLE,
        algorithm_type=algorithm,
        solver_order=order,
        solver_type=kind,
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(steps)
    x = X if "sde" in algorithm else X.double()  # their noise is float32 whatever x is
    times = exactly(scheduler, 0.0)
    assert close(ours(times, samplers.build(name), x), theirs(scheduler, x))


def test_dpmpp_3m_sde_but_for_a_sign():
    """Diffusers takes 1/2 from the weight of the second difference where it is to be added
    (k-diffusion adds it, and so do we).
    """

    def rule(moments):
        return (
            np.concatenate([moments[:2], moments[2:] / 2 - 1])
            if len(moments) == 3
            else midpoint(moments)
        )

    scheduler = diffusers.DPMSolverMultistepScheduler(
        **TABLE,
        algorithm_type="sde-dpmsolver++",
        solver_order=3,
        timestep_spacing="trailing",
        final_sigmas_type="zero",
    )
    scheduler.set_timesteps(28)
    times = exactly(scheduler, 0.0)
    assert close(ours(times, Multistep(3, rule, eta=1.0)), theirs(scheduler))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("kind", "name"), [("UniPC", "unipc"), ("DEIS", "deis")])
def test_unipc_and_deis(kind, name, order):
    final = {"final_sigmas_type": "sigma_min"} if kind == "UniPC" else {}
    scheduler = getattr(diffusers, f"{kind}MultistepScheduler")(
        **TABLE, solver_order=order, timestep_spacing="trailing", lower_order_final=False, **final
    )
    scheduler.set_timesteps(20)
    times = exactly(scheduler, 0.001)
    assert close(
        ours(times, samplers.build({"name": name, "order": order}), X.double()),
        theirs(scheduler, X.double()),
    )


def test_euler_ancestral():
    scheduler = diffusers.EulerAncestralDiscreteScheduler(**TABLE, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    assert close(
        ours(grids.build("trailing")(PROCESS, 20), samplers.build("euler-ancestral")),
        theirs(scheduler, sigma_space=True),
    )


def test_flow_matching():
    """From noise alone: alpha is 0 at the first time of the grid."""
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1 - k / 12 for k in range(12)])

    class Velocity(Denoiser):
        process = RectifiedFlow()

        def forward(self, x_t, t, **condition):
            return Posterior(Flow().to_x0(noise_model(x_t, 999 * float(t)), x_t, *self.scales(t)))

    x = X
    for t in scheduler.timesteps:
        x = scheduler.step(noise_model(x, 999 * float(t) / 1000), t, x).prev_sample
    mine = list(
        trajectory(
            Velocity(), X, torch.linspace(1, 0, 13).double(), Euler(), randomness=torch.Generator()
        )
    )[-1].x
    assert close(mine, x)


def test_ddpm_with_learned_variance():
    """The interpolated log-variance of Improved DDPM, from the network's second half."""

    class TwoHalves(torch.nn.Module):
        def forward(self, x, label, context):
            return torch.cat([noise_model(x, float(label[0])), torch.tanh(x.flip(-1))], 1)

    denoiser = NetworkDenoiser(
        TwoHalves(), PROCESS, Noise(), labels.build("time"), variance=LearnedRange()
    )
    scheduler = diffusers.DDPMScheduler(**TABLE, clip_sample=False, variance_type="learned_range")
    scheduler.set_timesteps(1000)
    scheduler.betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    scheduler.alphas_cumprod = torch.cumprod(1 - scheduler.betas, 0)
    x, generator = X.double(), torch.Generator().manual_seed(1)
    for t in scheduler.timesteps:
        out = torch.cat([noise_model(x, float(t)), torch.tanh(x.flip(-1))], 1)
        x = scheduler.step(out, t, x, generator=generator).prev_sample
    grid, randomness = grids.build("trailing")(PROCESS, 1000), torch.Generator().manual_seed(1)
    mine = list(trajectory(denoiser, X.double(), grid, DDPM(posterior), randomness=randomness))[
        -1
    ].x
    assert close(mine, x)
