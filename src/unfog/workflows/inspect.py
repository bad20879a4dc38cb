"""``unfog inspect``: a description of a run or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unfog.builtin import open_run
from unfog.errors import InputError
from unfog.files import json_text
from unfog.files.formats import format_of
from unfog.files.local_paths import without_paths
from unfog.files.weight_files import read_header
from unfog.interop.pipeline_folder import INDEX, is_pipeline, read_json
from unfog.interop.recognise import describe
from unfog.runs.build import is_autoencoder, is_generator, is_joint_encoder
from unfog.runs.folder import locate, priors, run_config
from unfog.runs.generated import GeneratorRun
from unfog.runs.joint_codec import JointEncoderCodec
from unfog.runs.latent_codecs import AutoencoderCodec
from unfog.training.checkpoint import checkpoints as disk_checkpoints
from unfog.training.checkpoint import fault, newest_verified


def inspect_path(path: Path) -> dict[str, Any]:
    """A description of a run's folder, a shipped prior, a folder of a pipeline of diffusers, or a
    file of a known format.
    """
    if is_pipeline(path):
        return _pipeline(path)
    if path.is_dir() or (not path.exists() and str(path) in priors()):
        return _run(path)
    if not path.is_file():
        raise InputError(f"There is no file or run {path}.")
    if path.suffix == ".safetensors":
        return describe(read_header(path))
    return format_of(path).describe(path)


def _run(path: Path) -> dict[str, Any]:
    """A description of a run: its system, size, verified checkpoints, card and config."""
    place = locate(path)
    config = run_config(place)
    if is_autoencoder(config):
        return {**_autoencoder(place), **_weights(place), "config": without_paths(config)}
    if is_joint_encoder(config):
        return {**_joint_encoder(place), **_weights(place), "config": without_paths(config)}
    if is_generator(config):
        model = GeneratorRun.open(path).model
        return {
            "kind": "generator",
            "system": config["system"],
            "parameters": sum(p.numel() for p in model.parameters()),
            **_weights(place),
            "config": without_paths(config),
        }
    run = open_run(path)
    facts = {
        "kind": "run",
        "system": run.config["system"],
        "parameters": sum(p.numel() for p in run.denoiser.parameters()),
        **_weights(run.path),
    }
    if run.card:
        facts["card"] = dict(run.card)
    return {**facts, "config": without_paths(run.config)}


def _pipeline(path: Path) -> dict[str, Any]:
    """A description of a pipeline by its index and the headers of its files: each part's class and
    parameters.
    """
    index = read_json(path / INDEX)
    parts = {}
    for name, entry in index.items():
        if isinstance(entry, list) and len(entry) == 2 and entry[1]:
            files = sorted((path / name).glob("*.safetensors"))
            count = {"parameters": read_header(files[0]).count} if files else {}
            parts[name] = {"class": entry[1], **count}
    return {"kind": index.get("_class_name"), "parts": parts}


def _autoencoder(path: Path) -> dict[str, Any]:
    """A description of an autoencoder: its size, and how its latents are scaled."""
    codec = AutoencoderCodec(str(path))
    return {
        "kind": "autoencoder",
        "system": codec.config["system"],
        "parameters": sum(p.numel() for p in codec.network.parameters()),
        "factor": codec.network.factor,
        "latents": list(codec.latent_shape(codec.shape)),
        "mean": codec.mean[0].tolist(),
        "deviation": codec.std[0].tolist(),
    }


def _joint_encoder(path: Path) -> dict[str, Any]:
    """A description of a joint encoder: its size, and the scale of its logits."""
    codec = JointEncoderCodec(str(path))
    return {
        "kind": "joint encoder",
        "system": codec.config["system"],
        "parameters": sum(p.numel() for p in codec.network.parameters()),
        "embedding": codec.network.embedding,
        "scale": round(float(codec.network.scale), 3),
    }


def _weights(path: Path) -> dict[str, Any]:
    """The verified checkpoints of a training run, or that its exported weights are as written."""
    facts: dict[str, Any] = {}
    checkpoints = sorted(disk_checkpoints(path))
    if checkpoints:
        newest, _ = newest_verified(path)
        assert newest is not None  # or the run would not have opened
        facts["step"] = json_text.read(newest / "state.json")["step"]
        facts["checkpoints"] = {folder.name: fault(folder) or "verified" for folder in checkpoints}
    else:
        facts["weights"] = "verified"
    return facts
