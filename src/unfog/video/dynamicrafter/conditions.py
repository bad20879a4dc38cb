r"""What DynamiCrafter is told (Xing et al. 2023, section 3): frames that stand beside the noise,
the tokens of a picture, and the frame rate.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unfog.core.conditioning import Condition, Context, conditions, set_null
from unfog.errors import InputError
from unfog.networks.layers.embedding import LabelEmbedding
from unfog.networks.layers.patches import pad_to_multiple, unshuffle
from unfog.networks.layers.positions import Sinusoidal
from unfog.video.dynamicrafter.query_transformer import QueryTransformer


def repeated(clip: Tensor) -> Tensor:
    """The first frame of clips (batch, channels, frames, height, width) in every frame."""
    return clip[:, :, :1].expand_as(clip)


def ends(clip: Tensor) -> Tensor:
    """The first and the last frame of clips (batch, channels, frames, height, width), and zeros
    between them.
    """
    shown = torch.zeros_like(clip)
    shown[:, :, 0], shown[:, :, -1] = clip[:, :, 0], clip[:, :, -1]
    return shown


@conditions.register("known-frames")
class KnownFrames(Condition):
    """Frames that stand beside the noise: a clip on the model's scale, on the grid of x_t, which is
    concatenated to it. To animate a picture it is the picture in every frame (``repeated``), to go
    from one picture to another it is these at the ends and zeros between (``ends``).

    Training makes it of the data; it is never hidden (``drop: 0``), and its null is zeros.

    Args:
        channels: Channels of x_t.
        ends: The share of training samples that are shown their first and last frame; the others
            are shown the first. The published models are of 0, and for interpolation of 1.
    """

    made_of_data = True

    def __init__(self, channels: int, ends: float = 0.0) -> None:
        super().__init__()
        if not 0 <= ends <= 1:
            raise InputError(f"The share 'ends' of known frames is between 0 and 1, got {ends}.")
        self.channels, self.ends, self.sizes = channels, ends, {"spatial_channels": channels}

    def derive(self, x: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """As of any condition; a mask of ones comes with it."""
        drawn = torch.tensor([float(torch.rand((), generator=g)) for g in generators])
        both = (drawn < self.ends).to(x.device).view(-1, 1, 1, 1, 1)
        return torch.where(both, ends(x), repeated(x)), _there(x)

    def embed(self, value: Tensor) -> Context:
        return Context(spatial=value)

    def null(self, x_t: Tensor) -> Context:
        return Context(spatial=x_t.new_zeros(len(x_t), self.channels, *x_t.shape[2:]))


class _QueriedTokens(Condition):
    """The base of conditions of a picture whose tokens go through a query transformer."""

    queries: QueryTransformer

    @abstractmethod
    def tokens(self, value: Tensor) -> Tensor:
        """The tokens (batch, n, size) that the query transformer sees of a value."""

    @abstractmethod
    def nothing(self, x_t: Tensor) -> Tensor:
        """The value that stands for no picture, for the batch of ``x_t``."""

    def embed(self, value: Tensor) -> Context:
        return Context(decoupled=self.queries(self.tokens(value)))

    def null(self, x_t: Tensor) -> Context:
        return self.embed(self.nothing(x_t))


@conditions.register("image-tokens")
class ImageTokens(_QueriedTokens):
    """The tokens that an encoder gives of a picture, (batch, n, size), through a query transformer
    (`unfog.video.dynamicrafter.query_transformer.QueryTransformer`), for a cross-attention beside
    that to the text. The published models take OpenCLIP's, of 1280 numbers.

    Its null is a learned token; the published models were shown the tokens of a grey picture in its
    place, which may be given as any other.

    Args:
        size: Numbers of a token.
        token_width: Numbers of a token that the network sees.
        null: ``learned``, or ``zero`` for zeros.
        options: Others of the query transformer.
    """

    absent: Tensor

    def __init__(
        self,
        size: int,
        token_width: int = 1024,
        null: str = "learned",
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.sizes = {"decoupled_width": token_width}
        self.queries = QueryTransformer(size, token_width, **(options or {}))
        set_null(self, "absent", size, null)

    def tokens(self, value: Tensor) -> Tensor:
        return value

    def nothing(self, x_t: Tensor) -> Tensor:
        return self.absent.view(-1, self.absent.shape[-1]).expand(len(x_t), -1, -1)


class TextTokens(Condition):
    """The tokens that an encoder gives of a text, (batch, n, size), as they are, all of them seen:
    what the published models are told. It learns nothing, and is not for training.

    Args:
        absent: The tokens that stand for no text, (n, size); those of an empty one.
    """

    absent: Tensor

    def __init__(self, absent: Tensor) -> None:
        super().__init__()
        self.sizes = {"token_width": absent.shape[-1]}
        self.register_buffer("absent", absent)

    def embed(self, value: Tensor) -> Context:
        return Context(tokens=value)

    def null(self, x_t: Tensor) -> Context:
        return Context(tokens=self.absent.expand(len(x_t), -1, -1))


@conditions.register("picture-tokens")
class PictureTokens(_QueriedTokens):
    """A picture on the model's scale, (batch, channels, height, width), as patches with their
    places through a query transformer, for a cross-attention beside that to the text: the stream of
    a picture where there is no pretrained encoder of pictures.

    Training shows it the first frame of the data. Its null is a picture of zeros, as the authors
    have it.

    Args:
        channels: Channels of the picture.
        patch: Side of a patch.
        token_width: Numbers of a token that the network sees.
        options: Others of the query transformer, such as the frames of a clip.
    """

    made_of_data = True

    def __init__(
        self,
        channels: int,
        patch: int = 4,
        token_width: int = 128,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.patch, self.sizes = patch, {"decoupled_width": token_width}
        self.enter = nn.Linear(channels * patch**2, token_width)
        self.places = Sinusoidal(token_width, 1, 2)
        self.queries = QueryTransformer(token_width, token_width, **(options or {}))

    def derive(self, x: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """As of any condition: the first frame; a mask of ones comes with it."""
        return x[:, :, 0], _there(x)

    def tokens(self, value: Tensor) -> Tensor:
        patches = unshuffle(pad_to_multiple(value, self.patch), self.patch)
        h = self.enter(patches.flatten(2).transpose(1, 2).to(self.enter.weight.dtype))
        return self.places.added(h, patches.shape[2:])

    def nothing(self, x_t: Tensor) -> Tensor:
        return torch.zeros_like(x_t[:, :, 0])


@conditions.register("rate-waves")
class RateWaves(Condition):
    """The frames a second of a clip, (batch,) or (batch, 1), as sinusoids and a perceptron, added
    to the time embedding. Its last layer starts at zero.

    Args:
        width: The size of the embedding.
        waves: Numbers of the sinusoids, even; 320 in the published models.
        default: The rate that stands where none is given: 24 in the published models of 512 x 320
            pixels, 10 in that of 1024 x 576; the one of 256 x 256 takes the stride of the frames
            instead, 3.
    """

    def __init__(self, width: int, waves: int = 64, default: float = 24.0) -> None:
        super().__init__()
        self.default, self.sizes = default, {"vector_width": width}
        self.embedding = LabelEmbedding(waves, width, shift=0.0)
        nn.init.zeros_(self.embedding.out.weight)
        nn.init.zeros_(self.embedding.out.bias)

    def embed(self, value: Tensor) -> Context:
        return Context(vector=self.embedding(value.reshape(len(value)).float()))

    def null(self, x_t: Tensor) -> Context:
        return self.embed(torch.full((len(x_t),), self.default, device=x_t.device))


def _there(x: Tensor) -> Tensor:
    """A mask of ones, (batch, 1)."""
    return torch.ones(len(x), 1, dtype=torch.bool, device=x.device)
