"""What `toolkit validate` knows of model and texts before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from evenhand.cli import toolkit
from evenhand_sdk.tiny import save_tiny

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path


def validated(
    model: str, *, step: str = "pair-parity", more: str = "", train: str = 'train = "builtin:everyday"'
) -> Result:
    text = f'[model]\nname = "{model}"\n[data]\n{train}\n[[steps]]\nuse = "{step}"\n[[benchmarks]]\nuse = "pair-gap"\n'
    Path("my.toml").write_text(text + more)
    return CliRunner().invoke(toolkit, ["validate", "my.toml"])


@pytest.mark.parametrize("model", ["./bert", "minilm-l6-body"], ids=["a folder", "the shelf"])
def test_a_step_for_another_kind_of_model_is_told_without_loading_it(place: Path, model: str) -> None:
    save_tiny(place / "bert", family="bert")
    (place / "bert" / "model.safetensors").unlink()
    (place / "bert" / "model.safetensors").write_bytes(b"not read")
    result = validated(model, step="expert-guidance")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is a masked language model: step 'expert-guidance' needs a causal model\n" in result.stderr
    assert validated(model).exit_code == 0


def test_an_inactive_step_of_another_kind_is_no_mistake(place: Path) -> None:
    save_tiny(place / "bert", family="bert")
    result = validated("./bert", step="expert-guidance", more='[[steps]]\nuse = "pair-parity"\n')
    assert result.exit_code == 2
    text = Path("my.toml").read_text().replace('use = "expert-guidance"\n', 'use = "expert-guidance"\nactive = false\n')
    Path("my.toml").write_text(text)
    assert CliRunner().invoke(toolkit, ["validate", "my.toml"]).exit_code == 0


def test_a_model_that_only_the_hub_may_have_is_named_with_what_was_probably_meant() -> None:
    result = validated("smollm2-135m-instuct")
    assert result.exit_code == 0
    assert result.stdout.endswith(
        "\nNote: the model 'smollm2-135m-instuct' is on no shelf and in no folder here: the run will ask the hub for "
        "it; did you mean 'smollm2-135m-instruct'? `toolkit models` lists the names.\n"
    )
    assert "Note" not in validated("smollm2-135m-instruct").stdout


def test_off_line_a_model_that_is_not_here_is_missing() -> None:
    result = validated("some/model", more="[run]\noffline = true\n")
    assert result.exit_code != 0
    assert "model 'some/model': it would have to be downloaded from the hub, and the run is off-line" in result.stderr
    assert "hub cache: no complete copy on this machine" in result.stderr
    text = Path("my.toml").read_text().replace('"some/model"', '"some/model"\nendpoint = "http://localhost:8000/v1"')
    Path("my.toml").write_text(text)
    served = CliRunner().invoke(toolkit, ["validate", "my.toml"])
    assert "downloaded" not in served.stderr and "Note" not in served.stdout


def test_a_training_text_that_nobody_named_is_told() -> None:
    said = "\nNote: [data] names no text, so the training reads builtin:everyday.\n"
    assert validated("smollm2-135m-instruct", train="").stdout.endswith(said)
    assert "Note" not in validated("smollm2-135m-instruct", step="counterfactual-averaging", train="").stdout


def test_a_word_where_a_list_belongs_is_shown_as_a_list() -> None:
    text = 'use = "pair-parity"\naxes = "gender"\n'
    Path("list.toml").write_text(f'[model]\nname = "smollm2-135m-instruct"\n[[steps]]\n{text}')
    result = CliRunner().invoke(toolkit, ["validate", "list.toml"])
    assert result.stderr == "list.toml: 1 problem\n  - steps[1].axes: 'gender' is not a list; write [\"gender\"]\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"\xef\xbb\xbftext,label\nShe is a nurse.,1\n"),
        ("a.tsv", b"text\tlabel\nShe is a nurse.\t1\n"),
        ("a.jsonl", b'{"text": "She is a nurse."}\n\n{"text": "He is.", "label": 1}\n'),
    ],
)
def test_a_column_that_a_file_does_not_have_is_told_before_any_work(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    result = validated("smollm2-135m-instruct", train=f'train = "{name}"\ncolumn = "body"')
    assert result.stderr == (
        f"data '{name}': the data set has no column 'body'\n  its columns: text, label\n  set data.column\n"
    )
    assert validated("smollm2-135m-instruct", train=f'train = "{name}"\ncolumn = "label"').exit_code == 0


def test_columns_of_parquet() -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"text": ["She."]}), "a.parquet")
    assert "its columns: text\n" in validated("m/n", train='train = "a.parquet"\ncolumn = "body"').stderr


@pytest.mark.parametrize(
    "content",
    [b"{bad\n", b"[1]\n", b"\xff\n", b'{"text": "a"}\n' * 1001],
    ids=["bad", "list", "bytes", "long"],
)
def test_what_only_reading_it_all_can_tell_is_no_mistake_yet(content: bytes) -> None:
    Path("a.jsonl").write_bytes(content)
    assert validated("smollm2-135m-instruct", train='train = "a.jsonl"\ncolumn = "body"').exit_code == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", b""), ("a.txt", b" \n\n"), ("a.csv", b"text,label\n"), ("a.jsonl", b""), ("a.json", b"[]\n")],
)
def test_a_training_text_without_rows_is_told_before_any_work(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)
    result = validated("smollm2-135m-instruct", train=f'train = "{name}"')
    assert (result.exit_code != 0, result.stderr) == (True, f"{name}: the file has no rows\n  name a file with rows\n")
    Path(name).write_bytes(content + b'{"text": "a"}\n')
    assert "has no rows" not in validated("smollm2-135m-instruct", train=f'train = "{name}"').stderr


def test_a_text_file_has_no_other_column() -> None:
    Path("a.txt").write_text("She is a nurse.\n")
    result = validated("smollm2-135m-instruct", train='train = "a.txt"\ncolumn = "body"')
    assert result.stderr == "data 'a.txt': the data set has no column 'body'\n  its columns: text\n  set data.column\n"
    both = 'train = ["a.txt", "builtin:everyday"]\ncolumn = "body"'
    assert validated("smollm2-135m-instruct", train=both).exit_code == 0


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("mgda", "pcgrad", "has one aggregator, and 2 steps bring one: mgda, pcgrad;"),
        ("adversarial", "pcgrad", "has one aggregator, and 2 steps bring one: adversarial, pcgrad;"),
        (
            "early-stopping",
            "early-stopping",
            "has one criterion, and 2 steps bring one: early-stopping, b (early-stopping);",
        ),
    ],
)
def test_two_steps_of_which_a_training_takes_one_are_told_before_any_work(first: str, second: str, said: str) -> None:
    more = f'[[steps]]\nuse = "{second}"\nid = "b"\n' if first == second else f'[[steps]]\nuse = "{second}"\n'
    result = validated("smollm2-135m-instruct", step=first, more=more)
    assert result.exit_code == 2
    assert f"steps: a training {said} leave out all but one, or put a `train` between them" in result.stderr
    apart = f'[[steps]]\nuse = "train"\n{more}[[steps]]\nuse = "train"\nid = "again"\n'
    assert validated("smollm2-135m-instruct", step=first, more=apart).exit_code == 0
    if first != second:
        assert validated("smollm2-135m-instruct", step=first, more=f"{more}strength = 0.0\n").exit_code == 0


def test_a_folder_that_was_mistyped_is_named_where_the_hub_may_not_be_asked(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_tiny(place / "tiny-llama")
    assert "it; did you mean the folder 'tiny-llama'?" in validated("tiny-lama").stdout
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = validated("tiny-lama")
    assert result.exit_code != 0
    first, *_, last = result.stderr.splitlines()
    assert first == ("model 'tiny-lama': it would have to be downloaded from the hub, and HF_HUB_OFFLINE is set")
    assert last == "  did you mean the folder 'tiny-llama'?"
    far = validated("some/model")
    assert far.exit_code == 0, "the run may be on another machine"
    assert "in no folder here: HF_HUB_OFFLINE is set, so only its cache has it.\n" in far.stdout


def test_plain_lines_beside_a_file_with_columns_are_text() -> None:
    Path("a.csv").write_text("text\nShe is a nurse.\n")
    Path("b.csv").write_text("body,label\nHe is a nurse.,1\n")
    train = 'train = ["a.csv", "b.csv", "builtin:everyday"]\ncolumn = "body"'
    assert validated("smollm2-135m-instruct", train=train).exit_code == 0


def test_what_a_plugin_remarks_on_its_options_is_told() -> None:
    """Texts about a gender (2), a race (6), a religion (7), one of 7 nationalities that are read, and an age (2)."""
    step = "counterfactual-averaging"
    assert "is read" not in validated("tiny", step=step).stdout
    axes = '["gender", "race", "religion", "nationality", "age"]'
    text = Path("my.toml").read_text().replace(f'use = "{step}"\n', f'use = "{step}"\naxes = {axes}\n')
    Path("my.toml").write_text(text)
    result = CliRunner().invoke(toolkit, ["validate", "my.toml"])
    assert result.exit_code == 0
    assert result.stdout.endswith(
        f"\nNote: steps.{step}: a text that names groups of gender, race, religion, nationality and age is read "
        f"{2 * 6 * 7 * 7 * 2:,} times for one token or mask, and more than 1,024 times are refused.\n"
    )
