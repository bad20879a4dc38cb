"""Fragments that a network is told of in training: the condition, the space of the rest, the loss.

A fragment is known but for where it lies: its atoms' places about their mean, and what they are.
The network sees it without noise, and draws the rest (``molecules.keep``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Condition, Context, conditions
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.shapes import expand, sum_per_sample
from unfog.core.space import PLAIN, Space
from unfog.molecules.state import ATOMS, AXES
from unfog.training.objectives import objectives
from unfog.training.objectives.denoising import DenoisingObjective, denoising
from unfog.training.objectives.objective import Drops, Named, given

NAME = "fragment"
HYDROGEN = AXES + ATOMS.index("H")  # its channel
BONDED = 1.3  # Angstrom: a hydrogen nearer than this to an atom is bonded to it
ROUGH = 0.7  # Angstrom by which distances are blurred, so that fragments are not all round


@conditions.register("fragment")
class FragmentCondition(Condition):
    """Which atoms are kept, one feature more of each atom: a value is (batch, 1, atoms), 1 for
    atoms of the fragment; the null is that none is. Training keeps atoms of the molecule itself
    (``derive``): some heavy ones near one of them, or near two, with their hydrogens or without.
    """

    made_of_data = True

    def __init__(self) -> None:
        super().__init__()
        self.sizes = {"spatial_channels": 1}

    def derive(self, x: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """A fragment of each molecule, by a generator a sample; nothing comes with them."""
        parts = [drawn_fragment(one, g) for one, g in zip(x.cpu(), generators, strict=True)]
        value = torch.stack(parts)[:, None].to(x)
        return value, torch.ones(len(x), dtype=torch.bool, device=x.device)

    def forward(
        self, value: Tensor | None, keep: Tensor | None, x_t: Tensor, mask: Tensor | None = None
    ) -> Context:
        """As of any condition; nothing comes with it."""
        return super().forward(value, keep, x_t)

    def embed(self, value: Tensor) -> Context:
        return Context(spatial=value)

    def null(self, x_t: Tensor) -> Context:
        return Context(spatial=torch.zeros_like(x_t[:, :1]))


def drawn_fragment(x: Tensor, randomness: torch.Generator) -> Tensor:
    """Which atoms of a molecule training keeps, bool (atoms,), never all of them.

    Args:
        x: The molecule on the model's scale, (channels, atoms).
        randomness: Its generator.
    """
    kept = torch.zeros(x.shape[1], dtype=torch.bool)
    heavy = ((x != 0).any(0) & (x[HYDROGEN] == 0)).nonzero()[:, 0]
    if len(heavy) < 2:
        return kept
    how_many, first, other, two, dressed = torch.rand(5, generator=randomness).tolist()
    # The heavy atoms by their distance from one of them, or from the nearer of two.
    seeds = [int(first * len(heavy)), *([int(other * len(heavy))] if two < 0.2 else [])]
    places = x[:AXES, heavy].T
    far = torch.cdist(places, places[seeds]).amin(1)
    far = far + ROUGH * torch.rand(len(heavy), generator=randomness)
    far[seeds] = 0
    count = 1 + int(how_many * (len(heavy) - 1))
    kept[heavy[far.argsort()[:count]]] = True
    if dressed < 0.5:
        # Their hydrogens too.
        near = torch.cdist(x[:AXES].T, x[:AXES, kept].T).amin(1) < BONDED
        kept = kept | (near & (x[HYDROGEN] != 0))
    return kept


@dataclass(frozen=True)
class Rest(Space):
    """What is free of a molecule whose fragment is known: the other atoms, and where the fragment
    lies. States of ``inner`` with the fragment's atoms at their mean and without features.

    Args:
        mask: As of ``inner``, which has it.
        inner: The space of molecules.
        fragment: 1 for atoms of the fragment, (batch, 1, atoms).
    """

    inner: Space = PLAIN
    fragment: Tensor = field(default_factory=lambda: torch.zeros(1, 1, 1))

    def within(self, mask: Tensor | None) -> Space:
        return replace(self, inner=self.inner.within(mask))

    def project(self, x: Tensor) -> Tensor:
        x, kept = self.inner.project(x), self.fragment.to(x)
        place, features = x[:, :AXES], x[:, AXES:]
        # Both projections commute: atoms at their mean have the mean that they had.
        mean = (kept * place).sum(2, keepdim=True) / kept.sum(2, keepdim=True).clamp(min=1)
        place = place + kept * (mean - place)
        return torch.cat([place, features * (1 - kept)], 1)

    def dimensions(self, shape: Sequence[int]) -> Tensor:
        atoms = sum_per_sample(self.fragment.double())
        return self.inner.dimensions(shape) - (
            AXES * (atoms - 1).clamp(min=0) + (shape[1] - AXES) * atoms
        )


@dataclass(frozen=True)
class FragmentDenoising:
    """Denoising of molecules of which a fragment may be known: there is no noise on it, and no loss
    (``Rest``).

    Args:
        denoising: The objective of molecules.
    """

    denoising: DenoisingObjective

    @property
    def head(self) -> nn.Module | None:
        """As of the objective of molecules."""
        return self.denoising.head

    def __call__(
        self,
        denoiser: NetworkDenoiser,
        batch: Mapping[str, Tensor],
        samples: Sequence[int],
        seed: int,
        step: int,
    ) -> Tensor:
        """The loss of each sample (batch,)."""
        x, inner = batch["x"], self.denoising.space.within(batch.get("mask"))
        values = given(denoiser, batch, samples, seed, step)
        keep = self.denoising.drop.keep(samples, seed, step, x.device)
        kept = values[NAME] * keep[NAME].view(-1, 1, 1) if NAME in keep else values[NAME]
        rest = Rest(inner=inner, fragment=kept)
        # x_t = alpha x_0 + sigma n with n on what is free; the fragment as it is.
        example = self.denoising.example(denoiser, x, samples, seed, step, rest)
        known = inner.project(x) - rest.project(x)
        shown = example.x_t + expand(denoiser.process.alpha(example.t), known) * known
        context = denoiser.conditioner(shown, values, keep)
        out = rest.project(denoiser.output(shown, example.t, context))
        return self.denoising.loss(denoiser, example, out)


@objectives.register("fragment-denoising")
def fragment_denoising(
    times: Named = "uniform",
    weight: Named = "simple",
    draws: Named = "stratified",
    drop: Drops = None,
    space: Space = PLAIN,
) -> FragmentDenoising:
    """``denoising`` of molecules of which a fragment may be known.

    Args:
        times: The distribution of training times, by name.
        weight: The weight of each noise level in the loss, by name.
        draws: How a batch's uniform numbers are drawn, by name.
        drop: The probability of hiding each condition, by name.
        space: Where states live.

    Returns:
        The objective.
    """
    return FragmentDenoising(denoising(times, weight, draws, drop, space))
