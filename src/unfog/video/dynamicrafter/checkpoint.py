r"""DynamiCrafter's published checkpoints (Xing et al. 2023): files of the authors and their pruned
forms, to and from the network, the query transformer and the frame rate's embedding here.

A file holds ``{"state_dict": ...}``, the tensors themselves, or, by DeepSpeed, ``{"module": ...}``
with a prefix of 16 characters. Within, ``model.diffusion_model.`` is the U-Net and
``image_proj_model.`` the query transformer; the first stage and the encoders of text and pictures
are handed on as they are.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from unfog.core.conditioning import Condition, Conditioner
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.errors import InputError
from unfog.interop.diffusers_common import check_all_taken, shaped, take
from unfog.interop.ldm_autoencoder import autoencoder_from_ldm
from unfog.networks.autoencoder import Autoencoder
from unfog.video.dynamicrafter.conditions import ImageTokens, KnownFrames, RateWaves, TextTokens
from unfog.video.dynamicrafter.names import network_names, query_names, rate_names, their_shape
from unfog.video.dynamicrafter.network import DynamiCrafter
from unfog.video.dynamicrafter.rescaled import RescaledV

UNET, QUERIES = "model.diffusion_model.", "image_proj_model."
FIRST_STAGE = "first_stage_model."
OTHERS = (FIRST_STAGE, "cond_stage_model.", "embedder.")
LATENT_SCALE = 0.18215  # of what the U-Net sees over what the first stage's encoder gives
SCALES = "scale_arr"  # of the rescaled signal, where there is one
DEEPSPEED = 16  # characters ahead of a name in a file by DeepSpeed
ENTRY_HEADS = 8
FRAMES = 16  # of the published models' clips
WHAT = "DynamiCrafter weights"


@dataclass(frozen=True)
class Published:
    """What a checkpoint holds.

    Args:
        network: The U-Net.
        rate: The condition of the frame rate.
        image: The condition of a picture's tokens.
        base_scale: The end of the rescaled signal (`unfog.video.dynamicrafter.rescaled`); None
            where it is not rescaled, as in the model of 256 x 256 pixels, or a pruned file does not
            say it.
        others: The tensors of the first stage and of the encoders, by prefix and name.
    """

    network: DynamiCrafter
    rate: RateWaves
    image: ImageTokens
    base_scale: float | None
    others: Mapping[str, Mapping[str, Tensor]]

    def denoiser(
        self, no_text: Tensor, no_image: Tensor | None = None, base_scale: float | None = None
    ) -> NetworkDenoiser:
        """The model as a denoiser of latents, told ``frames``, ``image``, ``text`` and ``fps``.

        Args:
            no_text: The encoder's tokens of an empty text, (n, token_width).
            no_image: The encoder's tokens of a grey picture, (n, size); by default one of zeros.
            base_scale: The end of the rescaled signal, where the file does not say: .7 in the
                models of 512 x 320 pixels, .3 in that of 1024 x 576.

        Returns:
            The denoiser. It predicts noise where it has a gate, and else v of a rescaled signal.

        Raises:
            InputError: It has no gate, and neither the file nor the caller says the base scale.
        """
        base = self.base_scale if base_scale is None else base_scale
        if base is None and not self.network.gate:
            raise InputError(
                "The checkpoint does not say how far the signal was rescaled in training; give "
                "base_scale, 0.7 for the models of 512 x 320 pixels and 0.3 for that of 1024 x 576."
            )
        if no_image is not None:
            self.image.absent = no_image
        told: dict[str, Condition] = {
            "frames": KnownFrames(self.network.spatial_channels),
            "image": self.image,
            "text": TextTokens(no_text),
            "fps": self.rate,
        }
        process, prediction = processes.build("ddpm-scaled-linear"), predictions.build("noise")
        if base is not None:
            process = processes.build({"name": "rescaled-signal", "base": base})
            prediction = RescaledV(base)
        label = labels.build("time")
        return NetworkDenoiser(self.network, process, prediction, label, Conditioner(told))

    def autoencoder(self) -> Autoencoder:
        """The first stage; a latent here is one of it times ``LATENT_SCALE``."""
        return autoencoder_from_ldm(self.others[FIRST_STAGE])


def load_dynamicrafter(path: str | Path) -> Published:
    """The parts of a checkpoint file, .safetensors or the authors' .ckpt, of which tensors alone
    are read; ``InputError`` where it is none.
    """
    try:
        return from_checkpoint(_read(Path(path)))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def from_checkpoint(weights: Mapping[str, Any], groups: int = 32, head_dim: int = 64) -> Published:
    """The parts of a checkpoint, their sizes read off its tensors.

    Args:
        weights: What a file holds, in any of the forms.
        groups: Groups of the U-Net's normalisation.
        head_dim: Channels of a head of the query transformer.

    Returns:
        The parts.

    Raises:
        InputError: A tensor is missing, superfluous or misshapen.
    """
    state = tensors(weights)
    source = {name: value for name, value in state.items() if not name.startswith(OTHERS)}
    unet = {k.removeprefix(UNET): source.pop(k) for k in list(source) if k.startswith(UNET)}
    queries = {
        k.removeprefix(QUERIES): source.pop(k) for k in list(source) if k.startswith(QUERIES)
    }
    scales = source.pop(SCALES, None)
    # Tensors of training that no part of the network has: schedules and the like.
    source = {name: value for name, value in source.items() if value.ndim > 1}
    with torch.device("meta"):
        network, rate = _unet(unet, groups)
        image = _image(queries, head_dim)
    _fill(rate, rate_names(list(rate.state_dict())), unet)
    _fill(network, network_names(network), unet)
    _fill(image.queries, query_names(image.queries), queries)
    for left in (unet, queries, source):
        check_all_taken(left, WHAT)
    image.absent = torch.zeros(image.queries.enter.in_features)
    others = {
        prefix: {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        for prefix in OTHERS
    }
    return Published(network, rate, image, None if scales is None else float(scales[-1]), others)


def to_checkpoint(published: Published) -> dict[str, Tensor]:
    """The tensors of a published checkpoint, under its names: the inverse of `from_checkpoint`."""
    unet = dict(_theirs(published.network, network_names(published.network)))
    unet |= dict(_theirs(published.rate, rate_names(list(published.rate.state_dict()))))
    queries = published.image.queries
    state = {UNET + name: value for name, value in unet.items()}
    theirs = _theirs(queries, query_names(queries))
    state |= {QUERIES + name: value for name, value in theirs}
    for prefix, part in published.others.items():
        state |= {prefix + name: value for name, value in part.items()}
    return state


def tensors(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a file in any of its forms, under the names of the code."""
    if "module" in weights and not isinstance(weights["module"], Tensor):
        state = {name[DEEPSPEED:]: value for name, value in weights["module"].items()}
    else:
        state = dict(weights.get("state_dict", weights))
    return {name.replace("framestride_embed", "fps_embedding"): v for name, v in state.items()}


def _read(path: Path) -> Mapping[str, Any]:
    """What a file holds; tensors alone, whatever else is in it."""
    if not path.is_file():
        raise InputError("there is no such file.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, safetensors.SafetensorError) as error:
        raise InputError(
            "this is no file of tensors alone, or it is damaged; make it a .safetensors."
        ) from error
    if not isinstance(held, Mapping):
        raise InputError("this file holds no tensors by name.")
    return held


def _unet(state: Mapping[str, Tensor], groups: int) -> tuple[DynamiCrafter, RateWaves]:
    """A U-Net of the sizes that its tensors have, and the embedding of the frame rate."""
    size = _sizes(state)
    channels = size("time_embed.0.weight", 1)
    widths, attention, blocks = list[int](), list[int](), 0
    # The blocks on the way down, level by level.
    numbers = {int(k.split(".")[1]) for k in state if k.startswith("input_blocks.")}
    for number in sorted(numbers - {0}):
        start = f"input_blocks.{number}."
        if f"{start}0.op.weight" in state:
            widths.append(0)
        elif f"{start}0.in_layers.2.weight" in state:
            widths = widths or [0]
            widths[-1] = size(f"{start}0.in_layers.2.weight", 0)
            blocks += len(widths) == 1
            if f"{start}1.norm.weight" in state and len(widths) - 1 not in attention:
                attention.append(len(widths) - 1)
    cross = "middle_block.1.transformer_blocks.0.attn2."
    out = size("out.2.weight", 0)
    network = DynamiCrafter(
        out,
        out,
        channels=channels,
        multipliers=[width // channels for width in widths],
        blocks=blocks,
        attention_levels=attention,
        head_dim=size("init_attn.0.transformer_blocks.0.attn1.to_q.weight", 0) // ENTRY_HEADS,
        entry_heads=ENTRY_HEADS,
        groups=groups,
        gate=f"{cross}alpha" in state,
        vector_width=4 * channels,
        spatial_channels=size("input_blocks.0.0.weight", 1) - out,
        token_width=size(f"{cross}to_k.weight", 1),
        decoupled_width=size(f"{cross}to_k_ip.weight", 1),
    )
    return network, RateWaves(4 * channels, channels)


def _image(state: Mapping[str, Tensor], head_dim: int) -> ImageTokens:
    """A query transformer of the sizes that its tensors have."""
    size = _sizes(state)
    options = {
        "width": size("latents", 2),
        "depth": 1
        + max((int(k.split(".")[1]) for k in state if k.startswith("layers.")), default=0),
        "heads": size("layers.0.0.to_q.weight", 0) // head_dim,
        "head_dim": head_dim,
        "queries": size("latents", 1) // FRAMES,
        "frames": FRAMES,
        "mlp_ratio": size("layers.0.1.1.weight", 0) // size("latents", 2),
    }
    width = size("proj_out.weight", 0)
    return ImageTokens(size("proj_in.weight", 1), width, "zero", options)


def _sizes(state: Mapping[str, Tensor]) -> Callable[[str, int], int]:
    """(name, axis) to the size of a tensor; ``InputError`` where there is no such tensor."""

    def size(name: str, axis: int) -> int:
        if name not in state or state[name].ndim <= axis:
            raise InputError(f"this is no DynamiCrafter checkpoint: it has no {name!r}.")
        return int(state[name].shape[axis])

    return size


def _fill(module: nn.Module, names: Mapping[str, list[str]], source: dict[str, Tensor]) -> None:
    """Give a module, which may be an outline without memory, the tensors of ``source``."""
    ours = {}
    for key, like in module.state_dict().items():
        value = take(source, names[key], WHAT)
        ours[key] = _turned(key, shaped(value, like.shape, names[key][0], WHAT), 1)
    module.load_state_dict(ours, assign=True)


def _theirs(module: nn.Module, names: Mapping[str, list[str]]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module under their names."""
    for key, value in module.state_dict().items():
        turned = _turned(key, value, -1)
        parts = turned.chunk(len(names[key])) if value.ndim else [turned]
        for name, part in zip(names[key], parts, strict=True):
            yield name, part.reshape(their_shape(key, name, part)).contiguous()


def _turned(key: str, value: Tensor, sign: int) -> Tensor:
    """The weights of sinusoids, which come cosines first there, with sines first."""
    if key == "embedding.hidden.weight":
        return value.roll(sign * (value.shape[1] // 2), 1)
    return value
