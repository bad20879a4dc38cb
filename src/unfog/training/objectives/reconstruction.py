"""The training of autoencoders: reconstruction, perceptual distance and a patch discriminator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn.functional import relu

from unfog.core.random import seed_of
from unfog.core.shapes import mean_per_sample
from unfog.networks.autoencoder import Autoencoder
from unfog.networks.patch_discriminator import PatchDiscriminator
from unfog.training.objectives.objective import objectives
from unfog.training.objectives.perceptual import Features, perceptual_distance
from unfog.training.order import streams

LARGEST = 1e4  # adaptive weight


@objectives.register("reconstruction")
class Reconstruction:
    """The objective of latent diffusion's autoencoders (Esser et al. 2021; Rombach et al. 2022).
    With x' the reconstruction and D a discriminator of patches, the autoencoder learns by

        |x - x'| + perceptual d(x, x') + penalty - adversarial lambda D(x'),
        lambda = |grad (|x - x'| + perceptual d)| / |grad D(x')|,

    gradients at the decoder's last layer, so that neither side outgrows the other; D learns by the
    hinge loss, mean relu(1 - D(x)) + mean relu(1 + D(x')), in a turn of its own before the
    autoencoder's. It starts late, when x' is worth judging. Lambda is one number for the batch; all
    else is of each sample.

    Args:
        shape: Of x, (channels, *space).
        features: Maps for the perceptual distance; None leaves it out.
        perceptual: Its weight.
        adversarial: The weight of the adversarial loss; 0 leaves it out.
        start: The step after which the discriminator takes its turns.
        width: Channels of the discriminator's first map.
        levels: Its strided convolutions.
    """

    def __init__(
        self,
        shape: Sequence[int],
        features: Features | None = None,
        perceptual: float = 1.0,
        adversarial: float = 0.5,
        start: int = 0,
        width: int = 64,
        levels: int = 3,
    ) -> None:
        self.features, self.perceptual = features, perceptual
        self.adversarial, self.start = adversarial, start
        if adversarial:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed_of("discriminator"))
                self.head = PatchDiscriminator(shape[0], len(shape) - 1, width, levels)

    def __call__(
        self,
        autoencoder: Autoencoder,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Iterator[Tensor]:
        """The losses of each sample (batch,), one turn after the other: the discriminator's from
        its start on, then the autoencoder's.

        Args:
            autoencoder: The model.
            batch: The data ``"x"`` (batch, channels, *space) on the model's scale.
            samples: The numbers of the batch's samples.
            seed: The seed of the run.
            step: The training step, from 1.

        Returns:
            An iterator of losses (batch,); each is to be asked for after the update by the last.
        """
        x = batch["x"]
        coded = autoencoder(x, streams("latent", seed, step, samples))
        # What the reconstruction lacks.
        error = mean_per_sample((coded.x - x).abs().float())
        if self.features is not None:
            error = error + self.perceptual * perceptual_distance(self.features, x, coded.x)
        loss = error + coded.penalty
        if not self.adversarial or step <= self.start:
            yield loss
            return
        # The discriminator's turn; no gradient reaches the autoencoder.
        real, fake = self.head(x).float(), self.head(coded.x.detach()).float()
        yield mean_per_sample(relu(1 - real)) + mean_per_sample(relu(1 + fake))
        # The autoencoder's, by the discriminator as it is after its update.
        frozen = {name: p.detach() for name, p in self.head.named_parameters()}
        judged: Tensor = functional_call(self.head, frozen, (coded.x,))
        verdict = -mean_per_sample(judged.float())
        balance = self._balance(error, verdict, autoencoder.last_layer)
        yield loss + self.adversarial * balance * verdict

    @staticmethod
    def _balance(error: Tensor, verdict: Tensor, last: Tensor) -> Tensor:
        """Lambda: the gradient of the error over that of the verdict, at the last layer."""
        sizes = [
            torch.autograd.grad(value.mean(), last, retain_graph=True)[0].norm()
            for value in (error, verdict)
        ]
        balance: Tensor = sizes[0] / (sizes[1] + 1e-4)
        return balance.clamp(0, LARGEST).detach()
