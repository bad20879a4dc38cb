"""What network the tensors of a file are of, by names that tell.

The names are facts of the published files: those of latent diffusion's code and its descendants
(Stable Diffusion 1.x, 2.x, XL), of guided-diffusion, diffusers, MONAI, peft, kohya's scripts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from unfog.files.weight_files import Header

UNKNOWN = "unknown"
_PREFIX = "model.diffusion_model."  # of the U-Net in a single file
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Telling:
    """An architecture, and what tells it.

    Args:
        name: What it is called.
        names: Patterns, each of which matches the name of some tensor.
        also: Of the shapes; always true by default.
        format: The format that ``unfog import-weights`` takes it as; "" where it takes it not.
    """

    name: str
    names: tuple[str, ...]
    also: Callable[[Shapes], bool] = lambda shapes: True
    format: str = ""


def _keys_of(name: str, width: int) -> Callable[[Shapes], bool]:
    """Whether the matrix of keys whose name ends so takes tokens of a width."""
    return lambda shapes: any(
        key.endswith(name) and shape[-1] == width for key, shape in shapes.items() if shape
    )


_CROSS = "attn2.to_k.weight"
# In this order they are tried: the telling ones first, the common ones last.
TABLE = (
    Telling("LoRA, kohya's layout", (r"^lora_\w+\.lora_down\.weight$",)),
    Telling("LoRA, peft's layout", (r"\.lora_A\.(\w+\.)?weight$", r"\.lora_B\.(\w+\.)?weight$")),
    Telling("LoRA, older diffusers layout", (r"\.lora\.down\.weight$|_lora\.down\.weight$",)),
    Telling(
        "DynamiCrafter", (r"input_blocks\.1\.1\.transformer_blocks\.0\.attn2\.to_k_ip\.weight$",)
    ),
    Telling("ControlNet (single file)", (r"input_hint_block\.0\.weight$",)),
    Telling("ControlNet (diffusers)", (r"^controlnet_cond_embedding\.conv_in\.weight$",)),
    Telling(
        "Stable Diffusion XL (single file)", (r"^conditioner\.embedders\.1\.",), format="ldm-unet"
    ),
    Telling(
        "Stable Diffusion XL refiner (single file)",
        (r"^conditioner\.embedders\.0\.model\.",),
        format="ldm-unet",
    ),
    Telling("Stable Diffusion 3", (r"joint_blocks\.0\.context_block\.",)),
    Telling(
        "Stable Diffusion 3 (diffusers)",
        (r"^transformer_blocks\.0\.attn\.add_q_proj\.weight$", r"^pos_embed\.proj\.weight$"),
    ),
    Telling("Flux.2", (r"single_stream_modulation\.lin\.weight$",)),
    Telling("Flux", (r"double_blocks\.0\.img_attn\.norm\.key_norm\.(scale|weight)$",)),
    Telling("Flux (diffusers)", (r"^single_transformer_blocks\.0\.attn\.",)),
    Telling(
        "Stable Diffusion 2.x (single file)",
        (rf"^{re.escape(_PREFIX)}.*{_CROSS}$",),
        _keys_of(_CROSS, 1024),
        "ldm-unet",
    ),
    Telling(
        "Stable Diffusion 1.x (single file)",
        (rf"^{re.escape(_PREFIX)}.*{_CROSS}$",),
        _keys_of(_CROSS, 768),
        "ldm-unet",
    ),
    Telling(
        "conditional U-Net of latent diffusion",
        (rf"^({re.escape(_PREFIX)})?input_blocks\..*{_CROSS}$",),
        format="ldm-unet",
    ),
    Telling(
        "latent diffusion (single file)", (rf"^{re.escape(_PREFIX)}input_blocks\.0\.0\.weight$",)
    ),
    Telling(
        "UNet2DConditionModel of Stable Diffusion XL (diffusers)",
        (r"^add_embedding\.linear_1\.weight$", _CROSS + "$"),
        _keys_of(_CROSS, 2048),
        "diffusers",
    ),
    Telling(
        "UNet2DConditionModel of Stable Diffusion 2.x (diffusers)",
        (r"^down_blocks\..*" + _CROSS + "$",),
        _keys_of(_CROSS, 1024),
        "diffusers",
    ),
    Telling(
        "UNet2DConditionModel of Stable Diffusion 1.x (diffusers)",
        (r"^down_blocks\..*" + _CROSS + "$",),
        _keys_of(_CROSS, 768),
        "diffusers",
    ),
    Telling(
        "DiffusionModelUNet (MONAI)",
        (r"^conv_in\.conv\.weight$", r"^down_blocks\.0\.resnets\.0\.conv1\.conv\.weight$"),
        format="monai",
    ),
    Telling(
        "UNet2DConditionModel (diffusers)",
        (r"^down_blocks\..*" + _CROSS + "$",),
        format="diffusers",
    ),
    Telling("PriorTransformer (diffusers)", (r"^prd_embedding$", r"^transformer_blocks\.")),
    Telling(
        "DiTTransformer2DModel (diffusers)",
        (r"^transformer_blocks\.0\.norm1\.emb\.class_embedder\.",),
        format="diffusers",
    ),
    Telling(
        "DiT (its authors' code)",
        (r"^x_embedder\.proj\.weight$", r"^blocks\.0\.adaLN_modulation\.1\.weight$"),
    ),
    Telling(
        "VQModel (diffusers)",
        (r"^encoder\.down_blocks\.0\.resnets\.", r"^quantize\.embedding\.weight$"),
        format="diffusers",
    ),
    Telling(
        "AutoencoderKL (diffusers)", (r"^encoder\.down_blocks\.0\.resnets\.",), format="diffusers"
    ),
    Telling("AutoencoderKL (MONAI)", (r"^quant_conv_mu\.conv\.weight$",)),
    Telling(
        "autoencoder of latent diffusion",
        (r"^(first_stage_model\.)?encoder\.down\.0\.block\.0\.conv1\.weight$",),
        format="ldm",
    ),
    Telling(
        "AutoencoderTiny (diffusers)",
        (r"^encoder\.layers\.0\.weight$", r"^decoder\.layers\.0\.weight$"),
        format="taesd",
    ),
    Telling("TAEF2 (half of it)", (r"^\d+\.conv\.0\.weight$", r"^\d+\.pool\.0\.weight$")),
    Telling("TAESD (half of it)", (r"^[01]\.weight$", r"^\d+\.conv\.0\.weight$")),
    Telling(
        "U-Net of guided-diffusion or improved-diffusion",
        (r"^input_blocks\.0\.0\.weight$", r"^time_embed\.0\.weight$", r"^out\.2\.weight$"),
        lambda shapes: not any(".transformer_blocks." in k for k in shapes),
        "openai",
    ),
    Telling(
        "UNet2DModel (diffusers)",
        (r"^conv_in\.weight$", r"^down_blocks\.0\.resnets\.0\.conv1\.weight$"),
        format="diffusers",
    ),
    Telling("U-Net of unfog", (r"^(network\.)?down\.0\.stages\.0\.block\.conv1\.weight$",)),
)


def recognise(shapes: Shapes) -> Telling | None:
    """The first architecture in the table that tensors of these names and shapes tell of; None
    where none is.
    """
    for telling in TABLE:
        found = all(any(re.search(p, key) for key in shapes) for p in telling.names)
        if found and telling.also(shapes):
            return telling
    return None


def describe(header: Header) -> dict[str, object]:
    """What a file of weights is: a guess of its architecture, its size, and what it says itself."""
    telling = recognise(header.shapes)
    types = {name: list(header.types.values()).count(name) for name in header.types.values()}
    return {
        "kind": "weights",
        "architecture": f"{telling.name}, by its tensors' names" if telling else UNKNOWN,
        "tensors": len(header.shapes),
        "parameters": header.count,
        "types": {name: f"{count} tensors" for name, count in sorted(types.items())},
        "import as": (telling.format or "no format that is read") if telling else UNKNOWN,
        "metadata": dict(sorted(header.metadata.items())) or "none",
    }
