"""Parity with other libraries, tensor by tensor: what docs/checkpoints.md says.

    python benchmarks/checkpoints.py --data ../shared/data

Every tensor of a network is drawn anew (tests/support/stored.py), the other library's output and
ours are compared, and both ways of the key map. A library that is not installed is left out, with
its row as it was; those with stored numbers (tests/interop/stored) get them anew.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from checkpoints_conditional import CONDITIONAL, conditional  # noqa: E402
from checkpoints_lora import LORAS, lora  # noqa: E402
from checkpoints_pipelines import PIPELINES, pipeline  # noqa: E402
from parity import Row, redrawn, row, same, store  # noqa: E402
from support.stored import inputs  # noqa: E402

from unfog.core.conditioning import Context  # noqa: E402
from unfog.interop.diffusers import (  # noqa: E402
    DiffusersNetwork,
    unet_from_diffusers,
    unet_to_diffusers,
)
from unfog.interop.monai_unet import unet_from_monai, unet_to_monai  # noqa: E402
from unfog.interop.openai_unet import unet_from_openai, unet_to_openai  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "checkpoints.json"
MONAI: dict[str, Row] = {
    "monai-2d-classes": {
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 1,
        "channels": [16, 32, 32],
        "num_res_blocks": [1, 2, 1],
        "attention_levels": [False, True, True],
        "norm_num_groups": 4,
        "num_head_channels": 8,
        "num_class_embeds": 3,
    },
    "monai-3d-blocks": {
        "spatial_dims": 3,
        "in_channels": 1,
        "out_channels": 1,
        "channels": [8, 16],
        "num_res_blocks": [1, 1],
        "attention_levels": [False, True],
        "norm_num_groups": 4,
        "num_head_channels": 8,
        "resblock_updown": True,
    },
}
GUIDED: Row = {
    "image_size": 16,
    "in_channels": 3,
    "model_channels": 32,
    "out_channels": 6,
    "num_res_blocks": 1,
    "attention_resolutions": [2],
    "channel_mult": [1, 2],
    "num_classes": 3,
    "num_head_channels": 16,
    "use_scale_shift_norm": True,
    "resblock_updown": True,
}
IMPROVED: Row = {
    "in_channels": 3,
    "model_channels": 32,
    "out_channels": 3,
    "num_res_blocks": 2,
    "attention_resolutions": [2, 4],
    "channel_mult": [1, 2, 2],
    "num_heads": 4,
}
OPENAI = {"guided-diffusion": (GUIDED, 16), "improved-diffusion": (IMPROVED, 16)}


def context(classes: int | None) -> Context:
    """The first class, and the last."""
    return Context() if classes is None else Context(vector=torch.eye(classes)[[0, -1]])


def monai(name: str) -> Row:
    """MONAI's DiffusionModelUNet."""
    from monai.networks.nets import DiffusionModelUNet

    config = MONAI[name]
    model: Any = DiffusionModelUNet(**config)
    sides = [8] * config["spatial_dims"]
    shapes, (x, label) = redrawn(model), inputs(1, sides)
    count = config.get("num_class_embeds")
    theirs = model(x, label, class_labels=None if count is None else torch.tensor([0, count - 1]))
    unet = unet_from_monai(model.state_dict(), config)[0].eval()
    store(name, config, shapes, sides, theirs)
    version = f"MONAI {importlib.metadata.version('monai')}"
    return row(
        name, version, theirs, unet(x, label, context(count)), same(unet_to_monai(unet)[0], model)
    )


def openai(name: str) -> Row:
    """UNetModel of guided-diffusion or improved-diffusion."""
    if name == "guided-diffusion":
        from guided_diffusion.unet import UNetModel

        package = "guided-diffusion-sdk"
    else:
        from improved_diffusion.unet import UNetModel

        package = "improved-diffusion-for-smlm"
    config, head_dim = OPENAI[name]
    model: Any = UNetModel(**config)
    shapes, (x, label) = redrawn(model), inputs(3, [8, 8])
    count = config.get("num_classes")
    theirs = model(x, label, **({} if count is None else {"y": torch.tensor([0, count - 1])}))
    unet = unet_from_openai(model.state_dict(), head_dim)[0].eval()
    store(name, config, shapes, [8, 8], theirs)
    version = f"{package} {importlib.metadata.version(package)}"
    ours = unet(x, label, context(count))
    return row(name, version, theirs, ours, same(unet_to_openai(unet), model))


def diffusers_unet(name: str) -> Row:
    """diffusers' UNet2DModel with classes."""
    import diffusers

    model: Any = diffusers.UNet2DModel(
        in_channels=3,
        out_channels=3,
        block_out_channels=(16, 32),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=8,
        flip_sin_to_cos=False,
        num_class_embeds=5,
    )
    redrawn(model)
    x, label = inputs(3, [16, 16])
    theirs = DiffusersNetwork(model)(x, label, context(5))
    unet = unet_from_diffusers(model).eval()
    version = f"diffusers {diffusers.__version__}"
    back = same(unet_to_diffusers(unet)[0], model)
    return row(name, version, theirs, unet(x, label, context(5)), back)


def diffusers_autoencoder(name: str) -> Row:
    """diffusers' AutoencoderKL, decoder after encoder."""
    import diffusers

    from unfog.interop.diffusers_autoencoder import (
        autoencoder_from_diffusers,
        autoencoder_to_diffusers,
    )

    model: Any = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32),
        norm_num_groups=8,
    )
    redrawn(model)
    x, _ = inputs(3, [16, 16])
    theirs = model.decode(model.encode(x).latent_dist.mean).sample
    ours = autoencoder_from_diffusers(model.state_dict(), dict(model.config)).eval()
    version = f"diffusers {diffusers.__version__}"
    back = same(autoencoder_to_diffusers(ours), model)
    return row(name, version, theirs, ours.decode(ours.encode(x)), back)


def diffusers_dit(name: str) -> Row:
    """diffusers' DiTTransformer2DModel."""
    import diffusers

    from unfog.interop.diffusers_dit import dit_from_diffusers, dit_to_diffusers

    model: Any = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        sample_size=8,
        num_embeds_ada_norm=5,
    )
    redrawn(model)
    first = "transformer_blocks.0.norm1.emb."  # every block holds a copy of the same embedding
    state = model.state_dict()
    for key in state:
        if ".norm1.emb." in key:
            state[key].copy_(state[first + key.partition(".norm1.emb.")[2]])
    x, label = inputs(4, [8, 8])
    classes = torch.tensor([0, 4])
    theirs = model(x, label.long(), class_labels=classes).sample
    dit, condition = dit_from_diffusers(model)
    ours = dit.eval()(x, label.long().float(), condition.embed(classes))
    state, _ = dit_to_diffusers(dit, condition)
    # The columns of sines and cosines are exchanged and back; nothing is rounded.
    return row(name, f"diffusers {diffusers.__version__}", theirs, ours, same(state, model))


def onnx(name: str) -> Row:
    """ONNX of the shipped prior of garments' pictures, in onnxruntime, at a batch of 3."""
    import onnxruntime

    from unfog.runs.run import Run
    from unfog.workflows.export import export_run, one_hot_network

    with tempfile.TemporaryDirectory() as scratch:
        export_run("fashion", "onnx", Path(scratch) / "out")
        session = onnxruntime.InferenceSession(str(Path(scratch) / "out" / "denoiser.onnx"))
    x = torch.randn(3, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    label = torch.tensor([3.0, 500.0, 871.0])
    (out,) = session.run(None, {"x": x.numpy(), "label": label.numpy()})
    ours = one_hot_network(Run.open("fashion"))(x, label, Context())
    version = f"onnxruntime {onnxruntime.__version__}"
    result = row(name, version, torch.from_numpy(out), ours, False)
    result.pop("written back bit for bit")
    return result


def taef2(name: str, data: Path) -> Row:
    """TAEF2's published weights on scikit-image's photographs: PSNR of what comes back."""
    import skimage.data

    from unfog.runs.tiny_codec import TinyCodec

    codec = TinyCodec(str(data / "taef2"), 0.0, 1.0)
    found = {}
    for picture in ("astronaut", "coffee", "chelsea", "camera"):
        image = np.asarray(getattr(skimage.data, picture)(), np.float32) / 255
        image = image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)
        image = image[: image.shape[0] // 8 * 8, : image.shape[1] // 8 * 8]
        x = torch.from_numpy(image).permute(2, 0, 1)[None]
        error = (codec.decode(codec.encode(x)).clamp(0, 1) - x).square().mean()
        found[picture] = round(float(-10 * error.log10()), 2)
    return {"network": name, "against": "scikit-image's photographs", "PSNR dB": found}


def main() -> None:
    """Make every row that can be made here."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", default="", help="rows whose name begins so")
    arguments = parser.parse_args()
    rows: dict[str, Callable[[str], Row]] = {
        "diffusers-unet": diffusers_unet,
        **dict.fromkeys(CONDITIONAL, conditional),
        **dict.fromkeys(PIPELINES, pipeline),
        **dict.fromkeys(LORAS, lora),
        "diffusers-autoencoder": diffusers_autoencoder,
        "diffusers-dit": diffusers_dit,
        **dict.fromkeys(MONAI, monai),
        **dict.fromkeys(OPENAI, openai),
        "onnx": onnx,
        "taef2": lambda name: taef2(name, arguments.data),
    }
    held = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name, made in rows.items():
        if not name.startswith(arguments.only):
            continue
        try:
            with torch.no_grad():
                held[name] = made(name)
        except ImportError as error:
            sys.stderr.write(f"{name} is left as it was: {error}\n")
            continue
        sys.stdout.write(f"{held[name]}\n")
        RESULTS.write_text(json.dumps(held, indent=1) + "\n")


if __name__ == "__main__":
    main()
