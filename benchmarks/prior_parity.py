"""Karlo's diffusion prior beside diffusers' ``PriorTransformer`` at full size, 1022 M parameters,
with every tensor drawn anew: positions, query, mean and deviation start as zeros.

    python benchmarks/prior_parity.py --out benchmarks/results/prior_parity.json

Both networks share their tensors but for queries, keys and values. Needs about 10 GB of memory and
a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import diffusers
import torch
from record import write_record
from torch import nn

import unfog
from unfog.core.conditioning import Context
from unfog.interop.diffusers_prior import prior_from_diffusers

KARLO: dict[str, Any] = {
    "num_attention_heads": 32,
    "attention_head_dim": 64,
    "num_layers": 20,
    "embedding_dim": 768,
    "num_embeddings": 77,
}
LABEL = torch.tensor([3.0, 871.0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    write_record(figures(), (unfog, torch, diffusers), options.out)


@torch.no_grad()
def figures() -> dict[str, Any]:
    """The sizes, and how far the outputs are apart."""
    model = diffusers.PriorTransformer(**KARLO).eval()
    randomise(model)
    generator = torch.Generator().manual_seed(1)
    x, vector = (torch.randn(2, 768, generator=generator) for _ in range(2))
    tokens = torch.randn(2, 77, 768, generator=generator)
    mask = torch.arange(77) < torch.tensor([[77], [9]])  # a full text and a short one
    expected = model(x, LABEL, vector, tokens, mask, return_dict=False)[0]
    theirs = parameters(model)
    prior, codec = prior_from_diffusers(model)
    del model
    out = prior(x, LABEL, Context(vector=vector, tokens=tokens, token_mask=mask))
    ours = parameters(prior)
    return {
        "network": "Karlo's prior: 77 tokens, vectors of 768, float32",
        "parameters": {
            "unfog": ours,
            "with the codec's mean and deviation": ours + len(codec.mean) + len(codec.std),
            "diffusers": theirs,
        },
        "inputs": {"x": list(x.shape), "label": LABEL.tolist(), "tokens": mask.sum(1).tolist()},
        "output's standard deviation": float(expected.std()),
        "largest difference": float((out - expected).abs().max()),
        "relative difference (norms)": float((out - expected).norm() / expected.norm()),
    }


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def randomise(model: nn.Module) -> None:
    """Every tensor drawn anew; deviations stay above zero."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        scale = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
        tensor.normal_(generator=generator).mul_(scale)
        if name == "clip_std":
            tensor.abs_().add_(0.1)


if __name__ == "__main__":
    main()
