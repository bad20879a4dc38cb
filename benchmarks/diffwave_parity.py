"""DiffWave beside its authors' code (lmnt-com/diffwave), every tensor drawn anew.

    python benchmarks/diffwave_parity.py FOLDER

FOLDER is that of their package, which holds model.py and params.py.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

import unfog.builtin  # noqa: F401  (registers every name)
from unfog.audio.diffwave import DiffWave
from unfog.audio.mel_condition import MelCondition
from unfog.core.conditioning import Context

RENAMED = (
    ("input_projection", "enter"),
    ("diffusion_embedding.projection1", "embedding.hidden"),
    ("diffusion_embedding.projection2", "embedding.out"),
    ("residual_layers.", "layers."),
    ("dilated_conv", "conv"),
    ("diffusion_projection", "label"),
    ("conditioner_projection", "maps"),
    ("skip_projection", "skip"),
    ("spectrogram_upsampler.conv1", "up.0"),
    ("spectrogram_upsampler.conv2", "up.1"),
)
FRAMES = 12


def renamed(name: str) -> str:
    """A tensor's name here."""
    for theirs, ours in RENAMED:
        name = name.replace(theirs, ours)
    return name.replace("output_projection", "out" if name.startswith("layers.") else "leave")


def module(folder: Path, name: str) -> ModuleType:
    """A module of their package, by its file."""
    spec = importlib.util.spec_from_file_location(f"authors_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def compared(folder: Path, told: bool) -> tuple[int, int, float]:
    """Parameters here and there, and the largest difference over the largest value."""
    params = module(folder, "params")
    chosen = params.AttrDict(dict(params.params))
    chosen.unconditional = not told
    torch.manual_seed(0)
    theirs: nn.Module = module(folder, "model").DiffWave(chosen)
    for p in theirs.parameters():
        nn.init.normal_(p, std=0.1 if p.ndim < 2 else float(np.prod(p.shape[1:]) ** -0.5))
    ours, condition = DiffWave(1, 1, spatial_channels=80 if told else 0), MelCondition(22_050)
    tensors = {renamed(name): value for name, value in theirs.state_dict().items()}
    ours.load_state_dict({name: v for name, v in tensors.items() if not name.startswith("up.")})
    if told:
        condition.load_state_dict({n: v for n, v in tensors.items() if n.startswith("up.")})
    x, m, t = torch.randn(2, 256 * FRAMES), torch.rand(2, 80, FRAMES), torch.tensor([3.3, 48.7])
    with torch.no_grad():
        context = condition(m, None, x[:, None]) if told else Context()
        out: Tensor = ours(x[:, None], t, context)
        expected = torch.cat(
            [theirs(x[k : k + 1], t[k : k + 1], m[k : k + 1] if told else None) for k in range(2)]
        )
    counts = [sum(p.numel() for p in part.parameters()) for part in (ours, condition, theirs)]
    error = float((out - expected).abs().max() / expected.abs().max())
    return counts[0] + (counts[1] if told else 0), counts[2], error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args().folder
    for told in (True, False):
        ours, theirs, error = compared(chosen, told)
        kind = "with a spectrogram" if told else "unconditional"
        sys.stdout.write(f"{kind}: {ours} parameters of {theirs}, difference {error:.1e}\n")
