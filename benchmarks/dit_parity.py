"""DiT-XL/2 beside diffusers' ``DiTTransformer2DModel`` at full size, 675 M parameters, with every
tensor drawn anew: as it starts a DiT is the zero function, and anything would agree.

    python benchmarks/dit_parity.py --out benchmarks/results/dit_parity.json

The numbers of parameters are those of unfog's network and class condition, of the authors' code
(which counts the fixed table of positions) and of diffusers (whose blocks each have a copy of the
embeddings). Needs about 9 GB of memory and a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import diffusers
import torch
from record import write_record
from torch import Tensor, nn

import unfog
from unfog.core.conditioning import Context
from unfog.interop.diffusers_dit import dit_from_diffusers

XL_2: dict[str, Any] = {"num_layers": 28, "num_attention_heads": 16, "attention_head_dim": 72}
SIDE, PATCH = 32, 2  # of the latents of pictures of 256 x 256
LABEL, CLASSES = torch.tensor([3.0, 871.0]), torch.tensor([207, 1000])  # the second is the null
COPIED = "transformer_blocks.{}.norm1.emb."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    write_record(figures(), (unfog, torch, diffusers), options.out)


@torch.no_grad()
def figures() -> dict[str, Any]:
    """The sizes, and how far the outputs are apart."""
    model = diffusers.DiTTransformer2DModel(
        **XL_2, in_channels=4, out_channels=8, sample_size=SIDE, patch_size=PATCH
    ).eval()
    randomise(model)
    x = torch.randn(2, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    expected = model(x, LABEL, CLASSES, return_dict=False)[0]
    theirs = parameters(model)
    # Their weights in our network; theirs are then let go.
    dit, classes = dit_from_diffusers(model)
    del model
    out = dit(x, LABEL, vectors(classes, x))
    ours, table = parameters(dit) + parameters(classes), (SIDE // PATCH) ** 2 * dit.width
    return {
        "network": "DiT-XL/2, 4 channels in and 8 out, 1000 classes and a null, float32",
        "parameters": {
            "unfog": ours,
            "with the fixed table of positions, as the authors count": ours + table,
            "diffusers": theirs,
        },
        "inputs": {"shape": list(x.shape), "label": LABEL.tolist(), "class": CLASSES.tolist()},
        "output's standard deviation": float(expected.std()),
        "largest difference": float((out - expected).abs().max()),
        "relative difference (norms)": float((out - expected).norm() / expected.norm()),
    }


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def randomise(model: nn.Module) -> None:
    """Every tensor drawn anew; the blocks' copies of the embeddings stay copies."""
    generator = torch.Generator().manual_seed(0)
    state = model.state_dict()
    for name, tensor in state.items():
        first = COPIED.format(0) + name.partition(".norm1.emb.")[2]
        if ".norm1.emb." in name and name != first:
            tensor.copy_(state[first])
            continue
        scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
        tensor.normal_(generator=generator).mul_(scale)


def vectors(classes: Any, x: Tensor) -> Context:
    context: Context = classes(CLASSES.clamp(max=classes.count - 1), classes.count > CLASSES, x)
    return context


if __name__ == "__main__":
    main()
