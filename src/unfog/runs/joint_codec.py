"""A trained joint encoder as a codec: from pictures to their embeddings, which a diffusion prior
models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import normalize

from unfog.core.codec import Codec, LatentCodec, codecs
from unfog.core.shapes import expand
from unfog.data.dataset import Dataset
from unfog.errors import InputError
from unfog.networks.joint_encoder import JointEncoder
from unfog.runs.build import build_joint_encoder, is_joint_encoder
from unfog.runs.encoder_figures import keep_figures, trained
from unfog.runs.folder import fit_weights, load_weights, locate, run_config


@codecs.register("joint-encoder")
class JointEncoderCodec(LatentCodec):
    """Embeddings of pictures by a trained joint encoder, unit vectors, each coordinate shifted and
    scaled to mean 0 and deviation 1 over its data, so that noise of a diffusion's size is noise to
    it. One way: what is decoded is the embedding as a unit vector, not the picture.

    Args:
        run: The joint encoder's run, by path or name.
        sha256: Of its weights and its embeddings' figures, as a model trained on them was told;
            None is not checked.

    Raises:
        InputError: The run is missing, is no joint encoder, has not been trained to its end, or has
            changed.
    """

    trained_by = "contrastive"

    def __init__(self, run: str, sha256: str | None = None) -> None:
        path = locate(run)
        config = run_config(path)
        if not is_joint_encoder(config):
            raise InputError(
                f"{path.name} is a run of {config.get('system')!r}, no joint encoder; train one: "
                "unfog train contrastive."
            )
        self.path, self.config, self.shape = path, config, tuple(config["shape"])
        self.network: JointEncoder = build_joint_encoder(config)
        found = trained(self.network, path, sha256, "The joint encoder", "embeddings")
        self.mean, self.std, self.sha256 = found.mean, found.std, found.sha256
        self._scale = codecs.build(config["codec"])

    @property
    def scale(self) -> Codec:
        return self._scale

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if len(shape) != len(self.shape) or shape[0] != self.shape[0]:
            raise InputError(
                f"The joint encoder {self.path.name} is of pictures {self.shape}, and the data "
                f"have {tuple(shape)}; train one on them."
            )
        return (self.network.embedding,)

    def encode(self, x: Tensor) -> Tensor:
        return self.standard(self.network.to(x.device).image(self._scale.encode(x)))

    def standard(self, e: Tensor) -> Tensor:
        """Unit vectors (batch, embedding), as ``decode`` gives them, on the model's scale."""
        return (e - expand(self.mean, e)) / expand(self.std, e)

    def decode(self, x: Tensor) -> Tensor:
        return normalize(x * expand(self.std, x) + expand(self.mean, x), dim=-1)

    def text(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Texts as unit vectors (batch, embedding), as ``decode`` gives those of pictures.

        Args:
            tokens: Token states (batch, length, numbers), the encoder's condition of its data.
            mask: (batch, length), 1 where a token counts; None where all do.
        """
        return self.network.to(tokens.device).text(tokens, mask)


@torch.no_grad()
def measure_embeddings(path: Path, dataset: Dataset) -> None:
    """Measure the embeddings of a joint encoder over up to 1024 pictures, and keep mean and
    deviation of each coordinate with the run.
    """
    config = run_config(path)
    network, scale = build_joint_encoder(config), codecs.build(config["codec"])
    fit_weights(network, load_weights(path), path.name)
    network.eval()
    keep_figures(path, dataset, lambda x: network.image(scale.encode(x)))
