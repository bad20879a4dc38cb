"""The training of joint encoders: each picture finds its text in the batch, and each text its
picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unfog.errors import InputError
from unfog.networks.joint_encoder import JointEncoder
from unfog.training.objectives.objective import objectives


def symmetric_loss(logits: Tensor) -> Tensor:
    """The symmetric contrastive loss (Radford et al. 2021, figure 3) of each pair,

        1/2 (log sum_j exp(l_ij) + log sum_j exp(l_ji)) - l_ii.

    Args:
        logits: l, of every picture with every text, (batch, batch).

    Returns:
        (batch,).
    """
    own = torch.arange(len(logits), device=logits.device)
    by_picture = cross_entropy(logits, own, reduction="none")
    by_text = cross_entropy(logits.T, own, reduction="none")
    return (by_picture + by_text) / 2


@objectives.register("contrastive")
class Contrastive:
    """The symmetric contrastive loss of a joint encoder. The other pairs of the batch are what a
    pair is told from, so the loss of a sample depends on its batch.

    Args:
        condition: The condition of the data that is the text, (batch, length, numbers), with its
            mask.
    """

    def __init__(self, condition: str = "text") -> None:
        self.condition = condition

    def __call__(
        self,
        encoder: JointEncoder,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The loss of each pair (batch,); ``InputError`` where the data have no text."""
        if self.condition not in batch:
            raise InputError(
                f"The training data have no condition {self.condition!r}, whose texts a joint "
                "encoder learns from; take data with captions."
            )
        mask = batch.get(f"{self.condition}_mask")
        return symmetric_loss(encoder(batch["x"], batch[self.condition], mask))
