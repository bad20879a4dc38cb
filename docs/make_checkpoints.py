"""Makes docs/checkpoints.md of what benchmarks/checkpoints.py measured: no figure in it is typed.

python docs/make_checkpoints.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from unfog.interop.diffusers_conditional import attention_pieces
from unfog.interop.diffusers_scheduler import SAMPLERS
from unfog.interop.recognise import TABLE
from unfog.networks.transformer_unet import TransformerUNet

DEVIATION = "output's deviation"
PAGE = Path(__file__).with_name("checkpoints.md")
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "checkpoints.json"
# Format, what is read, what is written, and the rows of results that show it.
FORMATS = (
    (
        "diffusers",
        "folders of UNet2DModel, UNet2DConditionModel (Stable Diffusion 1.x, 2.x, XL), "
        "DiTTransformer2DModel, AutoencoderKL, VQModel, and pipelines with their scheduler",
        "UNet2DModel or DiTTransformer2DModel with a DDPMScheduler; DDPMPipeline where there is no "
        "condition",
        (
            *("diffusers-unet", "sd-1.x", "sd-2.x", "sd-xl"),
            *("diffusers-dit", "diffusers-autoencoder"),
        ),
    ),
    (
        "pipeline",
        "`sample --from`, `restore --from`: whole folders of StableDiffusionPipeline and "
        "StableDiffusionXLPipeline, a picture of ten steps of DDIM with guidance 7.5",
        "",
        ("pipeline-sd-1.x", "pipeline-sd-2.x", "pipeline-sd-xl"),
    ),
    (
        "LoRA",
        "`sample --from FOLDER --lora FILE`: layouts of peft, diffusers (older ones too) and "
        "kohya; two files merged",
        "`train lora`: of a U-Net's attention, in diffusers' format",
        (
            *("lora-peft-sd-1.x", "lora-kohya-sd-1.x", "lora-peft-sd-2.x", "lora-kohya-sd-2.x"),
            *("lora-peft-sd-xl", "lora-kohya-sd-xl", "lora-text"),
            "lora-trained",
        ),
    ),
    (
        "monai",
        "DiffusionModelUNet in 2-D and 3-D, its names in MONAI Generative Models too; config.json "
        "beside the file where there is one",
        "its state dictionary, and the arguments in config.json",
        ("monai-2d-classes", "monai-3d-blocks"),
    ),
    (
        "openai",
        "U-Nets of improved-diffusion and guided-diffusion, with classes and a learned variance",
        "",
        ("guided-diffusion", "improved-diffusion"),
    ),
    (
        "ldm",
        "autoencoders of latent diffusion's code, alone, or in a single file by `--format ldm`",
        "",
        (),
    ),
    (
        "ldm-unet",
        "the U-Net of a single file: Stable Diffusion 1.x, 2.x, XL and its refiner",
        "",
        ("sd-1.x-single-file", "sd-2.x-single-file", "sd-xl-single-file"),
    ),
    (
        "taesd",
        "TAESD and TAEF2 in their two files; diffusers' AutoencoderTiny",
        "the two files",
        ("taef2",),
    ),
    ("onnx", "", "the network, and the coefficients of a sampler's loop", ("onnx",)),
)
HEAD = """# The checkpoints people already have

    unfog inspect FILE.safetensors                       # what is it? reads the header alone
    unfog import-weights FILE|FOLDER --out runs/theirs   # a run: sample, restore and edit with it
    unfog export RUN --format diffusers|monai|onnx --out FOLDER
    unfog sample --from FOLDER --text "a red heart" --out pictures      # Stable Diffusion, as it is
    unfog restore --from FOLDER blurred.png --task deblur --to text="a red heart" --out sharp

Made by `python docs/make_checkpoints.py` of what `python benchmarks/checkpoints.py` measured: every
tensor of a narrow network is drawn anew, and the largest difference of the outputs is stated beside
their deviation.

| format | read | written | largest difference (deviation of the output), against |
|---|---|---|---|
"""
TAIL = """
"Written back bit for bit": writing what was read gives the same tensors in {back} of {pairs}
networks that go both ways. The stored outputs of MONAI, guided-diffusion, improved-diffusion
and the conditional U-Nets are tests that run without them. A row of a single file holds the weights
of the row of diffusers under the names of latent diffusion's code, which diffusers' own conversion
reads back as the same model bit for bit.

## What a file does not say
- The channels of an attention head and the groups of a normalisation: `--set network.head_dim=64
  --set network.groups=32`. The defaults are those of the library: 64 and 32 for `openai`, 8 and 32
  for `monai`. improved-diffusion counts heads: give the channels over `num_heads`.
- The process and the prediction, where there is no scheduler: DDPM's linear table of 1000 steps and
  noise, which is printed as assumed; `--set process.name=ddpm-cosine` for improved-diffusion.
- The size of the samples: `--size 64`.
- The order of queries, keys and values within `openai` files is that of both repositories' default;
  `use_new_attention_order` is not read.

Settings that nothing here honours are named in the error. Settings of a scheduler's sampler are
printed as not taken: a sampler is chosen when samples are drawn.

## Pipelines of Stable Diffusion
`--from` takes the folder that diffusers' `save_pretrained` writes: model_index.json, unet/, vae/,
text_encoder/, tokenizer/, scheduler/, in XL text_encoder_2/ and tokenizer_2/ too. In Python
`unfog.load(FOLDER)` is its run, with `sample` and `restore`; `unfog edit FOLDER PICTURE` edits with
it, and `unfog inspect FOLDER` says what it is of. The text encoders are those of `transformers`
(extra `text`), of files on this machine alone, safetensors alone.

- Process and prediction, noise or v, are those of scheduler_config.json. So are the times: their
  spacing, the offset (1 in 1.x and 2.x whatever the file says, as in diffusers), and the end, which
  without `set_alpha_to_one` is the table's first step and not 0. `--sampler`, `--steps` and
  `--grid` say others; 50 steps is the default.
- A scheduler's class gives the sampler: {samplers}. PNDM's and LMS' own multistep rules are not
  here. Times of leading and trailing spacing are diffusers' own; those of linspace are rounded to
  whole steps, and `use_karras_sigmas` goes from the table's last noise level to its first.
- Guidance, 7.5 by default and 5 in XL, is away from the empty text, from zeros where
  model_index.json says `force_zeros_for_empty_prompt`, or from `--negative`. Prompts have weights,
  files of prompts and all else that [text to image](text-to-image.md) says.
- A picture begins at sigma(t) n, n being white noise; diffusers begins at n, with leading times
  half a percent more. The figures above are of one start for both.
- XL is told that its picture was as large as it is drawn, and not cropped. `--shape` is another
  size; one of model_index.json's other parts, such as a safety checker, is not run.

## LoRA
`--lora FILE` or `--lora FILE:WEIGHT` of `sample` and `restore`, several times for several, merges
low-rank changes into the weights of the U-Net and the text encoders as they are read: W + WEIGHT
alpha / rank up down, in float32. Layers of attention, perceptrons and convolutions, in the layouts
of peft and diffusers, of older diffusers and of kohya's scripts, which call XL's layers as single
files do. alpha is that of
the file, of diffusers' metadata or of peft's adapter_config.json beside it, and the rank where none
says. In Python: `open_pipeline(FOLDER, [(Path(FILE), WEIGHT)])` of `unfog.runs.pipeline`. A change
of a weight that the model has not, DoRA, LoKr, LoHa and biases are named in an error.

The figures above are of all changed weights after diffusers' `fuse_lora`, of a text encoder with
the changes that peft states, and of a LoRA that was trained here and fused there.

    unfog train lora --from FOLDER --data PICTURES --rank 8 --out runs/ink
    unfog sample --from FOLDER --text "a red heart" --lora runs/ink --out pictures

trains one of queries, keys, values and outputs of all attention of the U-Net, on pictures with
captions, as [text to image](text-to-image.md) reads them, at the size the pipeline is made for. The
pictures are encoded once. The loss is that of the pipeline's own prediction at uniform times; a
tenth of the captions is hidden, as in Stable Diffusion's training. Of SD 1.x {lora_count:.3f} M
parameters learn at rank 8, {lora_share:.2%} of the U-Net. The run's folder is like any other: its
checkpoints hold the change alone, `--resume` goes on bit for bit with the same pipeline, which its
config tells by SHA-256, and `--set training.lr=`, `training.steps=` and `lora.alpha=` say others
than 1e-4, 1000 and the rank. pytorch_lora_weights.safetensors in it is what diffusers'
`load_lora_weights` takes. Text encoders stay as they are.

## Stable Diffusion's U-Nets
- The network is `transformer-unet`: 859.521 M parameters for 1.x. It works on latents; the text
  encoder and the autoencoder are not imported, which the output says; `--from` above takes all of
  a pipeline. `--format ldm` reads the
  autoencoder out of a single file.
- The condition `tokens` takes the text encoder's states, (batch, length, 768) for 1.x, 1024 for
  2.x, 2048 for XL, as they are: `run.sample(1, condition={{"tokens": states}})`. XL's condition
  `vector` takes `text_and_sizes(pooled, sizes)` of `unfog.interop.vector_map`. Their nulls are
  zeros; these models were trained with the states of an empty text instead, so guidance by the
  null is not theirs.
- A single file names no table of noise: the scaled-linear one of all of them is taken, and noise as
  the prediction; give `--set prediction.name=v` for 2.x at 768 pixels.
- Heads are those published: 8 where transformers begin with a convolution (1.x), of 64 channels
  elsewhere; `--set network.head_dim=` says others.

## Classes
A class is looked up in a table there. A run has the same table as its condition `label`; its null,
which no such model was trained with, is zero, so guidance is of use only where the model's own last
class is the null (DiT).

## Safety
A safetensors file is read after its header: every tensor must lie within the file, be as long as
its shape and type say, and overlap none, before anything is allocated. Legacy files (.pt, .pth,
.ckpt, .bin, .th) are read by `import-weights` alone, as tensors alone (torch's `weights_only`), in
a process limited in memory and time, and the output says so. What else they hold is not run.

## Our own files
A run's weights carry recipe, data with their SHA-256, command, settings and licence in the
safetensors metadata; `unfog inspect` prints them. Paths are left out, so the same training gives
the same bytes anywhere.

## What is recognised
`unfog inspect` tells these by their tensors' names; those that become a run are marked:
{recognised}.
"""


def lora_size(rank: int = 8) -> tuple[int, float]:
    """The parameters of a LoRA of Stable Diffusion 1's U-Net, and their share of it."""
    with torch.device("meta"):
        unet = TransformerUNet(4, 4, token_width=768)
    count = 0
    for key, names in attention_pieces(unet).items():
        out, width = unet.get_parameter(key).shape
        count += len(names) * rank * (width + out // len(names))
    return count, count / sum(p.numel() for p in unet.parameters())


def figures(rows: dict[str, Any], names: tuple[str, ...]) -> str:
    """The figures of rows, in one cell."""
    cells = []
    for name in names:
        row = rows[name]
        if "PSNR dB" in row:
            values = ", ".join(f"{k} {v:.2f} dB" for k, v in row["PSNR dB"].items())
            cells.append(f"{values}: {row['against']}")
            continue
        cells.append(
            f"{name}: {row['largest difference']:.1e} ({row[DEVIATION]:.2f}), {row['against']}"
        )
    return "<br>".join(cells) or "the names of the published files, one by one in a test"


def page() -> str:
    """The page."""
    rows = json.loads(RESULTS.read_text("utf-8"))
    lines = [
        f"| `{form}` | {read or '-'} | {written or '-'} | {figures(rows, names)} |"
        for form, read, written, names in FORMATS
    ]
    both = [
        row["written back bit for bit"]
        for row in rows.values()
        if "written back bit for bit" in row
    ]
    names = [f"**{telling.name}**" if telling.format else telling.name for telling in TABLE]
    samplers = ", ".join(
        f"{kind.removesuffix('Scheduler')} `{ours}`" for kind, (ours, _) in SAMPLERS.items()
    )
    tail = TAIL.format(
        back=sum(both),
        pairs=len(both),
        recognised="; ".join(names),
        samplers=samplers,
        lora_count=lora_size()[0] / 1e6,
        lora_share=lora_size()[1],
    )
    return HEAD + "\n".join(lines) + "\n" + tail


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
