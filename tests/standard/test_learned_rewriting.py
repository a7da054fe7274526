"""Learned rewriting: the off-line form chooses by the model; a named model's texts pass the same bounds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from data_steps import applied
from datasets import Dataset

from evenhand.errors import ModelNotFound
from evenhand_sdk import UsageError, load_axis
from evenhand_sdk.data_rows import Row
from evenhand_standard.data import rewriter_models
from evenhand_standard.data.learned_rewriting import LearnedRewriting, refusal

TEXTS = ["She sold her boat.", "Rain fell.", "The king was with his wife."]


@pytest.fixture
def run(tiny: Any, run_of: Any) -> Any:
    return run_of(*tiny())


def rows_of(texts: list[Any]) -> Dataset:
    return Dataset.from_dict({"text": texts})


def test_without_a_model_it_is_refused_unless_the_offline_form_is_chosen() -> None:
    with pytest.raises(UsageError, match='names no model: set `model` .* or set rewriter = "engine"'):
        LearnedRewriting()
    assert LearnedRewriting(rewriter="engine").options.model is None


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_the_model_chooses_the_likelier_reading(tiny: Any, run_of: Any, kind: str) -> None:
    run = run_of(*tiny(kind), kind)
    readings = ["He sold his boat.", "He sold him boat."]
    scores = [s.total for s in run.services.score(readings)]
    out, facts, account = applied(LearnedRewriting, run, rows_of(TEXTS), rewriter="engine")
    made = [row["text"] for row in out if row["evenhand_step"]]
    best = readings[scores[1] > scores[0]]
    assert made[0] == best and len(made) == account.added == 2
    assert facts["texts that name a group"] == facts["rewrites"] == 2
    assert facts["rewrites in another reading than the rules'"] >= (best == readings[1])
    assert list(out["evenhand_group"])[:2] == ["", "male"]


def test_bounds_on_distance_and_similarity_are_kept(run: Any) -> None:
    _, facts, account = applied(LearnedRewriting, run, rows_of(TEXTS), rewriter="engine", max_edits=1)
    assert account.added == 0 and facts["not accepted: too far from the text"] == 2
    _, _, account = applied(LearnedRewriting, run, rows_of(TEXTS), rewriter="engine", min_similarity=0.99)
    assert account.added == 0


def test_strength_takes_nested_shares_and_0_is_the_data_itself(run: Any) -> None:
    rows = rows_of([f"She has {k} books." for k in range(60)])
    made = []
    for strength in (0.3, 0.7, 1.0):
        out, _, _ = applied(LearnedRewriting, run, rows, rewriter="engine", strength=strength)
        made.append({row["text"] for row in out if row["evenhand_step"]})
    assert made[0] < made[1] < made[2] and len(made[2]) == 60
    assert applied(LearnedRewriting, run, rows, rewriter="engine", strength=0.0)[0] is rows


def test_texts_that_strength_leaves_out_are_not_asked_for(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fake(place: str, prompt: str, device: str, *, offline: bool) -> Any:
        return lambda part: [asked.append(text) or text.replace("She", "He") for _, _, text in part]

    monkeypatch.setattr(rewriter_models, "rewriter", fake)
    rows = rows_of([f"She has {k} books." for k in range(60)])
    _, _, account = applied(LearnedRewriting, run, rows, model="m", strength=0.3)
    assert 0 < account.added < 40 and len(asked) == account.added


@pytest.mark.parametrize("rewriter", ["engine", "model"])
def test_a_stream_is_rewritten_as_it_is_read(run: Any, monkeypatch: pytest.MonkeyPatch, rewriter: str) -> None:
    loaded: list[str] = []

    def fake(place: str, prompt: str, device: str, *, offline: bool) -> Any:
        loaded.append(place)
        return lambda part: [text.replace("She", "He") for _, _, text in part]

    monkeypatch.setattr(rewriter_models, "rewriter", fake)
    rows = rows_of([f"She has {k} books." if k % 2 else f"Rain fell {k}." for k in range(2500)])
    how = {"model": "m"} if rewriter == "model" else {"rewriter": "engine"}
    whole, facts, account = applied(LearnedRewriting, run, rows, **how, strength=0.5)
    streaming = LearnedRewriting(**how, strength=0.5).data(run, "train", run.services.model)
    assert [row["text"] for row in streaming.fn(rows.to_iterable_dataset())] == list(whole["text"])
    assert dict(streaming.facts) == facts and account.added > 500
    assert streaming.account().added == account.added
    assert loaded == (["m", "m"] if rewriter == "model" else [])  # once for each of the two


def tokens_of(run: Any, texts: list[str]) -> int:
    return sum(len(ids) for ids in run.tokenizer(texts, add_special_tokens=False)["input_ids"]) if texts else 0


def test_added_tokens_are_at_most_their_share(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fake(place: str, prompt: str, device: str, *, offline: bool) -> Any:
        return lambda part: [asked.append(text) or text.replace("She", "He") for _, _, text in part]

    monkeypatch.setattr(rewriter_models, "rewriter", fake)
    texts = ["She has a few books."] * 1500  # of equal length, so that those with the smallest draws fit
    seed = run.seed_for("rows")
    shares = {}
    for most in (0.0, 0.1, 0.3, 0.9):
        asked.clear()
        out, facts, account = applied(LearnedRewriting, run, rows_of(texts), model="m", max_share=most)
        made = [row for row in out if row["evenhand_step"]]
        more = tokens_of(run, [row["text"] for row in made])
        shares[most] = more / (tokens_of(run, texts) + more)
        assert facts["share of added tokens"] == pytest.approx(shares[most]) and account.added == len(made)
        draws = [Row(k, text, k).draw(seed) for k, text in enumerate(texts)]
        assert {row["evenhand_origin"] for row in made} == set(sorted(range(1500), key=draws.__getitem__)[: len(made)])
        left = facts.get("texts that were not rewritten, since there was no room left", 0)
        assert len(asked) == 1500 - left == len(made) + facts["texts whose rewrites had no room under max_share"]
    assert shares[0.0] == 0.0 and 0.099 < shares[0.1] <= 0.1 and 0.299 < shares[0.3] <= 0.3
    assert account.added == 1500  # 0.9: more than all rewrites
    applied(LearnedRewriting, run, rows_of(texts), model="m", max_share=0.1)
    assert len(asked) - 1500 <= 1024  # and the model is not asked for what cannot be added


def test_an_axis_of_many_groups_does_not_outweigh_the_data(run: Any) -> None:
    texts = [f"The Muslim has {k} books." if k % 2 else f"Rain fell {k}." for k in range(10)]
    out, facts, _ = applied(LearnedRewriting, run, rows_of(texts), rewriter="engine", axis="religion")
    made = [row["text"] for row in out if row["evenhand_step"]]
    assert made and tokens_of(run, made) <= tokens_of(run, texts)
    assert facts["texts whose rewrites had no room under max_share"] > 0


def test_in_a_stream_the_share_holds_at_each_place(run: Any) -> None:
    texts = [f"She has {k} books." if k % 2 else f"Rain fell {k}." for k in range(60)]
    streaming = LearnedRewriting(rewriter="engine", max_share=0.2).data(run, "train", run.services.model)
    own, more = [], []
    for row in streaming.fn(rows_of(texts).to_iterable_dataset()):
        (more if row["evenhand_step"] else own).append(row["text"])
        assert tokens_of(run, more) <= 0.2 * tokens_of(run, own + more)
    assert own == texts and 0.15 < streaming.facts["share of added tokens"] <= 0.2
    assert streaming.facts["texts whose rewrites had no room under max_share"] == 30 - len(more)


def test_a_stream_that_begins_with_a_row_without_text_counts_anew_when_it_is_read_again(run: Any) -> None:
    texts = ["", *(f"She has {k} books." if k % 2 else f"Rain fell {k}." for k in range(40))]
    streaming = LearnedRewriting(rewriter="engine", max_share=0.2).data(run, "train", run.services.model)
    stream = streaming.fn(rows_of(texts).to_iterable_dataset())
    read = [([row["text"] for row in stream], dict(streaming.facts)) for _ in range(2)]
    assert read[0] == read[1] and len(read[0][0]) > 40


def test_a_named_models_texts_are_added_when_they_pass(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []
    answers = {TEXTS[0]: "He sold his boat. ", TEXTS[2]: "Something else entirely happened here today, friends."}

    def fake(place: str, prompt: str, device: str, *, offline: bool) -> Any:
        assert (place, prompt) == ("my-rewriter", "{target}: {text}")

        def write(part: list[tuple[str, str, str]]) -> list[str]:
            asked.extend(part)
            return [answers[text] for _, _, text in part]

        return write

    monkeypatch.setattr(rewriter_models, "rewriter", fake)
    out, facts, _ = applied(LearnedRewriting, run, rows_of(TEXTS), model="my-rewriter", prompt="{target}: {text}")
    assert sorted(asked) == [("She", "male", TEXTS[0]), ("king", "female", TEXTS[2])]
    assert [row["text"] for row in out if row["evenhand_step"]] == ["He sold his boat."]
    assert facts["not accepted: too far from the text"] == 1


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("She sold her boat.", "the same text"),
        ("He sold his boat.", ""),
        ("They sold their boat.", "no more words of the target group"),
        ("x y z", "too far from the text"),
    ],
)
def test_why_a_rewrite_is_not_accepted(new: str, reason: str) -> None:
    options = LearnedRewriting(rewriter="engine").options
    assert refusal("She sold her boat.", new, load_axis("gender"), "male", options) == reason


def test_a_causal_rewriter_is_loaded_from_its_folder_and_writes(tmp_path: Path) -> None:
    from evenhand_sdk.tiny import save_tiny

    write = rewriter_models.rewriter(str(save_tiny(tmp_path / "tiny")), "{target}: {text}", "cpu", offline=True)
    asked = [("She", "male", "She left."), ("She", "male", "She gave her brother the key of the house by the river.")]
    together = write(asked)
    assert all(map(bool, together)) and together == [text for one in asked for text in write([one])]
    with pytest.raises(ModelNotFound, match="option model, model '.*nowhere': not found"):
        rewriter_models.rewriter(str(tmp_path / "nowhere"), "{text}", "cpu", offline=True)


def test_a_sequence_to_sequence_rewriter_is_loaded_from_its_folder(tmp_path: Path) -> None:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    from evenhand_sdk.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer("llama")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(tmp_path, safe_serialization=True)
    tokenizer.save_pretrained(tmp_path)
    write = rewriter_models.rewriter(str(tmp_path), "{word}, {target} <PERT_SEP> {text}", "cpu", offline=True)
    asked = [("She", "male", "She left."), ("king", "female", "The king was with his wife by the river.")]
    assert write(asked) == [text for one in asked for text in write([one])]


def test_the_prompt_must_hold_text_and_target() -> None:
    with pytest.raises(UsageError, match="must have {text} and {target}"):
        LearnedRewriting(model="m", prompt="{text}")
    assert Counter(LearnedRewriting(model="m").options.prompt)["{"] == 3
