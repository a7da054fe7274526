"""Requests with settings of their own, asked of a loaded run; what a run cannot set for a request is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import evenhand
from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import UsageError
from evenhand.usable import Usable
from evenhand_sdk.tiny import save_tiny, tiny_causal

PROMPT = "The nurse said that she"
OFF = Request(prompt=PROMPT, max_new_tokens=12, meta={"attention-temperature": 0.0})


def run_of(folder: Path, **options: Any) -> Path:
    step = {"use": "attention-temperature", "id": "calm", "beta": 4.0, **options}
    recipe = {"model": {"name": str(save_tiny(folder / "tiny"))}, "traffic": {"limit": 0}, "steps": [step]}
    return Path(evenhand.run(recipe, output=folder / "runs").folder)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return evenhand.load(run_of(tmp_path_factory.mktemp("live"), folded=False))


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_of(tmp_path_factory.mktemp("folded"))


def test_each_request_to_a_loaded_run_has_the_strength_it_asks_for(live: Any) -> None:
    full = live.generate(PROMPT, max_new_tokens=12)
    off = live.generate(OFF)
    assert off != full
    assert live.generate([OFF, PROMPT], max_new_tokens=12) == [off, full]
    assert "".join(live.stream(OFF)) == off and "".join(live.stream(PROMPT, max_new_tokens=12)) == full
    assert [r.text for r in live.answer([OFF])] == [off]
    how: dict[str, Any] = {"max_new_tokens": 12, "return_full_text": False}
    assert live.pipeline()(PROMPT, meta=OFF.meta, **how) == [{"generated_text": off}]
    assert live.pipeline()(PROMPT, **how) == [{"generated_text": full}]


def test_requests_and_texts_stand_in_one_list() -> None:
    """A request says its own number of tokens; that of the call is for the texts."""
    model, tokenizer = tiny_causal()
    model.generation_config.eos_token_id = tokenizer.eos_token = None
    usable = Usable(model, tokenizer, [], "causal")
    own = Request(prompt=PROMPT, max_new_tokens=3)
    found = usable.generate([own, PROMPT], max_new_tokens=5)
    assert found == [usable.generate(PROMPT, max_new_tokens=3), usable.generate(PROMPT, max_new_tokens=5)]
    with evenhand.decode_with(model, tokenizer, []) as decoding:
        assert decoding.generate([own, PROMPT], max_new_tokens=5) == found
        assert decoding.generate(own) == found[0]
    assert [len(r.token_ids) for r in usable.answer([own])] == [3]
    assert [r.text for r in usable.answer([own, PROMPT], max_new_tokens=5)] == found
    assert [[r.text for r in usable.answer(one, max_new_tokens=5)] for one in (own, PROMPT)] == [[t] for t in found]
    with pytest.raises(UsageError, match=r"^generate: the prompt is int, not text"):
        usable.answer(7)  # type: ignore[arg-type]


def test_rules_see_the_meta_of_a_request_and_the_chat_of_a_pipeline() -> None:
    seen: list[dict[str, Any]] = []

    def around(request: Request, ask: Any) -> Response:
        seen.append(dict(request.meta))
        return ask(request)

    model, tokenizer = tiny_causal()
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
    usable = Usable(model, tokenizer, [DecodingRule(name="look", around=around)], "causal")
    usable.generate(Request(prompt=PROMPT, max_new_tokens=2, meta={"items": 3}))
    usable.pipeline()([{"role": "user", "content": PROMPT}], max_new_tokens=2, meta={"items": 4})
    assert seen == [{"items": 3}, {"chat": True, "items": 4}]


@pytest.mark.parametrize("name", ["attention-temperature", "calm"])
def test_a_request_that_sets_a_step_in_the_weights_is_refused_and_the_others_are_answered(
    folded: Path, name: str
) -> None:
    loaded = evenhand.load(folded)
    assert json.loads((folded / "model" / "evenhand.json").read_text())["folded"] == ["attention-temperature", "calm"]
    asked = Request(prompt=PROMPT, max_new_tokens=4, meta={name: 0.0})
    other = Request(prompt=PROMPT, max_new_tokens=4, meta={"of somebody": 1})
    for ask in (lambda: loaded.generate([asked, other]), lambda: list(loaded.stream(asked))):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == (
            f"generate: the request sets {name!r} in its meta, and that step is folded into the weights of this "
            "model\n  requests to this model can set: nothing\n"
            "  leave it out, or run the recipe again with the step's option folded = false"
        )
    with pytest.raises(UsageError) as caught:
        loaded.generate([asked, other])
    assert [a and a.text for a in caught.value.answers] == [None, loaded.generate(PROMPT, max_new_tokens=4)]


def test_a_run_that_was_saved_without_the_list_of_folded_steps_answers_as_it_did(folded: Path, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(folded / "model", tmp_path / "model")
    facts = json.loads((tmp_path / "model" / "evenhand.json").read_text())
    del facts["folded"]
    (tmp_path / "model" / "evenhand.json").write_text(json.dumps(facts))
    loaded = evenhand.load(tmp_path)
    assert loaded.generate(OFF) == loaded.generate(PROMPT, max_new_tokens=12)


@pytest.fixture(scope="module")
def decoded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run with a step that requests can set, and one of decoding that they cannot."""
    folder = tmp_path_factory.mktemp("decoded")
    steps = [
        {"use": "attention-temperature", "beta": 4.0, "folded": False},
        {"use": "probability-balancing", "id": "even"},
    ]
    recipe = {"model": {"name": str(save_tiny(folder / "tiny"))}, "traffic": {"limit": 0}, "steps": steps}
    return evenhand.load(evenhand.run(recipe, output=folder / "runs").folder)


@pytest.mark.parametrize("value", [0.0, 0, 1, True, False])
@pytest.mark.parametrize("name", ["even", "probability-balancing"])
def test_a_request_that_switches_a_step_without_a_setting_is_refused(decoded: Any, name: str, value: Any) -> None:
    asked, other = (Request(prompt=PROMPT, max_new_tokens=4, meta=meta) for meta in ({name: value}, {}))
    for ask in (lambda: decoded.generate([asked, other]), lambda: list(decoded.stream(asked))):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == (
            f"generate: the request sets {name!r} in its meta, and no request can set that step\n"
            "  requests to this model can set: attention-temperature\n"
            "  leave it out; to answer without the step, run the recipe without it"
        )
    with pytest.raises(UsageError) as caught:
        decoded.generate([asked, other])
    assert [a and a.text for a in caught.value.answers] == [None, decoded.generate(PROMPT, max_new_tokens=4)]


def test_a_misspelt_setting_is_refused_and_told(decoded: Any) -> None:
    with pytest.raises(UsageError) as caught:
        decoded.generate(Request(prompt=PROMPT, meta={"attention-temperatur": 0.5}))
    assert str(caught.value) == (
        "generate: the request sets 'attention-temperatur' in its meta, and nothing here has that name\n"
        "  requests to this model can set: attention-temperature\n"
        "  write 'attention-temperature', or give a number of your own another name"
    )


@pytest.mark.parametrize(
    "meta", [{"user": 17, "attention": 0.5, "urgent": True}, {"even": "said by a rule"}, {"attention-temperatur": "a"}]
)
def test_what_is_no_switch_is_data_of_whoever_asks(decoded: Any, meta: dict[str, Any]) -> None:
    plain = decoded.generate(Request(prompt=PROMPT, max_new_tokens=4))
    assert decoded.generate(Request(prompt=PROMPT, max_new_tokens=4, meta=meta)) == plain


def test_rules_beside_a_model_that_no_run_has_made_are_known_too() -> None:
    model, tokenizer = tiny_causal()
    with evenhand.decode_with(model, tokenizer, ["reranking"]) as decoding:
        with pytest.raises(
            UsageError, match="the request sets 'reranking' in its meta, and no request can set"
        ) as told:
            decoding.generate(Request(prompt=PROMPT, meta={"reranking": 0.0}))
        assert "requests to this model can set: nothing" in str(told.value)
