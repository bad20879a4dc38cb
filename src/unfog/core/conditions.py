"""The conditions: a class, a vector, numbers, an image, a mask of classes, a token sequence."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unfog.core.conditioning import Condition, Context, conditions, set_null
from unfog.core.embedding_condition import EmbeddingCondition
from unfog.core.inpainting import InpaintingCondition
from unfog.core.low_resolution import LowResolutionCondition
from unfog.core.numbers_condition import NumbersCondition
from unfog.core.sequence_condition import SequenceCondition
from unfog.errors import InputError

__all__ = [
    "ClassCondition",
    "EmbeddingCondition",
    "InpaintingCondition",
    "LowResolutionCondition",
    "MaskCondition",
    "NumbersCondition",
    "SequenceCondition",
    "SpatialCondition",
    "TokenCondition",
    "VectorCondition",
    "class_maps",
    "conditions",
]


class _WithNull(Condition):
    """A condition whose null is one embedding, a parameter or a buffer of zeros."""

    absent: Tensor

    def _set_null(self, size: int, null: str) -> None:
        set_null(self, "absent", size, null)


@conditions.register("class")
class ClassCondition(_WithNull):
    """A class label, (batch,) integers, embedded as a vector that is added to the time embedding.

    Args:
        count: The number of classes; labels are 0 to ``count`` - 1.
        width: The size of the embedding.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(self, count: int, width: int, null: str = "learned") -> None:
        super().__init__()
        self.count, self.sizes = count, {"vector_width": width}
        self.embedding = nn.Embedding(count, width)
        self._set_null(width, null)

    def embed(self, value: Tensor) -> Context:
        if value.numel() and (int(value.min()) < 0 or int(value.max()) >= self.count):
            raise InputError(
                f"A class must be between 0 and {self.count - 1}, got {int(value.min())} to "
                f"{int(value.max())}."
            )
        return Context(vector=self.embedding(value.long()))

    def null(self, x_t: Tensor) -> Context:
        return Context(vector=self.absent.expand(len(x_t), -1))


@conditions.register("vector")
class VectorCondition(_WithNull):
    """A vector (batch, size), embedded by a two-layer perceptron.

    Args:
        size: The numbers of the vector.
        width: The size of the embedding.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(self, size: int, width: int, null: str = "learned") -> None:
        super().__init__()
        self.sizes = {"vector_width": width}
        self.project = nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width))
        self._set_null(width, null)

    def embed(self, value: Tensor) -> Context:
        return Context(vector=self.project(value))

    def null(self, x_t: Tensor) -> Context:
        return Context(vector=self.absent.expand(len(x_t), -1))


@conditions.register("spatial")
class SpatialCondition(_WithNull):
    """An image (batch, channels, *grid) on the grid of x_0, concatenated to x_t with one channel
    more, which is 1 where the image is present and 0 where the null stands. Where x_t lives on a
    coarser grid, as latents do, it is averaged over the cells of that.
    """

    on_grid = True

    def __init__(self, channels: int, null: str = "learned") -> None:
        super().__init__()
        self.sizes = {"spatial_channels": channels + 1}
        self._set_null(channels, null)

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition."""
        return super().forward(None if value is None else _on_grid(value, x_t), keep, x_t)

    def embed(self, value: Tensor) -> Context:
        return Context(spatial=torch.cat([value, torch.ones_like(value[:, :1])], 1))

    def null(self, x_t: Tensor) -> Context:
        space = x_t.shape[2:]
        value = self.absent.view(1, -1, *(1,) * len(space)).expand(len(x_t), -1, *space)
        return Context(spatial=torch.cat([value, torch.zeros_like(value[:, :1])], 1))


@conditions.register("mask")
class MaskCondition(Condition):
    """A map of classes on the grid of x_0, concatenated to x_t: for each class its probability at
    every point, and one channel more that is 1 where this class is given and 0 where it is not.

        spatial = [g_1 p_1, ..., g_C p_C, g_1, ..., g_C],   g_k = 1 where class k is given.

    A value is a map of labels 0 to C - 1, (batch, *grid) or (batch, 1, *grid), or probabilities
    (batch, C, *grid). Where x_t lives on a coarser grid, as latents do, it is averaged over the
    cells of that. The null gives no class; ``keep`` and ``mask`` may hide classes one by one.

    Args:
        classes: The number of classes C, at least 2; the background counts.
    """

    on_grid = True

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 2:
            raise InputError(f"A mask has 2 classes or more, the background too, not {classes}.")
        self.classes, self.sizes = classes, {"spatial_channels": 2 * classes}

    def embed(self, value: Tensor) -> Context:
        maps = class_maps(value, self.classes)
        return Context(spatial=torch.cat([maps, torch.ones_like(maps)], 1))

    def null(self, x_t: Tensor) -> Context:
        return Context(spatial=x_t.new_zeros(len(x_t), 2 * self.classes, *x_t.shape[2:]))

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; ``keep`` may be (batch, classes) as well."""
        if value is None:
            return self.null(x_t)
        maps = _on_grid(class_maps(value, self.classes), x_t)
        # Which classes are given, (batch, classes).
        given = maps.new_ones(maps.shape[:2])
        for hidden in (keep, mask):
            if hidden is not None:
                given = given * (hidden if hidden.ndim == 2 else hidden[:, None])
        flags = given.view(*given.shape, *(1,) * (x_t.ndim - 2)).expand_as(maps)
        return Context(spatial=torch.cat([maps * flags, flags], 1))


def class_maps(value: Tensor, classes: int) -> Tensor:
    """A mask as one map a class, float32.

    Args:
        value: Labels (batch, *grid) of an integer type, labels (batch, 1, *grid) of any type, or
            probabilities (batch, classes, *grid).
        classes: The number of classes.

    Returns:
        (batch, classes, *grid); for labels 1 where the class is, else 0.

    Raises:
        InputError: A label is none of 0 to ``classes`` - 1, or the channels are others.
    """
    if value.is_floating_point() and value.shape[1] == classes:
        return value.float()
    labels = value if not value.is_floating_point() and value.shape[1] != 1 else value[:, 0]
    if value.is_floating_point() and value.shape[1] != 1:
        raise InputError(
            f"A mask of {classes} classes is a map of labels or {classes} maps of probabilities, "
            f"not {value.shape[1]}."
        )
    numbers = torch.arange(classes, device=value.device)
    maps = labels[:, None] == numbers.view(-1, *(1,) * (labels.ndim - 1))
    if not bool(maps.any(1).all()):
        raise InputError(
            f"The labels of a mask are whole numbers from 0 to {classes - 1}, got "
            f"{float(labels.min()):g} to {float(labels.max()):g}."
        )
    return maps.float()


def _on_grid(maps: Tensor, x_t: Tensor) -> Tensor:
    """Maps (batch, channels, *grid) averaged over the cells of x_t's grid."""
    grid, space = tuple(maps.shape[2:]), tuple(x_t.shape[2:])
    if grid == space:
        return maps
    if len(grid) != len(space) or any(a % b for a, b in zip(grid, space, strict=True)):
        raise InputError(
            f"A map of {' x '.join(map(str, grid))} points does not lie on a grid of "
            f"{' x '.join(map(str, space))}; make it on that of the data."
        )
    return F.interpolate(maps, space, mode="area")


@conditions.register("tokens")
class TokenCondition(_WithNull):
    """A token sequence (batch, length, size) for cross-attention, with an optional mask; its null
    is a single token.

    Args:
        size: The numbers of a token.
        width: The size that tokens are projected to.
        null: ``learned``, or ``zero`` for zeros.
    """

    def __init__(self, size: int, width: int = 256, null: str = "learned") -> None:
        super().__init__()
        self.sizes = {"token_width": width}
        self.project = nn.Linear(size, width)
        self._set_null(width, null)

    def forward(
        self,
        value: Tensor | None,
        keep: Tensor | None,
        x_t: Tensor,
        mask: Tensor | None = None,
    ) -> Context:
        """As of any condition; ``mask`` (batch, length) hides padded tokens."""
        context = super().forward(value, keep, x_t)
        if mask is None or context.token_mask is None:
            return context
        return replace(context, token_mask=context.token_mask & _padded(mask, context.token_mask))

    def embed(self, value: Tensor) -> Context:
        token_mask = torch.ones(value.shape[:2], dtype=torch.bool, device=value.device)
        return Context(tokens=self.project(value), token_mask=token_mask)

    def null(self, x_t: Tensor) -> Context:
        tokens = self.absent.expand(len(x_t), 1, -1)
        return Context(
            tokens=tokens, token_mask=torch.ones(len(x_t), 1, dtype=torch.bool, device=x_t.device)
        )

    def _choose(self, present: Context, absent: Context, keep: Tensor) -> Context:
        # The sequences differ in length, so both are kept end to end, and the mask says which
        # of them attention sees.
        joined = present.merge(absent)
        assert present.token_mask is not None
        assert absent.token_mask is not None
        return replace(
            joined,
            token_mask=torch.cat(
                [present.token_mask & keep[:, None], absent.token_mask & ~keep[:, None]], 1
            ),
        )


def _padded(mask: Tensor, like: Tensor) -> Tensor:
    """A mask for the condition's own tokens, True for the null tokens that follow them."""
    extra = torch.ones(
        len(mask), like.shape[1] - mask.shape[1], dtype=torch.bool, device=mask.device
    )
    return torch.cat([mask.bool(), extra], 1)
