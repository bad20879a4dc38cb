"""What every training objective shares: its call, its registry, and the conditions it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from unfog.core.denoiser import NetworkDenoiser
from unfog.core.registry import Registry
from unfog.errors import InputError
from unfog.training.objectives.losses import Losses
from unfog.training.order import streams

Named = str | Mapping[str, Any]  # a registered name, or {"name": ..., **parameters}
# The probability of hiding each condition, by name; of one with parts, such as the classes of a
# mask, that of the whole and then that of each part.
Drops = Mapping[str, float | Sequence[float]] | None


class Objective(Protocol):
    """The function that training minimises; ``training.loop`` calls it once a step.

    If it has a module called ``head``, that module learns with the network and is left out of the
    trained model.
    """

    def __call__(
        self,
        model: Any,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
        /,
    ) -> Losses:
        """The losses of a batch; that of a sample is the same in any batch.

        Args:
            model: The denoiser in training, or the autoencoder.
            batch: Clean data on the model's scale as ``"x"`` (batch, channels, *space), and the
                conditions by name.
            samples: The numbers of the batch's samples in the data set.
            seed: The training seed.
            step: The training step.

        Returns:
            The loss of each sample (batch,); where parts learn in turns, an iterator of such a
            tensor for each turn.
        """
        ...


objectives: Registry[Objective] = Registry("objective")


@dataclass(frozen=True)
class Drop:
    """How often training hides each condition, so that the network also learns the distribution
    without it, as classifier-free guidance needs (Ho & Salimans 2022).

    Args:
        probabilities: The probability of hiding a condition, from 0 to 1, by its name; or, of one
            with parts, that of the whole, then that of each part by itself.

    Raises:
        InputError: A probability is not between 0 and 1.
    """

    probabilities: Mapping[str, float | Sequence[float]]

    def __post_init__(self) -> None:
        for name, stated in self.probabilities.items():
            for probability in stated if isinstance(stated, Sequence) else [stated]:
                if not 0 <= probability <= 1:
                    raise InputError(
                        f"The drop of condition {name!r} is a probability between 0 and 1, got "
                        f"{probability}."
                    )

    def keep(
        self, samples: Sequence[int], seed: int, step: int, device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """Draw which samples keep each condition, from (seed, step, sample).

        Args:
            samples: The numbers of the batch's samples in the data set.
            seed: The training seed.
            step: The training step.
            device: Where the answer is needed.

        Returns:
            By condition, booleans (batch,), False where the condition is hidden; (batch, parts)
            where it has parts.
        """
        kept = {}
        for name, stated in self.probabilities.items():
            chances = torch.tensor(stated, dtype=torch.float64)
            draws = [
                torch.rand(chances.shape, generator=g, dtype=torch.float64)
                for g in streams(f"drop {name}", seed, step, samples)
            ]
            keep = torch.stack(draws) >= chances
            # A part is there where the whole is.
            kept[name] = (keep[:, 1:] & keep[:, :1] if chances.ndim else keep).to(device)
        return kept


def given(
    denoiser: NetworkDenoiser,
    batch: Mapping[str, Tensor],
    samples: Sequence[int],
    seed: int,
    step: int,
) -> dict[str, Tensor]:
    """The conditions in a batch that the denoiser takes, with their masks, and those that are made
    of the clean data, by (seed, step, sample).

    Args:
        denoiser: The model.
        batch: Clean data on the model's scale as ``"x"``, and the conditions by name.
        samples: The numbers of the batch's samples in the data set.
        seed: The training seed.
        step: The training step.

    Returns:
        The values by name.

    Raises:
        InputError: A condition is lacking.
    """
    parts, conditioner = denoiser.conditioner.parts, denoiser.conditioner
    values = {name: value for name, value in batch.items() if conditioner.owner(name) is not None}
    for name, part in conditioner.named():
        if part.made_of_data:
            made = part.derive(batch["x"], streams(f"make {name}", seed, step, samples))
            values[name], values[f"{name}_{part.companion}"] = made
    lacking = [name for name in parts if name not in values]
    if lacking:
        raise InputError(
            f"The training data has no condition {lacking[0]!r}, which the model takes; take it "
            "out of 'conditions'."
        )
    return values
