"""Rows of benchmarks/checkpoints.py: LoRAs merged into Stable Diffusion's U-Nets and text encoders,
by diffusers and peft and by unfog: two files at once, with weights .7 and -.4, ranks 4 and 2 and
alphas 8 and 1; and one LoRA that was trained here, read by diffusers. Needs peft.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from parity import Row, row
from PIL import Image
from support.pipelines import KINDS, build_pipeline
from torch import Tensor, nn

from unfog.interop.diffusers_conditional import single_file_names
from unfog.interop.lora import UNET, flat_names, read_lora, with_loras
from unfog.runs.lora import train_lora

BEGIN = "lora-"
LAYOUTS = ("peft", "kohya")
LORAS = [f"{BEGIN}{layout}-{kind}" for kind in KINDS for layout in LAYOUTS]
LORAS += [f"{BEGIN}{rest}" for rest in ("text", "trained")]
FILES = ((4, 8.0, 0.7), (2, 1.0, -0.4))  # rank, alpha and weight of each
UNET_TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "ff.net.2", "conv1", "conv_out"]
TEXT_TARGETS = ["q_proj", "out_proj", "fc1"]


def lora(name: str) -> Row:
    """All weights that two files change, merged by both."""
    import diffusers
    import peft

    layout, _, kind = name.removeprefix(BEGIN).partition("-")
    version = f"diffusers {diffusers.__version__}, peft {peft.__version__}"
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        build_pipeline(kind or KINDS[0], home)
        folder = home / (kind or KINDS[0])
        made = WHOLE[layout](folder, home) if layout in WHOLE else unet(folder, home, layout)
    theirs, ours = made
    result = row(name, version, theirs, ours, False)
    result.pop("written back bit for bit")
    return result


def unet(folder: Path, home: Path, layout: str) -> tuple[Tensor, Tensor]:
    """The weights of a U-Net after diffusers has fused two files, and ours."""
    import diffusers
    from diffusers.training_utils import _collate_lora_metadata
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    files = []
    for number, (rank, alpha, _) in enumerate(FILES):
        pipe: Any = diffusers.DiffusionPipeline.from_pretrained(folder)
        told = LoraConfig(r=rank, lora_alpha=alpha, target_modules=UNET_TARGETS)
        pipe.unet.add_adapter(told)
        fill(pipe.unet, number)
        state = get_peft_model_state_dict(pipe.unet)
        file = home / f"{layout}{number}" / "pytorch_lora_weights.safetensors"
        if layout == "kohya":
            file.parent.mkdir()
            names = single_file_names(pipe.unet.config) if folder.name == KINDS[-1] else {}
            safetensors.torch.save_file(kohya(state, names, alpha), file)
        else:
            metadata = _collate_lora_metadata({"unet": pipe.unet})
            pipe.save_lora_weights(file.parent, unet_lora_layers=state, **metadata)
        files.append(file)
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder)
    before = {key: value.clone() for key, value in pipe.unet.state_dict().items()}
    for number, file in enumerate(files):
        pipe.load_lora_weights(file, adapter_name=f"file{number}")
    pipe.set_adapters(["file0", "file1"], [share for *_, share in FILES])
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    names = flat_names(before)
    for former, own in single_file_names(pipe.unet.config).items():
        names.setdefault(former.removesuffix(".weight").replace(".", "_"), own)
    return compared(before, pipe.unet.state_dict(), files, UNET, names)


def text(folder: Path, home: Path) -> tuple[Tensor, Tensor]:
    """The weights of a text encoder after peft has merged two files, and ours."""
    import transformers
    from peft import LoraConfig, inject_adapter_in_model
    from peft.utils import get_peft_model_state_dict

    place = folder / "text_encoder"
    before = dict(transformers.CLIPTextModel.from_pretrained(place).state_dict())
    theirs, files = {key: value.clone() for key, value in before.items()}, []
    for number, (rank, alpha, share) in enumerate(FILES):
        model: Any = transformers.CLIPTextModel.from_pretrained(place)
        told = LoraConfig(r=rank, lora_alpha=alpha, target_modules=TEXT_TARGETS)
        inject_adapter_in_model(told, model)
        fill(model, number)
        held = get_peft_model_state_dict(model)
        begin = "lora_te_text_model_"
        files.append(home / f"text{number}.safetensors")
        safetensors.torch.save_file(kohya(held, {}, alpha, begin), files[-1])
        for key, module in model.named_modules():
            if hasattr(module, "get_delta_weight"):
                theirs[f"{key}.weight"] += share * module.get_delta_weight("default")
    return compared(before, theirs, files, "text_encoder", flat_names(before))


def trained(folder: Path, home: Path) -> tuple[Tensor, Tensor]:
    """The weights of a U-Net after diffusers has fused a LoRA that ``unfog train lora`` made, and
    ours.
    """
    import diffusers

    pictures = home / "pictures"
    pictures.mkdir()
    for number, caption in enumerate(("a red heart", "a blue cat", "the sea")):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{caption}.png")
    settings = ("training.lr=0.01", "training.steps=20", "lora.alpha=8")
    with torch.enable_grad():
        train_lora(folder, str(pictures), home / "run", settings, rank=4)
    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(folder)
    before = {key: value.clone() for key, value in pipe.unet.state_dict().items()}
    pipe.load_lora_weights(home / "run")
    pipe.fuse_lora()
    pipe.unload_lora_weights()
    file = home / "run" / "pytorch_lora_weights.safetensors"
    return compared(before, pipe.unet.state_dict(), [file], UNET, flat_names(before), [1.0])


def fill(model: nn.Module, seed: int) -> None:
    """Draw all matrices of an adapter anew."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(0.2 * torch.randn(parameter.shape, generator=generator))


def kohya(
    state: Mapping[str, Tensor], names: Mapping[str, str], alpha: float, begin: str = "lora_unet_"
) -> dict[str, Tensor]:
    """peft's tensors under kohya's names; of XL those of latent diffusion's code, ``names``."""
    former = {own: ldm for ldm, own in names.items()}
    held: dict[str, Tensor] = {}
    for key, value in state.items():
        stem, _, role = key.removesuffix(".weight").rpartition(".")
        whole = former.get(f"{stem}.weight", f"{stem}.weight").removesuffix(".weight")
        flat = begin + whole.replace(".", "_")
        held[f"{flat}.{'lora_down' if role == 'lora_A' else 'lora_up'}.weight"] = value
        held[f"{flat}.alpha"] = torch.tensor(alpha)
    return held


def compared(
    before: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    files: list[Path],
    part: str,
    names: Mapping[str, str],
    shares: Sequence[float] = tuple(share for *_, share in FILES),
) -> tuple[Tensor, Tensor]:
    """The weights that changed, theirs and ours; it fails where ours changed others."""
    loras = [(read_lora(file), share) for file, share in zip(files, shares, strict=True)]
    ours = with_loras(part, before, loras, names)
    changed = {key for key, value in ours.items() if not torch.equal(value, before[key])}
    if changed != {key for key, value in theirs.items() if not torch.equal(value, before[key])}:
        raise SystemExit(f"{part}: other weights changed than theirs")
    keys = sorted(changed)
    return tuple(torch.cat([s[key].flatten() for key in keys]) for s in (theirs, ours))  # type: ignore[return-value]


WHOLE = {"text": text, "trained": trained}
