"""Small text models with random weights, in folders as ``transformers`` writes them."""

import pytest
import torch

WORDS = ["a", "red", "blue", "heart", "cat", "dog", "the", "on"]
MARKS = {"<pad>": 0, "</s>": 1, "<unk>": 2, "<s>": 3}


def _tokeniser(template):
    """Words by number, with the marks of begin and end that the template says."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {**MARKS, **{word: 4 + k for k, word in enumerate(WORDS)}}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[("<s>", 3), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.fixture
def t5_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.T5Config(
        vocab_size=12, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    torch.manual_seed(0)
    folder = tmp_path / "t5"
    transformers.T5EncoderModel(config).save_pretrained(folder)
    _tokeniser("$A </s>").save_pretrained(folder)
    return folder


@pytest.fixture
def clip_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=12,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8,
        bos_token_id=3,
        eos_token_id=1,
        pad_token_id=0,
    )
    torch.manual_seed(0)
    folder = tmp_path / "clip"
    transformers.CLIPTextModel(config).save_pretrained(folder)
    _tokeniser("<s> $A </s>").save_pretrained(folder)
    return folder
