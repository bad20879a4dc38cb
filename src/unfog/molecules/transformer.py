"""An equivariant transformer of atoms, the network of the recipe that trains on few cores.

Attention with distances in its weights, and vectors beside the features of each atom, are those of
Schuett et al. 2021 (arXiv:2102.03150) and Thoelke & De Fabritiis 2022 (arXiv:2202.02541). What is
computed for each pair of atoms is a number a head, where an EGNN computes a perceptron.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from unfog.core.conditioning import Context
from unfog.errors import InputError
from unfog.molecules.state import AXES, features_of
from unfog.networks.network import NOTHING, Network
from unfog.networks.registry import networks

SOFT = 0.1  # length below which the direction between two atoms fades
FARTHEST = 5.0  # the last centre of the distances' radial basis


class PairWeights(nn.Module):
    """What a layer's heads know of pairs: a perceptron of the distance and the label.

    Args:
        width: Features within.
        centres: Gaussians of the distance, at even steps from 0 to ``FARTHEST``.
        told: Features of the label's embedding.
    """

    def __init__(self, width: int, centres: int, told: int) -> None:
        super().__init__()
        self.step = FARTHEST / (centres - 1)
        self.basis, self.told = nn.Linear(centres, width), nn.Linear(told, width)

    def forward(self, distance: Tensor, label: Tensor) -> Tensor:
        """(width, batch n n) of distances (batch, n, n) and embeddings (batch, told): one product
        of two matrices for all pairs.
        """
        kind = self.basis.weight.dtype
        far = (distance.flatten() / self.step).to(kind)
        centres = torch.arange(self.basis.in_features, dtype=kind, device=far.device)
        basis = torch.exp(-0.5 * (far - centres[:, None]).square())
        found = torch.mm(self.basis.weight, basis).view(-1, *distance.shape)
        bias = (self.basis.bias + self.told(label)).T[..., None, None].to(found)
        return silu(found + bias).flatten(1)


class AtomLayer(nn.Module):
    """Attention between atoms, then a perceptron of each, on features h and vectors v.

        a_ij = sigmoid(q_i k_j + b1_ij),                b1, b2, b3 of the distance d_ij,
        h_i <- h_i + W sum_j a_ij b2_ij w_j,
        v_i <- v_i + sum_j a_ij b3_ij r_ij g_j + sum_j a_ij b2_ij V v_j,
        h_i, v_i <- h_i + phi(h_i, <v_i A, v_i B>), v_i + (v_i B) psi(h_i, <v_i A, v_i B>),

    r_ij the direction from j to i. Sums, not means: how many neighbours there are is chemistry.

    Args:
        width: Features of an atom.
        vectors: Vectors of an atom.
        heads: Of attention.
        pairs: Features of a pair.
    """

    def __init__(self, width: int, vectors: int, heads: int, pairs: int) -> None:
        super().__init__()
        self.width, self.vectors, self.heads = width, vectors, heads
        self.norm, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in "ab")
        self.told = nn.Linear(width, 4 * width)
        self.enter = nn.Linear(width, 3 * width + vectors)
        self.bias = nn.Linear(pairs, 3 * heads)
        self.out, self.carry = nn.Linear(width, width), nn.Linear(vectors, vectors, bias=False)
        self.cross = nn.Linear(vectors, 2 * vectors, bias=False)
        self.first = nn.Linear(width + vectors, 2 * width)
        self.second = nn.Linear(2 * width, width + vectors)
        for layer in (self.told, self.out, self.second):
            nn.init.zeros_(layer.bias)
            nn.init.normal_(layer.weight, std=0.02)

    def forward(
        self, h: Tensor, v: Tensor, pairs: Tensor, lines: Tensor, label: Tensor
    ) -> tuple[Tensor, Tensor]:
        """New features (batch, n, width) and vectors (batch, n, 3, vectors).

        Args:
            h: Features of the atoms.
            v: Their vectors.
            pairs: What is known of pairs, (pairs, batch n n).
            lines: Directions, zero where one of two atoms is padding, (4, batch, n, n); the fourth
                is 1 where both are atoms and differ.
            label: Its embedding, (batch, width).
        """
        batch, n, _ = h.shape
        scale1, shift1, scale2, shift2 = self.told(silu(label))[:, None].chunk(4, -1)
        # Weights of pairs, a number a head.
        h1 = self.norm(h) * (1 + scale1) + shift1
        parts = self.enter(h1).split([self.width] * 3 + [self.vectors], -1)
        q, k, w, g = (p.view(batch, n, self.heads, -1).permute(2, 0, 1, 3) for p in parts)
        b = torch.addmm(self.bias.bias[:, None], self.bias.weight, pairs)
        b1, b2, b3 = b.view(3, self.heads, batch, n, n)
        a = torch.sigmoid(q @ k.transpose(2, 3) * (q.shape[-1] ** -0.5) + b1)
        near = a * b2 * lines[3]
        # Features, and vectors along lines and of the others.
        sent = (near @ w).permute(1, 2, 0, 3).reshape(batch, n, self.width)
        h = h + self.out(sent)
        along = (a * b3)[:, None] * lines[:AXES]
        pushed = (along @ g[:, None]).permute(2, 3, 1, 0, 4).reshape(v.shape)
        # Vectors are told in units of their common length.
        unit = v * (v.square().mean((2, 3), keepdim=True) + 1).rsqrt()
        theirs = self.carry(unit).view(batch, n, -1, self.heads, self.vectors // self.heads)
        theirs = theirs.permute(3, 0, 1, 2, 4).reshape(self.heads, batch, n, -1)
        carried = (near @ theirs).view(self.heads, batch, n, AXES, -1)
        carried = carried.permute(1, 2, 3, 0, 4).reshape(v.shape)
        v = v + pushed + carried
        # A perceptron of features and of the products of vectors, which no rotation changes.
        unit = v * (v.square().mean((2, 3), keepdim=True) + 1).rsqrt()
        one, two = self.cross(unit).chunk(2, -1)
        products = (one * two).sum(2)
        h2 = self.norm2(h) * (1 + scale2) + shift2
        change, gate = self.second(silu(self.first(torch.cat([h2, products], -1)))).split(
            [self.width, self.vectors], -1
        )
        return h + change, v + two * gate[:, :, None]


@networks.register("atom-transformer")
class AtomTransformer(Network):
    """A transformer of atoms: x (batch, 3 + features, atoms), label (batch,) and context to the
    same shape. Its first three channels are places, which turn and mirror with those of x, the
    others features of the atoms, which do not change with them. Atoms may stand in any order, and
    where the molecule lies does not matter. A column of x that is zero is padding.

    Args:
        in_channels: 3 and the features of an atom.
        out_channels: As many.
        dims: 1: atoms are the one axis.
        width: Features of an atom within.
        layers: How many layers.
        vectors: Vectors of an atom within.
        heads: Of attention; they divide ``width`` and ``vectors``.
        vector_width: width of ``context.vector``, added to the label's embedding; None without it.
        spatial_channels: channels of ``context.spatial``, more features of the atoms.
        token_width: must be None.
    """

    kind = "transformer of atoms"
    takes_dims = (1,)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        dims: int = 1,
        width: int = 128,
        layers: int = 6,
        vectors: int = 32,
        heads: int = 8,
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
        kind = "A transformer of atoms"
        features = features_of(kind, in_channels, out_channels, token_width)
        if width % heads or vectors % heads:
            raise InputError(f"{heads} heads must divide width {width} and vectors {vectors}.")
        self.feature_channels = [width] * layers
        self.enter = nn.Linear(features + spatial_channels, width)
        self.label1, self.label2 = nn.Linear(1, width), nn.Linear(width, width)
        self.vector = None if vector_width is None else nn.Linear(vector_width, width, bias=False)
        self.places = nn.Linear(1, vectors, bias=False)
        self.pairs = PairWeights(64, 24, width)
        stack = [AtomLayer(width, vectors, heads, 64) for _ in range(layers)]
        self.layers = cast(Sequence[AtomLayer], nn.ModuleList(stack))
        self.norm = nn.LayerNorm(width)
        self.leave, self.move = nn.Linear(width, features), nn.Linear(vectors, 1, bias=False)

    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        found, present = self._layers(x, label, context)
        h, v = found[-1]
        places, features = self.move(v)[..., 0].to(x), self.leave(self.norm(h)).to(x)
        out = x.new_zeros(x.shape)
        out[..., : present.shape[1]] = (
            torch.cat([places, features], -1) * present[..., None]
        ).transpose(1, 2)
        return out

    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """As of any network: the features after each layer, zero where there is padding."""
        found, present = self._layers(x, label, context)
        maps = []
        for h, _ in found:
            maps.append(x.new_zeros(len(x), self.embedding_width, x.shape[2]))
            maps[-1][..., : present.shape[1]] = (h * present[..., None]).transpose(1, 2).to(x)
        return maps

    def _layers(
        self, x: Tensor, label: Tensor, context: Context
    ) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Features and vectors after each layer, and where there are atoms (batch, n), n without
        the columns that are padding in all molecules.
        """
        self.check(x, context)
        there = (x != 0).any(1)
        n = int(there.any(0).nonzero().max()) + 1 if bool(there.any()) else 1
        present, x = there[:, :n], x[..., :n].transpose(1, 2)
        kind = self.enter.weight.dtype
        # What the label and the vector say.
        told = self.label2(silu(self.label1(label[:, None].to(kind))))
        if self.vector is not None and context.vector is not None:
            told = told + self.vector(context.vector.to(kind))
        # What atoms are, and where they are from their centre.
        stated = [x[..., AXES:]]
        if context.spatial is not None:
            stated.append(context.spatial[..., :n].transpose(1, 2).to(x))
        h = self.enter(torch.cat(stated, -1).to(kind))
        place = x[..., :AXES]
        centre = place.sum(1, keepdim=True) / present.sum(1).clamp(min=1)[:, None, None]
        v = self.places((place - centre)[..., None].to(kind))
        # What pairs are: distances and directions.
        lines, distance = _lines(place, present)
        pairs, lines, found = self.pairs(distance, told), lines.to(kind), []
        for layer in self.layers:
            h, v = layer(h, v, pairs, lines, told)
            found.append((h, v))
        return found, present


def _lines(place: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """``AtomLayer``'s lines (4, batch, n, n), and distances (batch, n, n), of (batch, n, 3)."""
    between = place[:, :, None] - place[:, None]
    squared = between.square().sum(-1)
    both = (present[:, :, None] & present[:, None]).to(place)
    both = both * (1 - torch.eye(place.shape[1], dtype=place.dtype, device=place.device))
    direction = between * (both * (squared + SOFT**2).rsqrt())[..., None]
    lines = torch.cat([direction.permute(3, 0, 1, 2), both[None]])
    return lines, (squared + 1e-12).sqrt()
