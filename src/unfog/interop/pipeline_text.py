"""The text encoders of a pipeline of Stable Diffusion, by ``transformers``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError
from unfog.files.weight_files import read_header
from unfog.interop.lora import flat_names, read_lora, with_loras
from unfog.text.encoder import TextEncoder, TextStates, readers, require_prompts, say_cut
from unfog.text.pretrained import folder_sha256, transformers_package

WEIGHTS = "model.safetensors"
# Of a pipeline's folders: the tokeniser, the encoder, and its class.
ENCODERS = (
    ("tokenizer", "text_encoder", "CLIPTextModel"),
    ("tokenizer_2", "text_encoder_2", "CLIPTextModelWithProjection"),
)


@readers.register("stable-diffusion")
class PipelineText(TextEncoder):
    """The CLIP encoders of a pipeline's folder: one, whose last states are the tokens, or XL's two,
    whose last states but one stand side by side and of which the second gives the pooled state.
    Texts are padded to one length, and what they are padded with is seen.

    Args:
        path: The pipeline's folder.
        loras: Files of changes of its encoders' weights, each with its share and its SHA-256.
        sha256: Of all of them, as of ``text_sha256``; None is not checked.

    Raises:
        InputError: ``transformers`` is missing, a part of the folder cannot be read, or has
            changed.
    """

    def __init__(
        self, path: str, loras: Sequence[Sequence[Any]] = (), sha256: str | None = None
    ) -> None:
        package, folder = transformers_package(), Path(path)
        self.sha256 = text_sha256(folder, loras)
        if sha256 not in (None, self.sha256):
            raise InputError(f"The text encoders in {path} or a LoRA of them have changed.")
        self.double = (folder / ENCODERS[1][1]).is_dir()
        self.tokenisers, self.models = [], dict[str, Any]()
        for tokeniser, encoder, kind in ENCODERS if self.double else ENCODERS[:1]:
            self.tokenisers.append(_loaded(package.CLIPTokenizer, folder / tokeniser))
            read_header(folder / encoder / WEIGHTS)
            model = _model(getattr(package, kind), folder / encoder)
            self.models[encoder] = model.float().eval().requires_grad_(False)
        changes = [(read_lora(Path(file)), float(share)) for file, share, *_ in loras]
        for part, model in self.models.items():
            state = model.state_dict()
            model.load_state_dict(with_loras(part, state, changes, flat_names(state)))
        configs = [model.config for model in self.models.values()]
        lengths = [tokeniser.model_max_length for tokeniser in self.tokenisers]
        positions = [config.max_position_embeddings for config in configs]
        self.max_tokens = int(min(*lengths, *positions))
        self.width = sum(int(config.hidden_size) for config in configs)
        self.pooled_width = int(configs[-1].projection_dim) if self.double else 0

    @property
    def condition(self) -> dict[str, Any]:  # type: ignore[override]
        return {
            "name": "encoded-text",
            "size": self.width,
            "length": self.max_tokens,
            "pooled_size": self.pooled_width,
        }

    def encode(self, prompts: Sequence[str]) -> TextStates:
        texts = require_prompts(prompts)
        for text, ids in zip(texts, self.tokenisers[-1](texts)["input_ids"], strict=True):
            if len(ids) > self.max_tokens:
                say_cut(text, len(ids), self.max_tokens)
        return self._states(texts)

    def empty(self) -> Tensor:
        """The value (1 + length, numbers) of the empty text."""
        return self._states([""]).rows()[0]

    @torch.no_grad()
    def _states(self, texts: list[str]) -> TextStates:
        """The states of texts, all of one length."""
        tokens, pooled = list[Tensor](), torch.zeros(len(texts), 0)
        for tokeniser, model in zip(self.tokenisers, self.models.values(), strict=True):
            encoded = tokeniser(
                texts,
                padding="max_length",
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
            output = model(encoded["input_ids"], output_hidden_states=True)
            if self.double:
                tokens.append(output.hidden_states[-2])
                pooled = output[0]
            else:
                tokens.append(output.last_hidden_state)
        states = torch.cat(tokens, 2)
        return TextStates(states, torch.ones(states.shape[:2], dtype=torch.bool), pooled)


def text_sha256(folder: Path, loras: Sequence[Sequence[Any]] = ()) -> str:
    """The SHA-256 of a pipeline's tokenisers, text encoders and their changes."""
    digest = hashlib.sha256()
    for part in (name for row in ENCODERS for name in row[:2]):
        if (folder / part).is_dir():
            digest.update(f"{part} {folder_sha256(folder / part)}\n".encode())
    for _, share, sha256 in loras:
        digest.update(f"{sha256} {share}\n".encode())
    return digest.hexdigest()


def _model(kind: Any, folder: Path) -> Any:
    """A text encoder; ``InputError`` where its file lacks a weight, which would be drawn anew."""
    told = {"use_safetensors": True, "output_loading_info": True}
    model, info = _loaded(kind, folder, **told)
    if info["missing_keys"]:
        raise InputError(
            f"{folder / WEIGHTS} has no {min(info['missing_keys'])!r}, which its configuration "
            "asks for; fetch it again."
        )
    return model


def _loaded(kind: Any, folder: Path, **options: Any) -> Any:
    """A part of a pipeline by ``transformers``, of files on this machine alone."""
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        raise InputError(
            f"{folder} cannot be read as a {kind.__name__} ({type(error).__name__}); fetch it "
            "again."
        ) from error
