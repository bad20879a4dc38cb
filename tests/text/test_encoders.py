"""Text encoders behind one interface: T5 and CLIP with random weights, MiniLM where it is fetched,
and bytes.
"""

import builtins
import logging

import pytest
import torch

from unfog.core.conditions import conditions
from unfog.data.builtin.packages import folder_of, is_fetched
from unfog.errors import InputError, MissingExtra
from unfog.text import padded, readers
from unfog.text.minilm import PACKAGE

PROMPTS = ["a red heart", "the cat on the dog", "blue"]


def test_t5_gives_the_models_own_states_and_their_mean(t5_folder):
    transformers = pytest.importorskip("transformers")
    encoder = readers.build({"name": "t5", "path": str(t5_folder)})
    states = encoder.encode(PROMPTS)
    assert states.tokens.shape == (3, 6, 16)
    assert states.mask.sum(1).tolist() == [4, 6, 2]
    model = transformers.T5EncoderModel.from_pretrained(t5_folder).eval()
    # "a red heart" and the end, by itself and without padding.
    alone = model(input_ids=torch.tensor([[4, 5, 7, 1]])).last_hidden_state
    assert torch.allclose(states.tokens[:1, :4], alone, atol=1e-5)
    assert not states.tokens[0, 4:].any()
    assert torch.allclose(states.pooled[0], alone[0].mean(0), atol=1e-5)


def test_clip_pools_the_end_of_the_text(clip_folder):
    encoder = readers.build({"name": "clip", "path": str(clip_folder)})
    states = encoder.encode(PROMPTS)
    assert (encoder.width, encoder.pooled_width, encoder.max_tokens) == (16, 16, 8)
    ends = states.mask.sum(1) - 1
    assert torch.allclose(states.pooled, states.tokens[torch.arange(3), ends], atol=1e-5)


def test_a_prompt_is_the_same_in_any_batch(t5_folder, monkeypatch):
    encoder = readers.build({"name": "t5", "path": str(t5_folder)})
    together = encoder.rows(PROMPTS)
    monkeypatch.setattr("unfog.text.pretrained.BATCH", 1)
    for one, all_of_it in zip(encoder.rows(PROMPTS), together, strict=True):
        assert torch.allclose(one, all_of_it, atol=1e-5)


def test_rows_are_the_value_of_the_condition(t5_folder):
    encoder = readers.build({"name": "t5", "path": str(t5_folder)})
    states, values = encoder.encode(PROMPTS), encoder.values(PROMPTS)
    assert values["text"].shape == (3, 7, 16)
    assert torch.equal(values["text"][:, 0], states.pooled)
    assert torch.equal(values["text"][:, 1:], states.tokens)
    assert torch.equal(values["text_mask"][:, 1:], states.mask)
    part = conditions.build({**encoder.condition, "width": 8})
    context = part(values["text"], None, torch.zeros(3, 1, 2, 2), values["text_mask"])
    assert context.vector.shape == (3, 8)
    assert context.token_mask.sum(1).tolist() == [4, 6, 2]


def test_long_prompts_are_cut_and_said(clip_folder, caplog):
    encoder = readers.build({"name": "clip", "path": str(clip_folder)})
    with caplog.at_level(logging.WARNING):
        states = encoder.encode(["red " * 20, "a cat"])
    assert states.mask.sum(1).tolist() == [8, 4]
    assert "22 tokens; the first 8 are read" in caplog.text
    assert torch.allclose(states.tokens[0], encoder.encode(["red " * 6]).tokens[0], atol=1e-5)


@pytest.mark.parametrize("prompts", [[], [""], ["a cat", "  "]])
def test_empty_prompts_are_refused(prompts, t5_folder):
    for section in ({"name": "t5", "path": str(t5_folder)}, {"name": "bytes"}):
        with pytest.raises(InputError, match="prompt is empty"):
            readers.build(section).rows(prompts)


def test_an_encoder_that_has_changed_is_refused(t5_folder, clip_folder):
    sha256 = readers.build({"name": "t5", "path": str(t5_folder)}).sha256
    readers.build({"name": "t5", "path": str(t5_folder), "sha256": sha256})
    weights = t5_folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match="has changed since"):
        readers.build({"name": "t5", "path": str(t5_folder), "sha256": sha256})
    with pytest.raises(InputError, match="of the kind"):
        readers.build({"name": "t5", "path": str(clip_folder)})
    with pytest.raises(InputError, match="holds no text encoder"):
        readers.build({"name": "t5", "path": str(t5_folder / "none")})


def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path):
    real = builtins.__import__

    def refuse(name, *args, **options):
        if name == "transformers":
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtra, match=r"pip install 'unfog\[text\]'"):
        readers.build({"name": "clip", "path": str(tmp_path)})


@pytest.mark.skipif(not is_fetched(PACKAGE), reason="minilm is not fetched")
def test_minilm_pools_as_sentence_transformers_does():
    transformers = pytest.importorskip("transformers")
    encoder = readers.build("minilm")
    states = encoder.encode(["a red heart", "a crimson heart", "the price of oil rose"])
    folder = folder_of(PACKAGE)
    tokeniser = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        alone = model(**tokeniser("a red heart", return_tensors="pt")).last_hidden_state[0]
    mean = alone.mean(0)
    assert torch.allclose(states.pooled[0], mean / mean.norm(), atol=1e-5)
    likeness = states.pooled @ states.pooled.T
    assert likeness[0, 1] > 0.6 > 0.3 > likeness[0, 2]


def test_bytes_are_the_models_own_condition():
    reader = readers.build({"name": "bytes", "max_tokens": 8})
    values = reader.values(["red", "é"])
    assert values["text"].tolist() == [[114, 101, 100], [195, 169, 0]]
    assert values["text_mask"].sum(1).tolist() == [3, 2]
    torch.manual_seed(0)
    part = conditions.build({**reader.condition, "width": 6, "token_width": 8, "heads": 2})
    x = torch.zeros(2, 1, 2, 2)
    context = part(values["text"], None, x, values["text_mask"])
    assert (context.vector.shape, context.tokens.shape) == ((2, 6), (2, 4, 8))
    # Its weights learn, from the tokens and from the vector.
    (context.vector.sum() + context.tokens[context.token_mask].pow(3).sum()).backward()
    assert part.byte.weight.grad[114].abs().sum() > 0
    assert part.byte.weight.grad[97].abs().sum() == 0
    # Padding changes nothing, and other bytes do.
    alone = part(*padded(reader.rows(["é"]))[:1], None, x[:1])
    assert torch.allclose(alone.vector[0], context.vector[1], atol=1e-5)
    assert not torch.allclose(context.vector[0], context.vector[1], atol=1e-2)


def test_a_byte_text_of_which_nothing_is_there_is_the_null():
    part = conditions.build({"name": "bytes", "length": 4, "width": 6, "token_width": 8})
    x = torch.zeros(1, 1, 2, 2)
    hidden = part(torch.zeros(1, 4), None, x, torch.zeros(1, 4, dtype=torch.bool))
    assert torch.isfinite(hidden.tokens).all()
    assert torch.allclose(hidden.vector, part(None, None, x).vector)
    assert hidden.token_mask.tolist() == [[False] * 4 + [True]]


def test_bytes_are_cut_and_said(caplog):
    with caplog.at_level(logging.WARNING):
        (row,) = readers.build({"name": "bytes", "max_tokens": 4}).rows(["a red heart"])
    assert bytes(row.tolist()) == b"a re"
    assert "11 tokens; the first 4 are read" in caplog.text
