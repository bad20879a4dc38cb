"""What every network has in common: the sizes that it is built for, and their check."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from unfog.core.conditioning import Context
from unfog.errors import InputError

NOTHING = Context()


class Network(nn.Module):
    """The base of the networks of denoisers: x (batch, in_channels, *space), label (batch,) and
    context to (batch, out_channels, *space).

    Args:
        dims: spatial axes, one of ``takes_dims``: 1 to 3, or 0 where x is a vector.
        embedding_width: width of the label's embedding, and so of the vectors that conditions are
            embedded as.
        vector_width: width of ``context.vector``; None without it.
        spatial_channels: channels of ``context.spatial``, on the grid of x; 0 without it.
        token_width: width of ``context.tokens``; None without them.
        decoupled_width: width of ``context.decoupled``; None without them.
    """

    kind: str  # what it is called in messages
    takes_dims: tuple[int, ...] = (1, 2, 3)  # numbers of spatial axes that it is made for
    feature_channels: list[int]  # channels of the maps that ``features`` gives
    # Whether what it says of a point rests on what lies about it, not on where it is or how much
    # there is, so that it takes larger samples than it was trained on.
    local: bool = False

    def __init__(
        self,
        dims: int,
        *,
        embedding_width: int,
        vector_width: int | None,
        spatial_channels: int,
        token_width: int | None,
        decoupled_width: int | None = None,
    ) -> None:
        super().__init__()
        if dims not in self.takes_dims:
            *first, last = map(str, self.takes_dims)
            stated = f"{', '.join(first)} or {last}" if first else last
            raise InputError(f"A {self.kind} has dims {stated}, not {dims}.")
        self.dims, self.embedding_width = dims, embedding_width
        self.vector_width, self.spatial_channels = vector_width, spatial_channels
        self.token_width, self.decoupled_width = token_width, decoupled_width

    @abstractmethod
    def forward(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> Tensor:
        """The network's output, (batch, out_channels, *space).

        Args:
            x: (batch, in_channels, *space).
            label: noise label, (batch,).
            context: all that the network is built for, and nothing else.
        """

    @abstractmethod
    def features(self, x: Tensor, label: Tensor, context: Context = NOTHING) -> list[Tensor]:
        """The maps of x that a discriminator is built on (`unfog.networks.layers.heads`).

        Args:
            x: (batch, in_channels, *space).
            label: noise label, (batch,).
            context: what the network is built for.

        Returns:
            Maps (batch, ``feature_channels``, *space of the map).
        """

    def check_space(self, space: Sequence[int]) -> None:
        """``InputError`` unless the network takes samples with axes of these sizes."""
        if len(space) != self.dims:
            raise InputError(
                f"A {self.dims}-D {self.kind} takes (batch, channels, {self.dims} axes), got "
                f"samples with axes {tuple(space)}; set the network's 'dims'."
            )

    def check(self, x: Tensor, context: Context) -> None:
        """``InputError`` unless x has a size that the network takes, and the context holds just
        what it was built for: ignoring a condition silently would give a wrong answer.
        """
        self.check_space(x.shape[2:])
        for name, built, value, axis in (
            ("vector", self.vector_width, context.vector, -1),
            ("spatial", self.spatial_channels or None, context.spatial, 1),
            ("tokens", self.token_width, context.tokens, -1),
            ("decoupled", self.decoupled_width, context.decoupled, -1),
        ):
            size = None if value is None else value.shape[axis]
            if built != size:
                raise InputError(
                    f"This {self.kind} was built for a context whose {name} has size {built}, and "
                    f"was given {size}."
                )
