"""Rules travel with a saved model: by evenhand.load, by a pipeline object, and by plain transformers."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import evenhand
from evenhand.carried_rules import FILE
from evenhand.errors import UsageError
from evenhand_sdk.tiny import save_tiny

PROMPT = "The nurse said that she"
STEPS = [{"use": "contrastive-guidance", "weight": 10.0}, {"use": "answer-rewriting", "strength": 1.0}]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carried")
    tiny = save_tiny(folder / "tiny")
    recipe = {"model": {"name": str(tiny)}, "traffic": {"limit": 0}, "steps": STEPS}
    return Path(evenhand.run(recipe, output=folder / "runs").folder)


def continued(model: Any, tokenizer: Any, **how: Any) -> str:
    ids = tokenizer(PROMPT, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=8, do_sample=False, **how)
    return str(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))


def test_plain_transformers_decodes_with_the_rules_of_the_folder(run: Path) -> None:
    loaded = evenhand.load(run)
    expected = continued(loaded.model, loaded.tokenizer)
    model = transformers.AutoModelForCausalLM.from_pretrained(run / "model", trust_remote_code=True)
    tokenizer = transformers.AutoTokenizer.from_pretrained(run / "model")
    plain = continued(model, tokenizer) if "generate" not in vars(model) else None
    assert plain is None  # the file was taken
    carried = vars(model)["generate"]
    assert continued(model, tokenizer) == expected
    assert vars(model)["generate"] is carried
    without = type(model).generate(model, **tokenizer(PROMPT, return_tensors="pt"), max_new_tokens=8, do_sample=False)
    start = len(tokenizer(PROMPT)["input_ids"])
    assert tokenizer.decode(without[0, start:], skip_special_tokens=True) != expected
    again = transformers.AutoModelForCausalLM.from_pretrained(run / "model", trust_remote_code=True)
    del again.generate
    named = continued(again, tokenizer, custom_generate=str(run / "model"), trust_remote_code=True)
    assert named == expected and "generate" not in vars(again)


def test_the_toolkit_itself_puts_the_rules_back_once(run: Path) -> None:
    from evenhand.models import load, resolve

    assert "generate" not in vars(load(resolve(str(run / "model"))).model)
    loaded = evenhand.load(run)
    assert [r.name for r in loaded.rules] == ["contrastive-guidance", "answer-rewriting"]


def test_a_model_without_rules_has_no_such_file(run: Path, tmp_path: Path) -> None:
    assert (run / "model" / FILE).is_file()
    recipe = {"model": {"name": str(save_tiny(tmp_path / "tiny"))}, "traffic": {"limit": 0}, "steps": STEPS[1:]}
    assert not (Path(evenhand.run(recipe, output=tmp_path / "runs").folder) / "model" / FILE).exists()


def test_a_folder_without_its_facts_says_so(run: Path, tmp_path: Path) -> None:
    import shutil

    from evenhand.errors import RunNotFound

    shutil.copytree(run / "model", tmp_path / "model")
    (tmp_path / "model" / "evenhand.json").unlink()
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", trust_remote_code=True)
    with pytest.raises(
        RunNotFound, match="the model's folder has no evenhand.json, so its decoding rules are not known"
    ):
        model.generate(torch.tensor([[1, 2]]), max_new_tokens=1)


def carried(folder: Path | str) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)


def test_several_threads_that_ask_first_and_at_once_all_get_the_rules(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evenhand import restoring

    loaded = evenhand.load(run)
    expected = continued(loaded.model, loaded.tokenizer)
    model, restored, seen = carried(run / "model"), [], []
    own, restore = vars(model)["generate"], restoring.restore
    monkeypatch.setattr(restoring, "restore", lambda *given: restored.append(1) or restore(*given))
    model.register_forward_hook(lambda *given: seen.append(vars(model)["generate"] is own))
    found, start = [], threading.Barrier(3)

    def ask() -> None:
        start.wait()
        found.append(continued(model, loaded.tokenizer))

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3
    assert len(restored) == 1
    assert seen and all(seen)  # who asks in the middle of another's answer does not meet a `generate` without rules


def test_the_record_is_where_a_loaded_model_has_it(run: Path) -> None:
    loaded = evenhand.load(run)
    model = carried(run / "model")
    for beams in (1, 2):
        assert continued(model, loaded.tokenizer, num_beams=beams) == continued(
            loaded.model, loaded.tokenizer, num_beams=beams
        )
        assert model.generate.changes == loaded.model.generate.changes
        assert {change.rule for row in model.generate.changes for change in row} == {"contrastive-guidance"}


def test_a_relative_path_is_that_of_the_folder_in_which_the_model_was_loaded(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = evenhand.load(run)
    monkeypatch.chdir(run)
    model = carried("./model")
    monkeypatch.chdir(tmp_path)
    assert continued(model, loaded.tokenizer) == continued(loaded.model, loaded.tokenizer)


def test_a_model_that_was_asked_is_freed_and_its_copy_has_rules_of_its_own(run: Path) -> None:
    loaded = evenhand.load(run)
    model = carried(run / "model")
    expected = continued(model, loaded.tokenizer)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert continued(twin, loaded.tokenizer) == expected
    pickle.loads(pickle.dumps(vars(twin)["evenhand_carried_rules"]))  # so the whole model can be, too
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


# ------------------------------------------------------------------------------------------------------- pipeline
def test_the_pipeline_gives_what_generate_gives_and_keeps_the_record(run: Path) -> None:
    loaded = evenhand.load(run)
    pipe = loaded.pipeline()
    found = pipe(PROMPT, max_new_tokens=8)
    assert found == [{"generated_text": PROMPT + loaded.generate(PROMPT, max_new_tokens=8)}]
    assert pipe([PROMPT, "Rain fell"], max_new_tokens=4, return_full_text=False)[1] == [
        {"generated_text": loaded.generate("Rain fell", max_new_tokens=4)}
    ]
    pipe(PROMPT, max_new_tokens=8)
    assert any(change.rule == "contrastive-guidance" for change in pipe.responses[0].changes)


def test_the_pipeline_of_transformers_follows_the_rules_on_tokens(run: Path) -> None:
    loaded = evenhand.load(run)
    theirs = transformers.pipeline("text-generation", model=loaded.model, tokenizer=loaded.tokenizer)
    [found] = theirs(PROMPT, max_new_tokens=8, do_sample=False)
    assert found["generated_text"] == loaded.pipeline()(PROMPT, max_new_tokens=8)[0]["generated_text"]


def test_samples_differ_and_are_the_same_again(run: Path) -> None:
    pipe = evenhand.load(run).pipeline()
    how: dict[str, Any] = {"max_new_tokens": 8, "do_sample": True, "num_return_sequences": 3, "seed": 5}
    found = pipe(PROMPT, **how)
    assert len({f["generated_text"] for f in found}) == 3 and pipe(PROMPT, **how) == found
    texts = {f["generated_text"] for seed in (5, 6, 7) for f in pipe(PROMPT, **{**how, "seed": seed})}
    assert len(texts) == 9  # the third sample of one seed is not the second of the next


def test_chats_and_what_is_neither(run: Path) -> None:
    loaded = evenhand.load(run)
    loaded.tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
    [found] = loaded.pipeline()(chat, max_new_tokens=4)
    assert found["generated_text"][:2] == chat and found["generated_text"][2]["role"] == "assistant"
    with pytest.raises(UsageError, match="greedy decoding has one answer, not 2"):
        loaded.pipeline()(PROMPT, num_return_sequences=2)
    with pytest.raises(UsageError, match="a chat must end with the user's turn"):
        loaded.pipeline()(chat[:1])
    with pytest.raises(UsageError, match="int is neither a text nor a chat"):
        loaded.pipeline()([3])


def test_a_measurement_scores_with_the_rules_that_the_model_decodes_with(run: Path) -> None:
    """As of a model by `evenhand.load`, before the first call of `generate` or after it."""
    benchmarks = [("pair-gap", {"limit": 6})]
    loaded = evenhand.load(run)
    model = carried(run / "model")
    plain = carried(run / "model")
    del plain.generate  # the class's own is left
    found = [evenhand.measure(one, loaded.tokenizer, benchmarks)["pair-gap"] for one in (loaded.model, model, plain)]
    values = [[record.values for record in one.records] for one in found]
    assert values[0] == values[1] != values[2]
    assert "contrastive-guidance" in found[1].mode
    with pytest.raises(UsageError, match="it decodes with contrastive-guidance"):
        evenhand.decode_with(model, loaded.tokenizer, ["probability-balancing"])
