"""The objective for data that bring noisy states of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.shapes import expand
from unfog.errors import InputError
from unfog.training.objectives.objective import Drops, given, objectives


@dataclass(frozen=True)
class GivenNoise:
    """Denoising loss of data whose noise is part of them, for noise that is not Gaussian or not
    white.

        x_t = alpha(t) noisy,   t where sigma / alpha = level,
        loss = sum inside |out(x_t, t) - target|^2 / sum inside,

    target the output that stands for x_0. A batch holds, besides x_0 as ``"x"``:

        "noisy"     (batch, channels, *space)   x_0 plus its noise
        "level"     (batch,)                    the standard deviation of that noise
        "inside"    (batch, 1, *space)          1 where errors count, 0 elsewhere
    """

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The loss of each sample (batch,)."""
        if not {"noisy", "level", "inside"} <= batch.keys():
            raise InputError(
                "The objective 'given-noise' needs data that bring noise of their own, such as "
                "dmri-low-rank."
            )
        # The noisy data as a state of the process, at the time of their noise level.
        t = denoiser.process.t_of_noise_level(batch["level"].double())
        alpha, sigma = denoiser.scales(t)
        clean, inside = batch["x"].double(), batch["inside"]
        x_t = expand(alpha, clean) * batch["noisy"].double()
        target = denoiser.prediction.from_x0(clean, x_t, alpha, sigma).to(batch["x"])
        # One call of the network.
        values = given(denoiser, batch, samples, seed, step)
        context = denoiser.conditioner(batch["x"], values, {})
        out = denoiser.output(x_t.to(batch["x"]), t, context)
        # The mean square over what is inside, all channels.
        squares = inside * (out.to(target) - target).square()
        count = (inside.flatten(1).sum(1) * clean.shape[1]).clamp(min=1)
        return squares.flatten(1).sum(1) / count


@objectives.register("given-noise")
def given_noise(drop: Drops = None) -> GivenNoise:
    """Squared error of the network's output where the data bring noisy states of their own."""
    if any((drop or {}).values()):
        raise InputError("The objective 'given-noise' hides no conditions; set their drop to 0.")
    return GivenNoise()
