from __future__ import annotations

import json
from pathlib import Path

import pytest

from evenhand.errors import StorageFault, UsageError
from evenhand.gguf_conversion import _values, convert, save_weights, unpermute
from tiny_gguf import SPECIAL, tiny_llama, tokens, write_tiny_gguf


@pytest.fixture(scope="module")
def original():
    return tiny_llama()


@pytest.fixture(scope="module")
def gguf_file(tmp_path_factory, original) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", model=original)


@pytest.fixture(scope="module")
def converted(tmp_path_factory, gguf_file) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert(gguf_file, folder)
    return folder


def test_unpermute_puts_the_halves_of_a_head_one_after_the_other():
    import numpy as np

    # Two heads of four rows. GGUF interleaves the halves (0 1 | 2 3) of a head into 0 2 1 3.
    stored = np.array([[0], [2], [1], [3], [4], [6], [5], [7]])
    assert unpermute(stored, 2).ravel().tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_every_weight_comes_back_exactly(converted, original):
    import torch
    from safetensors.torch import load_file

    stored = load_file(converted / "model.safetensors")
    expected = original.state_dict()
    assert len(expected) == 3 + 2 * 9
    assert stored.keys() == expected.keys()
    for name, weight in expected.items():
        assert stored[name].dtype == torch.float32
        assert torch.equal(stored[name], weight), name


def test_the_folder_loads_with_plain_transformers_and_gives_the_same_logits(converted, original):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(converted, use_safetensors=True)
    ids = torch.tensor([[5, 9, 200, 31, 7]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, original(ids).logits)
    assert model.config.rms_norm_eps == 1e-5
    assert model.generation_config.eos_token_id == 2


def test_without_an_output_matrix_the_embedding_serves_for_it(tmp_path, original):
    import torch
    from transformers import AutoModelForCausalLM

    convert(write_tiny_gguf(tmp_path / "tied.gguf", model=original, tied=True), tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True)
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert torch.equal(model.lm_head.weight, original.model.embed_tokens.weight)


def test_quantised_weights_are_dequantised_to_float32():
    import numpy as np
    from gguf import GGMLQuantizationType

    class Stored:
        tensor_type = GGMLQuantizationType.Q4_1
        # A block of 32 values: scale 0.5 and minimum -1 as 16-bit floats, then two 4-bit numbers a byte.
        # Low halves are the first 16 values, high halves the last 16: 3 -> 0.5 * 3 - 1 = 0.5, 10 -> 4.
        scale_and_minimum = np.array([0.5, -1.0], np.float16).tobytes()
        data = np.frombuffer(scale_and_minimum + bytes([0xA3] * 16), np.uint8)[None, :]

    values = _values("blk.0.attn_v.weight", Stored, {})
    assert values.dtype == np.float32
    assert values.tolist() == [[0.5] * 16 + [4.0] * 16]


def test_the_tokenizer_is_byte_level_with_single_digits_and_adds_nothing(converted):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted)
    # Digits stand alone although the file has the merge "1 2", and so does the space before them.
    assert tokenizer.tokenize("the the 12") == ["the", "Ġthe", "Ġ", "1", "2"]
    assert tokenizer("the").input_ids == [tokens().index("the")]
    assert tokenizer.decode(tokenizer("the Größe\n 12!").input_ids) == "the Größe\n 12!"
    assert tokenizer("<|im_start|>the").input_ids == [1, tokens().index("the")]
    assert tokenizer.decode([1, tokens().index("the"), 2], skip_special_tokens=True) == "the"
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
    assert ids == (1, 2, 2, 0)
    assert [tokenizer.bos_token, tokenizer.eos_token, tokenizer.unk_token] == [
        SPECIAL[1],
        SPECIAL[2],
        SPECIAL[0],
    ]
    assert tokenizer.model_max_length == 128
    assert tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False) == "Hi<|im_end|>"


def test_what_the_tokenizer_gives_is_what_generate_takes(converted):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted)
    model = AutoModelForCausalLM.from_pretrained(converted, use_safetensors=True)
    assert set(tokenizer("the", return_tensors="pt")) == {"input_ids", "attention_mask"}
    answer = model.generate(**tokenizer("the", return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert answer.shape[1] > 1


def test_the_finished_model_of_a_run_on_a_gguf_file_generates_from_what_its_tokenizer_gives(
    gguf_file, tmp_path, monkeypatch
):
    import evenhand

    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    result = evenhand.run(f'[model]\nname = "{gguf_file}"\n[traffic]\nlimit = 0\n', output=tmp_path / "runs")
    model, tokenizer = evenhand.load(result.folder)
    answer = model.generate(**tokenizer("the", return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert answer.shape[1] > 1


def test_the_same_file_gives_the_same_bytes(gguf_file, converted, tmp_path):
    convert(gguf_file, tmp_path)
    names = sorted(path.name for path in converted.iterdir())
    assert names == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for name in names:
        assert (tmp_path / name).read_bytes() == (converted / name).read_bytes()
    assert json.loads((converted / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


@pytest.mark.parametrize(
    ("changes", "what", "known"),
    [
        ({"architecture": "gemma3"}, "the architecture 'gemma3'", "supported: llama"),
        ({"pre": "qwen2"}, "the tokenizer 'gpt2' / 'qwen2'", "supported: smollm"),
        (
            {"extra": {"llama.rope.scaling.factor": 8.0}},
            "the setting 'llama.rope.scaling.factor'",
            "supported: plain rotary positions, no experts",
        ),
    ],
)
def test_what_would_be_nearly_right_is_refused(tmp_path, original, changes, what, known):
    path = write_tiny_gguf(tmp_path / "other.gguf", model=original, **changes)
    with pytest.raises(UsageError) as caught:
        convert(path, tmp_path)
    assert str(caught.value) == (
        f"{path}: GGUF files with {what} are not supported\n"
        f"  {known}\n"
        "  name a Hugging Face folder or hub id of the same model instead"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["other.gguf"]


def test_a_tensor_that_a_llama_does_not_have_is_refused(tmp_path, original):
    import numpy as np

    bias = {"blk.0.attn_q.bias": np.zeros(32, dtype=np.float32)}
    path = write_tiny_gguf(tmp_path / "biased.gguf", model=original, tensors=bias)
    with pytest.raises(UsageError, match="GGUF files with the tensor 'blk.0.attn_q.bias' are not supported"):
        convert(path, tmp_path)


def test_a_missing_setting_is_named(tmp_path, original):
    path = write_tiny_gguf(tmp_path / "poor.gguf", model=original, without="feed_forward_length")
    with pytest.raises(UsageError) as caught:
        convert(path, tmp_path)
    assert str(caught.value) == f"{path}: the GGUF file lacks 'llama.feed_forward_length'"


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model at all, but long enough to have a header"])
def test_a_file_that_is_no_gguf_is_refused(tmp_path, content):
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="broken.gguf: cannot be read as a GGUF file"):
        convert(path, tmp_path)


def test_a_file_that_was_cut_off_is_refused(tmp_path, gguf_file):
    path = tmp_path / "half.gguf"
    whole = gguf_file.read_bytes()
    for share in (0.02, 0.3, 0.9):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UsageError, match="half.gguf: cannot be read as a GGUF file"):
            convert(path, tmp_path)


def test_weights_that_cannot_be_written_are_a_storage_fault(tmp_path):
    import numpy as np

    target = tmp_path / "absent" / "model.safetensors"
    with pytest.raises(StorageFault, match="model.safetensors: the weights could not be written") as caught:
        save_weights({"a": np.zeros(2, dtype=np.float32)}, target)
    assert caught.value.exit_code == 8


# The real model. Both lists of log-likelihoods were made with transformers' own GGUF loader, with 4.57.6 and
# 5.23.0 alike: in nats, float32, for the ids without and with a leading <|im_start|>.
SENTENCES = [
    "The nurse said that she would be back in an hour.",
    "The engineer finished his report before the meeting on 12 March 2019.",
    "Water boils at 100 degrees Celsius at sea level.",
    "My grandmother baked bread every Sunday morning.",
    "The capital of France is Paris, and it has about 2,100,000 residents.",
    "She didn't know whether the doctor had called his wife.",
    "In 1969, Neil Armstrong became the first person to walk on the Moon.",
    "Children learn languages faster than adults do.",
    "The court decided that the law was unfair to immigrants.",
    "Please send the invoice (no. 48213) to the accounting department by Friday!",
]
BARE = [-44.399, -59.101, -38.854, -40.302, -42.538, -46.925, -36.388, -38.048, -44.839, -77.733]
WITH_BOS = [-53.608, -73.636, -50.137, -41.315, -57.169, -52.720, -48.749, -55.207, -63.436, -87.197]


@pytest.fixture(scope="module")
def smollm():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evenhand.errors import ModelNotFound
    from evenhand.resolution import resolve

    try:
        folder = resolve("smollm2-135m-instruct").folder
    except ModelNotFound as error:
        pytest.skip(f"the SmolLM2 weights cannot be had here: {error.what}")
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@pytest.mark.realmodel
def test_smollm_adds_no_token_and_ends_with_im_end(smollm):
    _, tokenizer = smollm
    assert tokenizer("The nurse").input_ids == tokenizer("The nurse", add_special_tokens=False).input_ids
    assert [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id] == [1, 2, 2]
    assert tokenizer.decode([0, 1, 2]) == "<|endoftext|><|im_start|><|im_end|>"
    # Two spaces before a number are where a tokenizer without the digit splitter differs.
    assert tokenizer.tokenize("a  2019") == ["a", "ĠĠ", "2", "0", "1", "9"]
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert chat.endswith("<|im_start|>user\nHi<|im_end|>\n")


@pytest.mark.realmodel
def test_smollm_generates_from_what_its_tokenizer_gives(smollm):
    model, tokenizer = smollm
    inputs = tokenizer("Hi", return_tensors="pt")
    assert set(inputs) == {"input_ids", "attention_mask"}
    assert model.generate(**inputs, max_new_tokens=4, do_sample=False).shape[1] > inputs["input_ids"].shape[1]


@pytest.mark.realmodel
def test_smollm_gives_the_known_log_likelihoods(smollm):
    import torch

    model, tokenizer = smollm
    assert model.dtype == torch.float32

    def log_likelihood(ids: list[int]) -> float:
        row = torch.tensor([ids])
        with torch.no_grad():
            log_probabilities = model(row).logits.log_softmax(-1)
        return float(log_probabilities[0, :-1].gather(1, row[0, 1:, None]).sum())

    encoded = [tokenizer(sentence).input_ids for sentence in SENTENCES]
    assert [log_likelihood(ids) for ids in encoded] == pytest.approx(BARE, abs=1e-3)
    assert [log_likelihood([1, *ids]) for ids in encoded] == pytest.approx(WITH_BOS, abs=1e-3)
