"""Frozen text encoders of ``transformers``: T5 and CLIP, from a folder on this machine."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfog.errors import InputError, MissingExtra
from unfog.text.encoder import TextEncoder, TextStates, readers, require_prompts, say_cut

BATCH = 32  # prompts at a time
SUFFIXES = (".json", ".safetensors", ".txt", ".model")  # of the files that a model is


class PretrainedEncoder(TextEncoder):
    """An encoder of ``transformers`` with its tokeniser, from a local folder; nothing is fetched,
    and no code of the folder is run.

    Args:
        path: The folder: config.json, model.safetensors and the tokeniser's files.
        max_tokens: The most tokens of a prompt, the marks of begin and end among them.
        sha256: Of the folder's files, as a model trained on them was told; None is not checked.

    Raises:
        InputError: ``transformers`` is missing, the folder holds no such model, or has changed.
    """

    model_class: str  # of ``transformers``
    kind: str  # as the folder's config.json calls it

    def __init__(self, path: str, max_tokens: int, sha256: str | None = None) -> None:
        transformers = transformers_package()
        folder = Path(path)
        if not (folder / "config.json").is_file():
            raise InputError(
                f"{path} holds no text encoder (there is no config.json); give the folder of a "
                f"{self.kind} model by --set text.path=DIR."
            )
        self.sha256 = folder_sha256(folder)
        if sha256 is not None and sha256 != self.sha256:
            raise InputError(
                f"The text encoder in {path} has changed since the model was trained on it (its "
                "SHA-256 differs); restore it, or train the model again."
            )
        try:
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
            if config.model_type not in (self.kind, f"{self.kind}_text_model"):
                raise InputError(
                    f"{path} holds a model of the kind {config.model_type!r}, not {self.kind!r}; "
                    "choose the text encoder of that name."
                )
            self.tokeniser = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True
            )
            model = getattr(transformers, self.model_class).from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"The text encoder in {path} cannot be read ({type(error).__name__}); it needs "
                "config.json, model.safetensors and the tokeniser's files."
            ) from error
        self.model: Any = model.float().eval().requires_grad_(False)
        # What the user, the tokeniser and the model's positions allow.
        positions = getattr(self.model.config, "max_position_embeddings", max_tokens)
        self.max_tokens = int(min(max_tokens, self.tokeniser.model_max_length, positions))
        self.width = int(self.model.config.hidden_size)
        self.pooled_width = self.width

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> TextStates:
        texts = require_prompts(prompts)
        tokens = self.tokeniser(texts)["input_ids"]
        for text, ids in zip(texts, tokens, strict=True):
            if len(ids) > self.max_tokens:
                say_cut(text, len(ids), self.max_tokens)
        parts = [self._states(texts[k : k + BATCH]) for k in range(0, len(texts), BATCH)]
        # Batches differ in their longest prompt.
        longest = max(part.tokens.shape[1] for part in parts)
        pads = [(0, longest - part.tokens.shape[1]) for part in parts]
        pad = torch.nn.functional.pad
        return TextStates(
            torch.cat([pad(p.tokens, (0, 0, *by)) for p, by in zip(parts, pads, strict=True)]),
            torch.cat([pad(p.mask, by) for p, by in zip(parts, pads, strict=True)]),
            torch.cat([part.pooled for part in parts]),
        )

    def _states(self, texts: list[str]) -> TextStates:
        """The states of a batch of prompts."""
        # Padding on the right, whatever the tokeniser's own side is.
        encoded = self.tokeniser(
            texts,
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            return_tensors="pt",
            padding_side="right",
        )
        ids, mask = encoded["input_ids"], encoded["attention_mask"]
        output = self.model(input_ids=ids, attention_mask=mask)
        there = mask.bool()
        states = output.last_hidden_state.float() * mask[..., None]
        return TextStates(states, there, self.pool(output, states, there))

    @abstractmethod
    def pool(self, output: Any, states: Tensor, mask: Tensor) -> Tensor:
        """The pooled vector of each prompt.

        Args:
            output: The model's output.
            states: Of the tokens, (prompts, T, width).
            mask: (prompts, T), True where there is a token.

        Returns:
            (prompts, pooled width).
        """


@readers.register("t5")
class T5(PretrainedEncoder):
    """The encoder of T5 (Raffel et al. 2020), as Imagen has it (Saharia et al. 2022); its pooled
    vector is the mean of the token states.
    """

    model_class, kind = "T5EncoderModel", "t5"

    def __init__(self, path: str = "", max_tokens: int = 128, sha256: str | None = None) -> None:
        super().__init__(path, max_tokens, sha256)

    def pool(self, output: Any, states: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(states, mask)


@readers.register("clip")
class Clip(PretrainedEncoder):
    """CLIP's text model (Radford et al. 2021), as Stable Diffusion has it; its pooled vector is the
    state of the end of the text.
    """

    model_class, kind = "CLIPTextModel", "clip"

    def __init__(self, path: str = "", max_tokens: int = 77, sha256: str | None = None) -> None:
        super().__init__(path, max_tokens, sha256)

    def pool(self, output: Any, states: Tensor, mask: Tensor) -> Tensor:
        pooled: Tensor = output.pooler_output.float()
        return pooled


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """The mean of the states (prompts, T, width) that the mask (prompts, T) has: (prompts,
    width).
    """
    weights = mask.to(states.dtype)[..., None]
    return (states * weights).sum(1) / weights.sum(1)


def folder_sha256(folder: Path) -> str:
    """The SHA-256 of a model's files in a folder: their names and bytes."""
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES and p.is_file()):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        digest.update(f"{file.name} {content}\n".encode())
    return digest.hexdigest()


def transformers_package() -> Any:
    """The package ``transformers``, quiet."""
    try:
        import transformers
    except ImportError as error:
        raise MissingExtra("text", "transformers") from error
    package: Any = transformers
    package.utils.logging.set_verbosity_error()
    package.utils.logging.disable_progress_bar()
    return package
