"""``unfog import-weights``: foreign weights become a run; legacy pickles are read here alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from unfog import builtin  # noqa: F401  (registers every name)
from unfog.errors import InputError
from unfog.files.folder import check_new, new_folder
from unfog.files.output import write_json
from unfog.interop.diffusers_scheduler import LEARNED, process_of
from unfog.interop.foreign import FORMATS, Foreign
from unfog.interop.tiny_autoencoder import check_tiny, tiny_from_diffusers
from unfog.networks.autoencoder import Autoencoder
from unfog.runs.build import build, build_autoencoder
from unfog.runs.config import apply_overrides
from unfog.runs.encoder_figures import LATENTS
from unfog.runs.folder import write_run
from unfog.systems.registry import Config
from unfog.workflows.foreign_files import Read, read_foreign

SYSTEM, TINY = "imported", "taesd"
TOLD = ("head_dim", "groups")  # of a network, which its tensors do not say
STEPS = 50


def import_weights(
    source: Path,
    out: Path,
    form: str = "auto",
    size: Sequence[int] | None = None,
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Make a run of foreign weights.

    Args:
        source: A .safetensors file, a legacy checkpoint, a folder of diffusers, or one of a tiny
            autoencoder's encoder.safetensors and decoder.safetensors.
        out: The new run's folder.
        form: A format by name, or "auto", by the tensors' names.
        size: Sides of the samples; those in the configuration by default.
        settings: Of the run's config, "key=value": what no file says, such as network.head_dim=64
            or process.name=ddpm-cosine.

    Returns:
        What was read, what was assumed and what was left.

    Raises:
        InputError: The file is of no known format, or does not fit it.
    """
    if form not in ("auto", TINY, *FORMATS):
        raise InputError(f"A format is auto, {', '.join((*FORMATS, TINY))}, not {form!r}.")
    check_new(out)
    read = read_foreign(source)
    chosen = read.format if form == "auto" else form
    if chosen is None:
        raise InputError(
            f"{source} is of no architecture that becomes a run (unfog inspect guesses it); give "
            f"--format {', '.join((*FORMATS, TINY))} if you know better."
        )
    if chosen == TINY:
        return _tiny(read, source, out)
    try:
        foreign = FORMATS[chosen](read.weights, read.config, _told(settings))
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    if isinstance(foreign.network, Autoencoder):
        facts = _autoencoder(foreign, out, size, settings, source)
    else:
        facts = _denoiser(foreign, read, out, size, settings, source)
    count = sum(p.numel() for p in foreign.network.parameters())
    return {"out": str(out), "format": chosen, "parameters": count, **read.told, **facts}


def _told(settings: Sequence[str]) -> Config:
    """What the settings say of a network that its tensors do not."""
    pairs = [s for s in settings if s.partition("=")[0].strip() in {f"network.{k}" for k in TOLD}]
    network = apply_overrides({"network": {"name": "unet"}}, pairs)["network"]
    return {key: network[key] for key in TOLD if key in network}


def _sides(foreign: Foreign, size: Sequence[int] | None, dims: int) -> list[int]:
    """The sides of a sample; ``InputError`` where nothing says them."""
    sides = list(size or ([foreign.size] if foreign.size else []))
    if len(sides) == 1:
        sides *= dims
    if len(sides) != dims:
        raise InputError(
            f"The file does not say how large its samples are; give --size with {dims} sides."
        )
    return sides


def _codec(channels: int) -> Config:
    """Of pictures, which networks see from -1 to 1; latents as they are."""
    return {"name": "range", "low": 0, "high": 255} if channels in (1, 3) else {"name": "identity"}


def _denoiser(
    foreign: Foreign,
    read: Read,
    out: Path,
    size: Sequence[int] | None,
    settings: Sequence[str],
    source: Path,
) -> dict[str, Any]:
    """The run of a denoiser."""
    sides = _sides(foreign, size, foreign.section.get("dims", 2))
    scheduler = read.scheduler or dict(foreign.scheduler)
    config, left = _denoiser_config(foreign, scheduler, sides, source)
    taken = {f"network.{key}" for key in foreign.taken}
    settings = [s for s in settings if s.partition("=")[0].strip() not in taken]
    config = apply_overrides(config, settings)
    parts = build(config)
    parts.denoiser.network.load_state_dict(foreign.network.state_dict())
    held = {name: condition for name, (_, condition) in foreign.conditions.items()}
    if foreign.classes is not None:
        held["label"] = foreign.classes
    for name, condition in held.items():
        parts.denoiser.conditioner.parts[name].load_state_dict(condition.state_dict())
    with new_folder(out) as folder:
        write_run(folder, parts.denoiser.state_dict(), config, _metadata(source))
    names = {key: config[key]["name"] for key in ("process", "prediction")}
    return {
        "shape": config["shape"],
        **names,
        **({} if read.scheduler else {"assumed": [", ".join(names.values())]}),
        **({"not taken of the scheduler": left} if left else {}),
        **({"conditions": config["conditions"]} if foreign.conditions else {}),
        **({"not imported": list(foreign.left)} if foreign.left else {}),
    }


def _denoiser_config(
    foreign: Foreign, scheduler: Config, sides: Sequence[int], source: Path
) -> tuple[Config, list[str]]:
    """The config of a denoiser's run, and the settings of its scheduler that are not taken."""
    inside, outside = foreign.channels
    process, prediction, left = process_of(scheduler)
    learned = outside == 2 * inside or scheduler.get("variance_type") in LEARNED
    if outside != inside * (1 + learned):
        raise InputError(
            f"{source} takes {inside} channels and gives {outside}: it is no denoiser, or takes a "
            "condition as channels, which is not read."
        )
    steps = process["steps"]
    config: Config = {
        "system": SYSTEM,
        "shape": [inside, *sides],
        "codec": _codec(inside),
        "process": process,
        "prediction": prediction,
        **({"variance": {"name": "learned-range", "steps": steps}} if learned else {}),
        "label": {"name": "time", "steps": float(steps)},
        "network": foreign.section,
        "conditions": {name: section for name, (section, _) in foreign.conditions.items()},
        "training": {"seed": 0},
        "sampling": {"sampler": "ddim", "steps": min(STEPS, steps), "grid": "trailing"},
    }
    if foreign.classes is not None:
        null = "zero" if "absent" in dict(foreign.classes.named_buffers()) else "learned"
        count = foreign.classes.count
        config["conditions"] = {"label": {"name": "class", "count": count, "null": null}}
    return config, left


def _autoencoder(
    foreign: Foreign,
    out: Path,
    size: Sequence[int] | None,
    settings: Sequence[str],
    source: Path,
) -> dict[str, Any]:
    """The run of an autoencoder, whose latents' figures are the scale that its makers give."""
    channels, own = foreign.channels[0], foreign.section
    config: Config = {
        "system": SYSTEM,
        "shape": [channels, *_sides(foreign, size, 2)],
        "codec": _codec(channels),
        "autoencoder": own,
        "training": {"seed": 0},
    }
    config = apply_overrides(config, settings)
    build_autoencoder(config).load_state_dict(foreign.network.state_dict())
    # z = (latent - shift) scale there, (latent - mean) / std here.
    count, scale = own["latent_channels"], foreign.latents["scale"]
    figures = {
        "mean": [foreign.latents["shift"]] * count,
        "std": [1 / scale] * count,
        "samples": 0,
    }
    with new_folder(out) as folder:
        write_run(folder, foreign.network.state_dict(), config, _metadata(source))
        write_json(folder / LATENTS, figures)
    return {"shape": config["shape"], "latents": count, "latents' scale": scale}


def _tiny(read: Read, source: Path, out: Path) -> dict[str, Any]:
    """A tiny autoencoder in its two published files, which the codec ``taesd`` takes."""
    if any(".layers." in name for name in read.weights):
        encoder, decoder = tiny_from_diffusers(read.weights)
    else:
        encoder, decoder = (
            {k.removeprefix(p): v for k, v in read.weights.items() if k.startswith(p)}
            for p in ("encoder.", "decoder.")
        )
        check_tiny(encoder, decoder)
    with new_folder(out) as folder:
        for name, part in (("encoder", encoder), ("decoder", decoder)):
            _save(part, folder / f"{name}.safetensors", source)
    return {
        "out": str(out),
        "format": TINY,
        "parameters": sum(v.numel() for v in read.weights.values()),
        **read.told,
        "use": f"unfog train latent-diffusion --set codec.name=taesd --set codec.path={out}",
    }


def _save(tensors: dict[str, Tensor], path: Path, source: Path) -> None:
    held = {name: value.contiguous() for name, value in tensors.items()}
    safetensors.torch.save_file(held, path, _metadata(source))


def _metadata(source: Path) -> dict[str, str]:
    """What the new file says of itself."""
    return {"format": "pt", "imported from": source.name}
