"""The E(n)-equivariant graph network (Satorras et al. 2021, arXiv:2102.09844), as the denoiser of
molecules (Hoogeboom et al. 2022, arXiv:2203.17003).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from unfog.core.conditioning import Context
from unfog.molecules.state import AXES, features_of
from unfog.networks.network import NOTHING, Network
from unfog.networks.registry import networks


class Pairs(nn.Module):
    """A multilayer perceptron of each pair of atoms,

        f_ij = silu(W_2 silu(W_1 [h_i, h_j, d_ij^2, d0_ij^2] + b_1) + b_2).

    W_1 is applied to atoms and distances apart, n + n^2 products in place of n^2.

    Args:
        width: Features of an atom, and of a pair.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2 * width + 2, width), nn.Linear(width, width)
        self.width = width

    def forward(self, h: Tensor, distances: Tensor) -> Tensor:
        """(batch, n, n, width) of h (batch, n, width) and squared distances (batch, n, n, 2)."""
        own, other, far = torch.split(self.first.weight, [self.width, self.width, 2], 1)
        a = nn.functional.linear(h, own, self.first.bias)
        b = nn.functional.linear(h, other)
        c = nn.functional.linear(distances.to(h.dtype), far)
        return silu(self.second(silu(a[:, :, None] + b[:, None] + c)))


class EquivariantLayer(nn.Module):
    """Messages between all pairs of atoms, and a step of each along the lines to the others,

        m_ij = a_ij f_ij,  a_ij = sigmoid(w f_ij + b),   h_i <- h_i + phi([h_i, sum_j m_ij]),
        x_i <- x_i + sum_j (x_i - x_j) / (d_ij + 1) reach tanh(psi g_ij),

    f and g ``Pairs`` of the old and of the new h.

    Args:
        width: Features of an atom.
        reach: The largest step along a line.
    """

    def __init__(self, width: int, reach: float) -> None:
        super().__init__()
        self.reach = reach
        self.messages, self.attention = Pairs(width), nn.Linear(width, 1)
        self.update1, self.update2 = nn.Linear(2 * width, width), nn.Linear(width, width)
        self.lines, self.step = Pairs(width), nn.Linear(width, 1, bias=False)
        nn.init.xavier_uniform_(self.step.weight, gain=1e-3)

    def forward(self, h: Tensor, x: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """New features (batch, n, width) and places (batch, n, 3).

        Args:
            h: Features of the atoms.
            x: Their places.
            start: Squared distances at the network's entry, (batch, n, n, 1).
        """
        between = x[:, :, None] - x[:, None]
        squared = between.square().sum(-1, keepdim=True)
        distances = torch.cat([squared, start], -1)
        # No atom is its own neighbour.
        others = 1 - torch.eye(x.shape[1], dtype=h.dtype, device=h.device)[..., None]
        # Features: the sum of messages from all others.
        pairs = self.messages(h, distances)
        sent = (pairs * (torch.sigmoid(self.attention(pairs)) * others)).sum(2)
        h = h + self.update2(silu(self.update1(torch.cat([h, sent], -1))))
        # Places: a step along each line, equal in the eyes of every rotation.
        size = torch.tanh(self.step(self.lines(h, distances))) * others
        # The root's gradient is not finite where an atom meets itself.
        length = (squared + 1e-8).sqrt()
        moved = (between / (length + 1) * (self.reach * size).to(x.dtype)).sum(2)
        return h, x + moved


@networks.register("egnn")
class EGNN(Network):
    """The network of molecules: x (batch, 3 + features, atoms), label (batch,) and context to the
    same shape. Its first three channels are places, which turn with those of x, the others features
    of the atoms, which do not change with them. The atoms of a molecule may stand in any order.

    An atom whose column of x is zero is padding, as states in a masked space (``core.space``) are;
    nothing is computed for it: molecules of one size are taken together. With 9 layers of 256 it is
    the published network of QM9, of 5.34 million weights.

    Args:
        in_channels: 3 and the features of an atom.
        out_channels: As many.
        dims: 1: atoms are the one axis.
        width: Features of an atom within.
        layers: How many layers.
        reach: The most that an atom moves along a line, over all layers.
        vector_width: width of ``context.vector``, added to every atom's features; None without it.
        spatial_channels: channels of ``context.spatial``, more features of the atoms.
        token_width: must be None.
    """

    kind = "EGNN"
    takes_dims = (1,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 1,
        width: int = 256,
        layers: int = 9,
        reach: float = 15.0,
        vector_width: int | None = None,
        spatial_channels: int = 0,
        token_width: int | None = None,
    ) -> None:
        super().__init__(
            dims,
            embedding_width=width,
            vector_width=vector_width,
            spatial_channels=spatial_channels,
            token_width=token_width,
        )
        features = features_of("An EGNN", in_channels, out_channels, token_width)
        self.feature_channels = [width] * layers
        # The label is one more feature of every atom.
        self.enter = nn.Linear(features + 1 + spatial_channels, width)
        self.vector = None if vector_width is None else nn.Linear(vector_width, width, bias=False)
        stack = [EquivariantLayer(width, reach / layers) for _ in range(layers)]
        self.layers = cast(Sequence[EquivariantLayer], nn.ModuleList(stack))
        self.leave = nn.Linear(width, features + 1)  # the label's channel is given up again

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        self.check(x, context)
        present, out = (x != 0).any(1), torch.zeros_like(x)
        for rows, atoms in _by_size(present):
            part = _of(context, rows, atoms)
            *_, given = self._molecules(_columns(x, rows, atoms), label[rows], part)
            out[rows[:, None], :, atoms] = given.to(out)
        return out

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network: the features after each layer, zero where there is padding."""
        self.check(x, context)
        shape = (len(x), self.embedding_width, x.shape[2])
        maps = [x.new_zeros(shape) for _ in self.layers]
        for rows, atoms in _by_size((x != 0).any(1)):
            part = _of(context, rows, atoms)
            *found, _ = self._molecules(_columns(x, rows, atoms), label[rows], part)
            for one, h in zip(maps, found, strict=True):
                one[rows[:, None], :, atoms] = h.to(one)
        return maps

    def _molecules(self, x: Tensor, label: Tensor, context: Context) -> list[Tensor]:
        """Of molecules of one size, x (batch, n, 3 + features): the features after each layer, and
        the output.
        """
        place, given = x[..., :AXES], x[..., AXES:]
        stated = [given, label.view(-1, 1, 1).expand(-1, x.shape[1], 1).to(x)]
        if context.spatial is not None:
            stated.append(context.spatial.to(x))
        h = self.enter(torch.cat(stated, -1).to(self.enter.weight.dtype))
        if self.vector is not None and context.vector is not None:
            h = h + self.vector(context.vector.to(h.dtype))[:, None]
        start = (place[:, :, None] - place[:, None]).square().sum(-1, keepdim=True)
        now, maps = place, []
        for layer in self.layers:
            h, now = layer(h, now, start)
            maps.append(h)
        features = self.leave(h)[..., :-1].to(x)
        return [*maps, torch.cat([now - place, features], -1)]


def _by_size(present: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The rows of the molecules of each size, and the places of their atoms in the padding, (rows,
    size).
    """
    sizes = present.sum(1)
    groups = []
    for size in torch.unique(sizes).tolist():
        rows = (sizes == size).nonzero().flatten()
        if size:
            atoms = present[rows].nonzero()[:, 1].view(len(rows), size)
            groups.append((rows, atoms))
    return groups


def _columns(x: Tensor, rows: Tensor, atoms: Tensor) -> Tensor:
    """The columns of x (batch, channels, atoms) that are there, (rows, size, channels)."""
    return x[rows[:, None], :, atoms]


def _of(context: Context, rows: Tensor, atoms: Tensor) -> Context:
    """The context of some molecules, without padding; ``spatial`` is (rows, size, channels)."""
    spatial = None if context.spatial is None else _columns(context.spatial, rows, atoms)
    vector = None if context.vector is None else context.vector[rows]
    return Context(vector=vector, spatial=spatial)
