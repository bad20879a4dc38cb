"""Text for models of pictures: what reads captions and prompts. Importing it registers all."""

from unfog.text import byte_level, minilm, pretrained  # noqa: F401  (each registers its readers)
from unfog.text.encoder import PromptReader, TextEncoder, TextStates, padded, readers

__all__ = ["PromptReader", "TextEncoder", "TextStates", "padded", "readers"]
