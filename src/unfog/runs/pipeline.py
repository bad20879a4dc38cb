"""Pipelines of diffusers, opened as runs: a text, a denoiser of latents, and their autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from unfog.core.codec import Range
from unfog.core.conditioning import Conditioner
from unfog.core.denoiser import NetworkDenoiser
from unfog.core.label import labels
from unfog.core.prediction import predictions
from unfog.core.process import processes
from unfog.errors import InputError
from unfog.interop.diffusers_scheduler import process_of, sampling_of
from unfog.interop.encoded_text import EncodedText
from unfog.interop.lora import TEXT, TEXT_2, UNET, Lora, lora_file, read_lora
from unfog.interop.pipeline_folder import Pipeline, read_pipeline
from unfog.interop.pipeline_text import PipelineText, text_sha256
from unfog.runs.encoder_figures import Figures
from unfog.runs.folder import file_sha256, weights_sha256
from unfog.runs.latent_codecs import NetworkCodec
from unfog.runs.run import Run
from unfog.runs.text_states import NAME, reader_of
from unfog.systems.registry import Config

SYSTEM = "pipeline"
STEPS = 50
GUIDANCE, GUIDANCE_XL = 7.5, 5.0  # as diffusers' pipelines have it
DROP = 0.1  # of the text in training, by the model cards of Stable Diffusion


def open_pipeline(folder: str | Path, loras: Sequence[tuple[Path, float]] = ()) -> Run:
    """A folder of a pipeline as a run, for ``sample``, ``restore`` and all that takes one; nothing
    is fetched, and no code in it is run.

    The condition ``text`` is what its encoders make of a prompt. Its null is the empty text, or
    zeros where the pipeline says so (``force_zeros_for_empty_prompt``). Process, prediction,
    sampler and times are those of its scheduler.

    Args:
        folder: Of a StableDiffusionPipeline or StableDiffusionXLPipeline, as diffusers saves it.
        loras: Files or folders of low-rank changes, each with its share, which are merged into the
            weights of the U-Net and the text encoders.

    Returns:
        The run.

    Raises:
        InputError: It is of another class, lacks a part, or holds one as a pickle.
        MissingExtra: ``transformers`` is missing.
    """
    path = Path(folder)
    files = [(lora_file(place), share) for place, share in loras]
    changes = [(read_lora(file), share) for file, share in files]
    parts = read_pipeline(path, changes)
    text: Config = {"name": "stable-diffusion", "path": str(path.resolve())}
    if changes:
        _check_parts(changes, parts)
        text["loras"] = [[str(f.resolve()), share, file_sha256(f)] for f, share in files]
    # Which tells one reader from another of the same place.
    text["sha256"] = text_sha256(path, text.get("loras", ()))
    reader = reader_of({NAME: text}, path.name)
    assert isinstance(reader, PipelineText)
    codec = _codec(parts, path)
    config = _config(parts, path, text, reader, codec)
    condition = _condition(parts, path, reader, codec)
    denoiser = NetworkDenoiser(
        parts.unet,
        processes.build(config["process"]),
        predictions.build(config["prediction"]),
        labels.build(config["label"]),
        Conditioner({NAME: condition}),
    )
    denoiser.eval().requires_grad_(False)
    return Run(path, config, denoiser, codec, tuple(config["shape"]), {})


def _check_parts(changes: Sequence[tuple[Lora, float]], parts: Pipeline) -> None:
    """``InputError`` for changes of parts that the pipeline has not."""
    known = {UNET, TEXT, *([TEXT_2] if parts.xl else [])}
    for lora, _ in changes:
        if not set(lora.changes) <= known:
            raise InputError(
                f"{lora.name} changes a second text encoder, which is Stable Diffusion XL's; this "
                "pipeline is not."
            )


def _codec(parts: Pipeline, path: Path) -> NetworkCodec:
    """Pictures from 0 to 255 to latents times their scale."""
    network = parts.autoencoder.eval().requires_grad_(False)
    channels = network.latent_channels
    mean, std = torch.zeros(1, channels), torch.full((1, channels), 1 / parts.scale)
    sha256 = weights_sha256({**network.state_dict(), "std": std})
    return NetworkCodec(network, Range(0, 255), 3, Figures(mean, std, sha256), f"{path.name}/vae")


def _condition(
    parts: Pipeline, path: Path, reader: PipelineText, codec: NetworkCodec
) -> EncodedText:
    """The condition of a text with the pipeline's own null."""
    settings = {key: value for key, value in reader.condition.items() if key != "name"}
    if reader.width != parts.options["token_width"]:
        raise InputError(
            f"The text encoders in {path} give {reader.width} numbers a token, and its U-Net takes "
            f"{parts.options['token_width']}; they are not of one model."
        )
    width = parts.unet.embedding_width
    condition = EncodedText(**settings, width=width, factor=codec.network.factor)
    zeros = parts.xl and bool(parts.index.get("force_zeros_for_empty_prompt", True))
    if not zeros:
        condition.absent.copy_(reader.empty())
    if condition.vector is not None and parts.vector is not None:
        own, theirs = condition.vector.state_dict(), parts.vector.state_dict()
        if any(own[key].shape != value.shape for key, value in theirs.items()):
            raise InputError(
                f"The second text encoder in {path} gives {reader.pooled_width} numbers, and its "
                "U-Net takes others; they are not of one model."
            )
        condition.vector.load_state_dict(theirs)
    return condition


def _config(
    parts: Pipeline, path: Path, text: Config, reader: PipelineText, codec: NetworkCodec
) -> dict[str, Any]:
    """What the run is made of, as plain data."""
    process, prediction, _ = process_of(parts.scheduler)
    side = parts.size * codec.network.factor
    sampling = sampling_of(parts.scheduler, None if parts.xl else 1)
    return {
        "system": SYSTEM,
        "shape": [3, side, side],
        "codec": {"name": "autoencoder", "run": str(path / "vae")},
        "text": text,
        "process": process,
        "prediction": prediction,
        "label": {"name": "time", "steps": float(process["steps"])},
        "network": {"name": "transformer-unet"},
        "conditions": {NAME: {**reader.condition, "drop": DROP}},
        "training": {"seed": 0},
        # One picture at a time: such a network fills a processor with one.
        "sampling": {
            **sampling,
            "steps": STEPS,
            "guidance": GUIDANCE_XL if parts.xl else GUIDANCE,
            "batch": 1,
        },
    }
