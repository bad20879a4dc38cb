"""``unfog train lora``: a LoRA of a pipeline's U-Net, trained on captioned pictures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unfog.core.codec import Identity, codecs
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.random import generator
from unfog.data.augment import augmentations
from unfog.data.dataset import Dataset, open_dataset
from unfog.errors import InputError
from unfog.files.output import write_bytes
from unfog.interop.diffusers_conditional import attention_pieces
from unfog.interop.lora import TRAINED, lora_tensors
from unfog.networks.low_rank import LowRankNetwork
from unfog.networks.transformer_unet import TransformerUNet
from unfog.progress import training_progress
from unfog.runs.config import apply_overrides
from unfog.runs.encoder_figures import Figures
from unfog.runs.folder import run_config
from unfog.runs.latent_codecs import NetworkCodec
from unfog.runs.latents import Latents
from unfog.runs.machine import resolve
from unfog.runs.pipeline import open_pipeline
from unfog.runs.run import Run
from unfog.runs.text_states import captioned
from unfog.runs.train_data import absolute, data_section, resumed_section
from unfog.runs.train_from_config import objective_of
from unfog.systems.common import training
from unfog.systems.registry import Config
from unfog.training import loop
from unfog.training.checkpoint import load_ema, newest_metadata, to_safetensors
from unfog.training.settings import TrainSettings

SYSTEM = "lora"
RANK = 8
ELSEWHERE = ("codec", "text", "network", "sampling")  # sections of a pipeline's config


def train_lora(
    source: Path,
    data: str | None,
    out: Path,
    overrides: Sequence[str] = (),
    *,
    rank: int | None = None,
    resume: bool = False,
    track: Sequence[str] = (),
) -> dict[str, Any]:
    """Train a LoRA of the attention of a pipeline's U-Net; ``out`` is a run's folder, with its
    checkpoints and its log, and holds the LoRA itself in diffusers' format in the end.

    Args:
        source: The pipeline's folder.
        data: Pictures with captions: a folder, or a data set by name.
        out: The run's folder.
        overrides: Settings, each "key=value".
        rank: Of each change; 8 by default.
        resume: Whether to go on from the newest checkpoint in ``out``.
        track: Trackers by name.

    Returns:
        The folder, the LoRA's file, last step and loss, parameters and their share.

    Raises:
        InputError: The data have no captions, or a resumed run is of another pipeline or rank.
    """
    run = open_pipeline(source)
    if resume:
        config = _resumed(out, run, data, rank, overrides)
    else:
        config = lora_config(run, data, rank or RANK, overrides)
    dataset = open_dataset(config["data"])
    model, latents = lora_model(run, config), _latents(run, dataset)
    begun = time.perf_counter()
    with training_progress(config["training"]["steps"]) as callback:
        result = loop.train(
            model,
            objective_of(config),
            latents,
            augmentations.build(config["augment"]),
            TrainSettings.of(config["training"]),
            out,
            config,
            codec=Identity(),
            resume=resume,
            callback=callback,
            track=track,
        )
    network = model.network
    assert isinstance(network, LowRankNetwork)
    write_lora(out, network, float(config["lora"]["alpha"]))
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in run.denoiser.network.parameters())
    return {
        "run": str(out),
        "lora": str(out / TRAINED),
        "step": result.step,
        "loss": result.loss,
        "parameters": learned,
        "share of the U-Net": learned / whole,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def lora_config(run: Run, data: str | None, rank: int, overrides: Sequence[str] = ()) -> Config:
    """The config of a LoRA of a pipeline, with ``overrides`` applied; pictures in files are taken
    with their captions, at the size that the pipeline is made for.
    """
    ours = [pair for pair in overrides if pair.strip().startswith("data.")]
    section = data_section(data)
    if section["name"] == "images":
        section = {"captions": True, "size": run.shape[1], **section}
    section = absolute(apply_overrides({"data": section}, ours)["data"])
    steps = int(run.config["process"]["steps"])
    # What lies with the pipeline is read there, so that no path stands in the config.
    own = {key: part for key, part in run.config.items() if key not in ELSEWHERE}
    config: Config = {
        **own,
        "system": SYSTEM,
        "data": section,
        "from": {"pipeline": run.name, "sha256": run.weights_sha256},
        "lora": {"rank": rank, "alpha": float(rank)},
        "objective": {"name": "denoising", "times": {"name": "uniform", "steps": steps}},
        "augment": {"name": "none"},
        # The last weights count, as elsewhere with LoRAs, not an average.
        "training": training(steps=1000, batch=1, lr=1e-4, warmup=0, ema=0.0, precision="auto"),
    }
    config = apply_overrides(config, [pair for pair in overrides if pair not in ours])
    if config["augment"]["name"] != "none":
        raise InputError("Latents are encoded once, before a LoRA is trained; leave augment out.")
    points = run.latent_shape[1] * run.latent_shape[2]
    config["training"]["precision"] = resolve(config["training"]["precision"], points)
    return config


def lora_model(run: Run, config: Config) -> NetworkDenoiser:
    """The pipeline's denoiser with a change of its attention that learns, and nothing else does."""
    unet, own = run.denoiser.network, run.denoiser
    assert isinstance(unet, TransformerUNet)
    network = LowRankNetwork(
        unet,
        attention_pieces(unet),
        int(config["lora"]["rank"]),
        float(config["lora"]["alpha"]),
        generator(config["training"]["seed"], "weights"),
    )
    return NetworkDenoiser(network, own.process, own.prediction, own.label, own.conditioner)


def write_lora(out: Path, network: LowRankNetwork, alpha: float) -> None:
    """Write the LoRA of a run's newest checkpoint beside it, in the format that diffusers reads."""
    begin = "network."
    state = {k.removeprefix(begin): v for k, v in load_ema(out).items() if k.startswith(begin)}
    tensors, told = lora_tensors(network.named(state), alpha)
    content = to_safetensors(tensors, {**newest_metadata(out), **told})
    write_bytes(out / TRAINED, content, overwrite=True)


def _latents(run: Run, dataset: Dataset) -> Latents:
    """The data as latents of the pipeline's autoencoder, with their captions' states."""
    own = run.codec
    assert isinstance(own, NetworkCodec)
    if dataset.captions is None:
        raise InputError(
            f"The data set {dataset.name!r} has no captions, by which a LoRA is trained; put a "
            "captions.csv or texts beside the pictures."
        )
    figures = Figures(own.mean, own.std, own.sha256)
    inner = codecs.build(dataset.codec)
    codec = NetworkCodec(own.network, inner, own.channels, figures, own.name)
    return Latents(captioned(dataset, run.config), codec)


def _resumed(
    out: Path, run: Run, data: str | None, rank: int | None, overrides: Sequence[str]
) -> Config:
    """The config of the LoRA in ``out``, with overrides applied; ``InputError`` where it is of
    another pipeline or rank.
    """
    config = run_config(out)
    if config.get("system") != SYSTEM:
        raise InputError(f"{out} is a run of {config.get('system')!r}, not a LoRA.")
    if config["from"]["sha256"] != run.weights_sha256:
        raise InputError(
            f"The weights in {run.path} are not those that the LoRA in {out} is of; give its own "
            "pipeline."
        )
    if rank not in (None, config["lora"]["rank"]):
        raise InputError(f"The LoRA in {out} has rank {config['lora']['rank']}, not {rank}.")
    config["data"] = resumed_section(config["data"], data, out)
    return apply_overrides(config, overrides)
