"""``unfog export``: a run as other libraries read it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from unfog.builtin import open_run
from unfog.core.conditions import ClassCondition
from unfog.errors import InputError
from unfog.files.folder import check_new, new_folder
from unfog.files.output import write_json
from unfog.interop.diffusers import save_diffusers
from unfog.interop.diffusers_dit import save_diffusers_dit
from unfog.interop.diffusers_scheduler import scheduler_of
from unfog.interop.monai_unet import unet_to_monai
from unfog.interop.onnx_denoiser import write_onnx
from unfog.networks import DiT, Network, UNet
from unfog.runs.run import Run

VERSION = "0.42.0"  # of diffusers, whose folders these are
WEIGHTS, MODEL = "model.safetensors", "denoiser.onnx"


def export_run(source: str | Path, form: str, out: Path) -> dict[str, Any]:
    """Write a run's network for another library.

    Args:
        source: The run, or the name of a shipped prior.
        form: "diffusers", "monai" or "onnx".
        out: The new folder.

    Returns:
        What was written, and what of the run it does not hold.

    Raises:
        InputError: The other library has no such network, process or condition.
    """
    if form not in FORMATS:
        raise InputError(f"A run is exported as {', '.join(FORMATS)}, not as {form!r}.")
    check_new(out)
    run = open_run(source, "fp32")
    with new_folder(out) as folder:
        facts = FORMATS[form](run, folder)
        facts["files"] = sorted(
            str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()
        )
    left = f"codec {run.config['codec']['name']}: the data's scale, -1 to 1 for the network"
    return {"out": str(out), "run": run.name, "format": form, **facts, "not in it": left}


def _condition(run: Run) -> ClassCondition | None:
    """The one condition of a run, a class; ``InputError`` for others."""
    parts = list(run.denoiser.conditioner.parts.values())
    if not parts:
        return None
    if len(parts) > 1 or not isinstance(parts[0], ClassCondition):
        names = ", ".join(run.denoiser.conditioner.parts)
        raise InputError(
            f"{run.name} takes the condition {names}; a run is exported without one or with a "
            "class alone."
        )
    return parts[0]


def one_hot_network(run: Run) -> Network:
    """A run's network, which takes a class as a one-hot vector where it takes one: its table is
    folded into the linear map that reads it.
    """
    network, classes = copy.deepcopy(run.denoiser.network), _condition(run)
    assert isinstance(network, Network)
    if classes is not None:
        if not isinstance(network, UNet) or network.vector is None:
            raise InputError(f"{run.name} takes a class, and its network is no U-Net.")
        folded = network.vector.weight @ classes.embedding.weight.T
        network.vector = nn.Linear(classes.count, len(folded), bias=False)
        network.vector.load_state_dict({"weight": folded.detach()})
        network.vector_width = classes.count
    return network.eval().requires_grad_(False)


def _unet(run: Run, library: str) -> UNet:
    """A run's U-Net; ``InputError`` where its network is another."""
    network = one_hot_network(run)
    if not isinstance(network, UNet):
        raise InputError(f"{run.name} is a {network.kind}, which is not written for {library}.")
    return network


def _diffusers(run: Run, folder: Path) -> dict[str, Any]:
    """A model and its scheduler; a pipeline where there is no condition."""
    scheduler = scheduler_of(run.config)
    side = run.latent_shape[1:]
    classes = _condition(run)
    if isinstance(run.denoiser.network, DiT) and classes is not None:
        part, kind = "transformer", "DiTTransformer2DModel"
        save_diffusers_dit(run.denoiser.network, classes, folder / part)
    else:
        part, kind = "unet", "UNet2DModel"
        size = side[0] if len(set(side)) == 1 else tuple(side)
        save_diffusers(_unet(run, "diffusers"), folder / part, size)  # type: ignore[arg-type]
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    facts: dict[str, Any] = {"model": f"{part}/: {kind}", "scheduler": "DDPMScheduler"}
    if classes is None and not run.config.get("variance"):
        index = {
            "_class_name": "DDPMPipeline",
            "_diffusers_version": VERSION,
            "scheduler": ["diffusers", "DDPMScheduler"],
            "unet": ["diffusers", "UNet2DModel"],
        }
        write_json(folder / "model_index.json", index)
        facts["pipeline"] = "DDPMPipeline, or DDIMPipeline"
    return facts


def _monai(run: Run, folder: Path) -> dict[str, Any]:
    """A state dictionary, and the arguments that its network is made with."""
    state, config = unet_to_monai(_unet(run, "MONAI"))
    safetensors.torch.save_file(state, folder / WEIGHTS, {"format": "pt"})
    write_json(folder / "config.json", {"_class_name": "DiffusionModelUNet", **config})
    return {"model": f"DiffusionModelUNet(**config), {len(state)} tensors"}


def _onnx(run: Run, folder: Path) -> dict[str, Any]:
    """The network, and the coefficients that a loop of sampling needs."""
    names = write_onnx(one_hot_network(run), folder / MODEL, run.latent_shape)
    # x_0 = a out + b (what x_t is), out = network(c_in x_t, label), at the times of the grid.
    t = torch.linspace(0, 1, LOOP + 1, dtype=torch.float64)[1:]
    process, prediction = run.denoiser.process, run.denoiser.prediction
    alpha, sigma = process.alpha(t), process.sigma(t)
    a, b = prediction.rule(alpha, sigma)
    if a.ndim > 1:
        raise InputError(f"{run.name} scales each channel by itself, which is not written.")
    table = {
        "label": run.denoiser.label(process, t),
        "c_in": prediction.input_scale(alpha, sigma),
        **{"a": a, "b": b, "alpha": alpha, "sigma": sigma},
    }
    loop = {name: values.tolist() for name, values in table.items()}
    facts = {"inputs": names, "shape": list(run.latent_shape), "times": t.tolist(), **loop}
    (folder / "denoiser.json").write_text(json.dumps(facts) + "\n")
    return {"model": MODEL, "inputs": names, "a loop": "examples/onnx_sampler_loop.py"}


LOOP = 1000  # times at which the coefficients are written
FORMATS: dict[str, Callable[[Run, Path], dict[str, Any]]] = {
    "diffusers": _diffusers,
    "monai": _monai,
    "onnx": _onnx,
}
