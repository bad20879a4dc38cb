"""
The order of a sampler, measured
================================

The error of four samplers against the number of network calls, for a mixture whose denoiser is
exact. On double logarithmic axes the slope is the order.
"""

import matplotlib.pyplot as plt
import torch

from unfog.core.oracle import MixtureDenoiser
from unfog.core.process import VPCosine
from unfog.core.random import generators, normal
from unfog.sampling import samplers
from unfog.sampling.loop import solve

# %%
# Two blobs in the plane, and 64 starting points drawn from x_t at t = 0.9.
process = VPCosine()
means = torch.tensor([[-1.0, 0.2], [1.0, -0.4]], dtype=torch.float64)
covariances = torch.full((2, 2), 0.3, dtype=torch.float64)
denoiser = MixtureDenoiser(process, torch.ones(2, dtype=torch.float64), means, covariances)
first, last = torch.tensor([0.9, 0.05], dtype=torch.float64)
noise = normal((64, 2), generators(0, range(64)), like=means)
start = process.alpha(first) * means[0] + process.sigma(first) * noise


# %%
# Every sampler solves the same equation on steps that are even in log(alpha / sigma).
def ends(name: str, steps: int) -> torch.Tensor:
    """Where a sampler arrives at t = 0.05 after so many steps."""
    log_snr = torch.linspace(
        float(process.log_snr(first)), float(process.log_snr(last)), steps + 1, dtype=torch.float64
    )
    grid = process.t_of(log_snr)
    return solve(denoiser, start, grid, samplers.build(name), randomness=generators(0, range(64)))


exact = ends("adams", 2000)
calls = (4, 8, 16, 32, 64, 128)
figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
for name, each in (("euler", 1), ("heun", 2), ("dpmpp-2m", 1), ("adams", 1)):
    errors = [float((ends(name, n // each) - exact).norm(dim=1).mean()) for n in calls]
    slope = torch.log2(torch.tensor(errors[-2] / errors[-1]))
    axes.loglog(calls, errors, "o-", label=f"{name}: order {float(slope):.2f}")
axes.set(xlabel="network calls", ylabel="mean distance from the exact solution")
axes.grid(alpha=0.3)
axes.legend()
plt.show()
