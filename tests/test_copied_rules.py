"""A copy of a model with decoding rules decodes with rules of its own, or with none and says so."""

from __future__ import annotations

import copy
import io
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import evenhand
from evenhand.errors import UsageError
from evenhand.own_model import active_rules
from evenhand_sdk.tiny import save_tiny, tiny_causal

PROMPT = "The nurse said that she"
RULES = [
    {"use": "gradient-decoding", "gate": 0.0, "steps": 2, "learning_rate": 1.0, "fusion": 1.0},
    {"use": "answer-rewriting", "strength": 1.0},
]
LIVE = {"use": "attention-temperature", "beta": 0.5, "folded": False}
GUIDANCE = ("contrastive-guidance", {"weight": 10.0})
WITHOUT = (
    "this model is a copy of one that decodes with {}, and decodes without: rules are of the model that they were made "
    "for; give the copy its own with evenhand.decode_with, or load the run again with evenhand.load"
)


def finished(folder: Path, steps: list[dict[str, Any]]) -> Path:
    tiny = save_tiny(folder / "tiny")
    recipe = {"model": {"name": str(tiny)}, "traffic": {"limit": 0}, "steps": steps}
    return Path(evenhand.run(recipe, output=folder / "runs").folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("copied"), RULES)


@pytest.fixture(scope="module")
def live_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("copied-live"), [LIVE, *RULES])


def tokens(write: Any, tokenizer: Any) -> list[int]:
    ids = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        found: list[int] = write(**ids, max_new_tokens=8, do_sample=False)[0].tolist()
    return found


def ruled(model: Any, tokenizer: Any) -> list[int]:
    return tokens(model.generate, tokenizer)


def plain(model: Any, tokenizer: Any) -> list[int]:
    return tokens(lambda **asked: type(model).generate(model, **asked), tokenizer)


def zeroed(model: Any) -> Any:
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    return model


def saved(model: Any) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


COPIES = [copy.deepcopy, pickled, saved]


# ---------------------------------------------------------------------------------------------------------- loaded
@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_a_loaded_model_decodes_with_its_own_weights_and_rules(copied: Any, run: Path) -> None:
    loaded = evenhand.load(run)
    model, tokenizer = loaded.model, loaded.tokenizer
    expected, without = ruled(model, tokenizer), plain(model, tokenizer)
    assert expected != without
    twin, empty = copied(model), zeroed(copied(model))
    seen: list[int] = []
    for module in model.modules():
        module.register_forward_hook(lambda *given: seen.append(1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ruled(twin, tokenizer) == expected
        assert {change.rule for row in twin.generate.changes for change in row} == {"gradient-decoding"}
        assert ruled(empty, tokenizer) == plain(empty, tokenizer) != without
    assert not seen  # neither it nor its norms were asked
    assert [r.name for r in active_rules(twin)] == ["gradient-decoding"]
    assert active_rules(twin)[0] is not active_rules(model)[0]
    assert active_rules(twin) is active_rules(twin)  # made once
    zeroed(model)
    assert ruled(twin, tokenizer) == expected
    assert ruled(copied(twin), tokenizer) == expected  # a copy of a copy


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_copy_of_what_load_gives_has_all_its_rules_anew(copied: Any, run: Path) -> None:
    loaded = evenhand.load(run)
    expected = loaded.generate(PROMPT, max_new_tokens=8)
    twin = copied(loaded)
    assert [r.name for r in twin.rules] == [r.name for r in loaded.rules] == ["gradient-decoding", "answer-rewriting"]
    assert not {id(r) for r in twin.rules} & {id(r) for r in loaded.rules}
    zeroed(loaded.model)
    assert twin.generate(PROMPT, max_new_tokens=8) == expected
    assert ruled(twin.model, twin.tokenizer) != ruled(loaded.model, loaded.tokenizer)


def test_rules_that_need_no_file_are_made_when_the_run_is_gone(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    loaded = evenhand.load(tmp_path / "run")
    twin = copy.deepcopy(loaded.model)
    shutil.rmtree(tmp_path / "run")
    assert ruled(twin, loaded.tokenizer) == ruled(loaded.model, loaded.tokenizer) != plain(twin, loaded.tokenizer)


@pytest.mark.parametrize("copied", COPIES)
def test_where_steps_stand_on_the_model_a_copy_decodes_without_and_says_so(copied: Any, live_run: Path) -> None:
    loaded = evenhand.load(live_run)
    assert [r.name for r in active_rules(loaded.model)] == ["gradient-decoding"]
    if copied is copy.deepcopy:
        twin = copied(loaded.model)
        with pytest.warns(UserWarning) as said:
            found = ruled(twin, loaded.tokenizer)
        assert [str(w.message) for w in said] == [WITHOUT.format("gradient-decoding")]
        assert found == ruled(twin, loaded.tokenizer) == plain(twin, loaded.tokenizer)
        assert "generate" not in vars(twin)
    with pytest.raises(UsageError, match="cannot be copied: its rules are of this model"):
        copied(loaded)


# ----------------------------------------------------------------------------------------------------- decode_with
@pytest.mark.parametrize("copied", COPIES)
def test_rules_of_decode_with_stay_with_the_model_that_they_were_given_to(copied: Any) -> None:
    model, tokenizer = tiny_causal("llama")
    with evenhand.decode_with(model, tokenizer, [GUIDANCE]):
        expected = ruled(model, tokenizer)
        twin = copied(model)
    assert expected != plain(model, tokenizer) == ruled(model, tokenizer)
    with pytest.warns(UserWarning) as said:
        assert ruled(twin, tokenizer) == plain(twin, tokenizer)
    assert [str(w.message) for w in said] == [WITHOUT.format("contrastive-guidance")]
    zeroed(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ruled(twin, tokenizer) == plain(twin, tokenizer)  # said once
        with evenhand.decode_with(twin, tokenizer, [GUIDANCE]):
            assert ruled(twin, tokenizer) == expected
        assert "generate" not in vars(twin)


def test_a_copy_that_was_not_asked_yet_takes_rules_of_its_own() -> None:
    model, tokenizer = tiny_causal("llama")
    with evenhand.decode_with(model, tokenizer, [GUIDANCE]):
        expected, twin = ruled(model, tokenizer), copy.deepcopy(model)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with evenhand.decode_with(twin, tokenizer, [GUIDANCE]) as decoding:
                assert ruled(twin, tokenizer) == expected
                assert decoding.rules is active_rules(twin)
            assert plain(twin, tokenizer) == ruled(twin, tokenizer)


def test_a_measurement_of_a_copy_says_that_no_rules_count() -> None:
    model, tokenizer = tiny_causal("llama")
    with evenhand.decode_with(model, tokenizer, [GUIDANCE]):
        twin = copy.deepcopy(model)
    with pytest.warns(UserWarning) as said:
        found = evenhand.measure(twin, tokenizer, [("pair-gap", {"limit": 6})])["pair-gap"]
    assert [str(w.message) for w in said] == [WITHOUT.format("contrastive-guidance")]
    assert found.mode == evenhand.measure(model, tokenizer, [("pair-gap", {"limit": 6})])["pair-gap"].mode


def test_rules_around_requests_are_not_those_of_a_copy_either() -> None:
    model, tokenizer = tiny_causal("llama")
    with pytest.warns(UserWarning, match="rules around whole requests do not act in `model.generate`"):
        decoding = evenhand.decode_with(model, tokenizer, [("answer-rewriting", {"strength": 1.0})])
    twin = copy.deepcopy(model)
    assert ruled(model, tokenizer) == plain(model, tokenizer)
    decoding.undo()
    with pytest.warns(UserWarning) as said:
        assert ruled(zeroed(twin), tokenizer) != ruled(model, tokenizer)
    assert [str(w.message) for w in said] == [WITHOUT.format("answer-rewriting")]


# ---------------------------------------------------------------------------------------------------- of the folder
def test_a_copy_of_an_export_with_code_decodes_with_rules_of_its_own(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = evenhand.export(run, tmp_path / "published", with_code=True)
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
    tokenizer = evenhand.load(run).tokenizer
    expected = ruled(model, tokenizer)
    twin = copy.deepcopy(model)
    zeroed(model)
    assert ruled(twin, tokenizer) == expected != ruled(model, tokenizer)


def test_live_steps_are_not_put_twice_on_a_copy_of_a_model_that_plain_transformers_loaded(
    live_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    from evenhand import restoring

    loaded = evenhand.load(live_run)
    model = AutoModelForCausalLM.from_pretrained(live_run / "model", trust_remote_code=True)
    early = copy.deepcopy(model)  # nothing stands on it yet
    expected = ruled(loaded.model, loaded.tokenizer)
    assert ruled(model, loaded.tokenizer) == ruled(early, loaded.tokenizer) == expected
    ids = torch.tensor([[1, 5, 9]])
    with torch.no_grad():
        logits = model(ids).logits
    twin, measured, other = copy.deepcopy(model), copy.deepcopy(copy.deepcopy(model)), copy.deepcopy(model)
    monkeypatch.setattr(restoring, "restore", lambda *given: pytest.fail("steps are put back once more"))
    with pytest.warns(UserWarning) as said:
        found = ruled(twin, loaded.tokenizer)
    assert [str(w.message) for w in said] == [WITHOUT.format("gradient-decoding")]
    assert found == ruled(twin, loaded.tokenizer) == plain(twin, loaded.tokenizer)
    with torch.no_grad():
        assert torch.equal(twin(ids).logits, logits)
    with pytest.warns(UserWarning, match="is a copy of one that decodes with gradient-decoding, and decodes without"):
        assert active_rules(measured) == ()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ruled(measured, loaded.tokenizer) == found
    with evenhand.decode_with(twin, loaded.tokenizer, [GUIDANCE]):
        assert ruled(twin, loaded.tokenizer) != found
    named = str(live_run / "model")
    del other.generate
    with pytest.warns(UserWarning, match="and decodes without"):
        asked = {"custom_generate": named, "trust_remote_code": True}
        assert tokens(lambda **given: other.generate(**given, **asked), loaded.tokenizer) == found


# ---------------------------------------------------------------------------------------------------------- masked
MASKED = ("counterfactual-averaging", {"axes": ["gender"]})
GAP = "She said that the [MASK] was late."


def at_mask(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer(GAP, return_tensors="pt")).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize("copied", COPIES)
def test_a_copy_of_a_masked_model_of_a_run_follows_rules(copied: Any, tmp_path: Path) -> None:
    tiny = save_tiny(tmp_path / "tiny", family="bert")
    recipe = {"model": {"name": str(tiny)}, "traffic": {"limit": 0}, "steps": [{"use": MASKED[0], **MASKED[1]}]}
    loaded = evenhand.load(evenhand.run(recipe, output=tmp_path / "runs").folder)
    expected, filled = at_mask(*loaded), loaded.fill(GAP)
    twin, whole = copied(loaded.model), copied(loaded)
    zeroed(loaded.model)
    assert torch.equal(at_mask(twin, loaded.tokenizer), expected)
    assert [r.name for r in active_rules(twin)] == ["counterfactual-averaging"]
    assert whole.fill(GAP) == filled != loaded.fill(GAP)
    plain_model = transformers.AutoModelForMaskedLM.from_pretrained(tiny)
    assert not torch.equal(at_mask(plain_model, loaded.tokenizer), expected)


@pytest.mark.parametrize("copied", [pickled, saved])
def test_a_masked_model_from_a_pickle_says_that_it_follows_no_rules_of_decode_with(copied: Any) -> None:
    from evenhand_sdk.tiny import tiny_masked

    model, tokenizer = tiny_masked("bert")
    without = at_mask(model, tokenizer)
    with evenhand.decode_with(model, tokenizer, [MASKED]):
        ruled_logits, twin = at_mask(model, tokenizer), copied(model)
    assert not torch.equal(ruled_logits, without)
    with pytest.warns(UserWarning) as said:
        assert torch.equal(at_mask(twin, tokenizer), without)
    assert [str(w.message) for w in said] == [WITHOUT.format("counterfactual-averaging")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        at_mask(twin, tokenizer)
        with evenhand.decode_with(twin, tokenizer, [MASKED]):
            assert torch.equal(at_mask(twin, tokenizer), ruled_logits)
            assert [r.name for r in active_rules(twin)] == ["counterfactual-averaging"]
