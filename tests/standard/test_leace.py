"""LEACE on models: where it erases, folding in all families, revert, strength, order of several, what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from family_models import TYPES, family_model, tokens

from evenhand_sdk import UsageError
from evenhand_standard.architecture.eraser import Eraser
from evenhand_standard.architecture.erasure_sites import HELD, LiveErasure, sites_of
from evenhand_standard.architecture.inlp import Inlp
from evenhand_standard.architecture.layer_parts import layers_of
from evenhand_standard.architecture.leace import Leace


def outputs(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=tokens()).logits


def eraser_of(seed: int, shift: bool = True) -> Eraser:
    draw = torch.Generator().manual_seed(seed)
    left, right = torch.randn(32, 2, generator=draw), torch.randn(2, 32, generator=draw)
    right = torch.linalg.solve(right @ left, right)  # R L = I
    return Eraser(left, right, torch.randn(32, generator=draw) if shift else None)


def placed(model: Any, step: str = "a", seed: int = 0, strength: float = 0.7, shift: bool = True) -> LiveErasure:
    live = LiveErasure(step, strength, folds=True)
    keys = [site.key for site in sites_of(layers_of(model)[1:], "after-norm")]
    live.put(model, {key: eraser_of(seed + k, shift) for k, key in enumerate(keys)})
    return live


FOLDS = ("llama", "smollm3", "gpt2", "gpt_neox", "bert", "roberta", "xlm-roberta", "camembert")


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("model_type", TYPES)
def test_folded_is_live_and_what_cannot_fold_stays(model_type: str, shift: bool) -> None:
    model = family_model(model_type)
    before, names = outputs(model), list(model.state_dict())
    live = placed(model, shift=shift)
    acted = outputs(model)
    live.take(model)
    assert torch.equal(outputs(model), before) and list(model.state_dict()) == names
    live = placed(model, shift=shift)
    done = live.fold(model)
    assert done == (not shift or model_type in FOLDS)
    size = float((outputs(model) - acted).abs().max())
    print(f"{model_type}, shift {shift}: {'folded' if done else 'live'}, largest logit difference {size:.2g}")
    assert size < 1e-4 and not torch.allclose(acted, before, atol=1e-2)
    if done:
        assert not any(m._forward_pre_hooks for m in model.modules()) and not any(
            hasattr(m, HELD) for m in model.modules()
        )
        fresh = type(model)(model.config).eval()  # the configuration says which biases there are
        fresh.load_state_dict(model.state_dict())
        assert float((outputs(fresh) - acted).abs().max()) < 1e-4
    else:
        assert list(model.state_dict()) == names


def test_of_two_steps_the_one_nearest_to_the_matrix_is_folded_first() -> None:
    model = family_model("llama")
    before = outputs(model)
    first, second = placed(model, "a", 0), placed(model, "b", 50)
    acted = outputs(model)
    for live, done in ((first, False), (second, True), (first, True)):
        assert live.fold(model) is done
        assert float((outputs(model) - acted).abs().max()) < 1e-4
    assert not any(m._forward_pre_hooks for m in model.modules())
    model = family_model("llama")
    first, second = placed(model, "a", 0), placed(model, "b", 50)
    second.take(model)
    first.take(model)
    assert torch.equal(outputs(model), before)


@pytest.mark.parametrize("kind", ["causal", "masked"])
@pytest.mark.parametrize("options", [{}, {"sequential": False}, {"form": "after-norm", "positions": "all"}])
def test_the_groups_cannot_be_told_apart_where_it_was_fitted(kind: str, options: Any, tiny: Any, run_of: Any) -> None:
    """The last place is fitted behind all others: there, states and classes are uncorrelated within associations."""
    from evenhand_sdk import load_axis
    from evenhand_standard.architecture.group_pairs import fitting_pairs
    from evenhand_standard.architecture.labelled_states import labelled, spared_tokens, stream, tokens_of
    from evenhand_standard.architecture.moments import Moments

    model, tokenizer = tiny(kind)
    run = run_of(model, tokenizer, kind)
    step = Leace(pairs=24, layers=(0.5, 0.5), **options)
    axis = load_axis("gender")
    spared = spared_tokens(run, model, axis)
    rows = labelled(run, axis, fitting_pairs(axis, 24), spared.tolist(), step.options.positions)
    site = sites_of([layers_of(model)[1]], step.options.form)[-1]

    def correlation() -> float:
        moments = Moments(32, 2, 3)
        stream(run, model, rows, {site: lambda x, r: moments.update(*tokens_of(x, r))})
        return float(moments.cross_covariance().abs().max())

    before = correlation()
    transform = step.architecture(run, model)
    artifact = transform.fit(model)
    transform.apply(model, artifact)
    # A reader hook that was registered first sees the state before the eraser, so read behind it: erase once more.
    if step.options.form == "residual":
        assert correlation() < 1e-4 < 1e-2 < before
    eraser = Eraser.read(artifact.tensors, site.key)
    moments = Moments(32, 2, 3)
    transform.revert(model)
    before_it = LiveErasure("check", 1.0)
    if step.options.form == "after-norm":  # the last place was fitted behind the others
        others = [key for key in artifact.meta["sites"] if key != site.key]
        assert others
        before_it.put(model, {key: Eraser.read(artifact.tensors, key) for key in others})
    if step.options.form == "after-norm" or not step.options.sequential:
        assert before > 1e-3
        stream(run, model, rows, {site: lambda x, r: moments.update(*tokens_of(eraser(x), r))})
        assert moments.count > 60 and float(moments.cross_covariance().abs().max()) < 1e-4


def test_a_step_does_not_fold_when_a_later_one_is_held_elsewhere() -> None:
    """B could fold in front of A's matrices, but not where C, which stays live, is in its way: so A cannot, either."""
    model = family_model("llama")
    sites = [site.key for site in sites_of(layers_of(model), "after-norm")]
    first, second, third = LiveErasure("a", 0.7, True), LiveErasure("b", 0.7, True), LiveErasure("c", 0.7, False)
    first.put(model, {sites[0]: eraser_of(0)})
    second.put(model, {sites[0]: eraser_of(1), sites[2]: eraser_of(2)})
    third.put(model, {sites[2]: eraser_of(3)})
    acted = outputs(model)
    assert [live.fold(model) for live in (first, second, third)] == [False, False, False]
    assert torch.equal(outputs(model), acted)
    for live in (third, second, first):
        live.take(model)
    assert torch.equal(outputs(model), outputs(family_model("llama")))


def test_two_threads_that_ask_one_model_do_not_share_what_is_spared() -> None:
    import threading

    model = family_model("llama")
    live = LiveErasure("a", 1.0, spared=torch.tensor([1, 2]))
    live.look(model)
    seen: dict[int, Any] = {}
    both = threading.Barrier(2)

    def ask(row: int) -> None:
        with torch.no_grad():
            model(input_ids=torch.tensor([[row, 5]]))
        both.wait(30)
        seen[row] = live._acted.places.tolist()

    threads = [threading.Thread(target=ask, args=(row,)) for row in (1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {1: [[False, True]], 7: [[True, True]]}


def test_a_layer_that_is_computed_again_would_not_know_what_is_spared() -> None:
    model = family_model("llama")
    model.gradient_checkpointing_enable()
    live = LiveErasure("a", 1.0, spared=torch.tensor([1, 2]))
    live.look(model)
    outputs(model.train())  # without gradients, nothing is computed again
    model.eval()(input_ids=tokens())
    with pytest.raises(UsageError, match="cannot be trained through with gradient checkpointing"):
        model.train()(input_ids=tokens())
    live.take(model)
    model(input_ids=tokens()).logits.sum().backward()


def test_an_eraser_is_moved_to_a_device_once(monkeypatch: pytest.MonkeyPatch) -> None:
    eraser, moved = eraser_of(0), []
    states = torch.randn(3, 32)
    expected = eraser(states)
    to = torch.Tensor.to

    def counted(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if any(tensor is one for one in (eraser.left, eraser.right, eraser.mean)):
            moved.append(tensor)
        return to(tensor, *args, **kwargs)

    monkeypatch.setattr(torch.Tensor, "to", counted)
    for _ in range(3):
        assert torch.equal(eraser(states), expected)
    assert moved == []


def test_too_few_states_for_the_width_are_refused(tiny: Any, run_of: Any) -> None:
    from types import SimpleNamespace

    from evenhand_sdk import load_axis
    from evenhand_standard.architecture.labelled_states import Labelled, demand_enough

    rows = [Labelled((1,) * 40, tuple(range(40)), group, 0) for group in (0, 1)]
    axis: Any = SimpleNamespace(groups=load_axis("gender").groups)
    demand_enough(axis, rows, width=80)
    with pytest.raises(UsageError, match="too few hidden states to fit on: female 40, male 40"):
        demand_enough(axis, rows, width=81)
    model, tokenizer = tiny()
    artifact = Leace(pairs=16).architecture(run_of(model, tokenizer), model).fit(model)
    assert artifact.meta["states a dimension"] == round(artifact.meta["states"] / 32, 2)


@pytest.mark.parametrize("name", ["leace", "inlp", "sentence-debias"])
def test_every_eraser_must_beat_random_directions(name: str) -> None:
    from evenhand.discovery import discover, load

    assert load(discover().find(name)).controls == ("random-directions",)


def test_group_words_are_spared_and_other_words_are_not(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    transform = Leace(pairs=16, layers=(0.0, 0.0)).architecture(run, model)
    seen: list[torch.Tensor] = []
    ids = tokenizer("The nurse said that she was good", return_tensors="pt")["input_ids"]
    layer = layers_of(model)[0].module

    def read() -> torch.Tensor:
        with torch.no_grad():
            return model(input_ids=ids, output_hidden_states=True).hidden_states[1][0]

    before = read()
    transform.apply(model, transform.fit(model))
    handle = layer.register_forward_hook(lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out))
    read()
    after = seen[-1][0]
    handle.remove()
    place = ids[0].tolist().index(tokenizer(" she")["input_ids"][0])
    changed = [not torch.equal(after[t], before[t]) for t in range(len(before))]
    assert changed[place] is False and sum(changed) >= len(before) - 2
    transform.revert(model)
    assert torch.equal(read(), before)


@pytest.mark.parametrize("plugin", [Leace, Inlp])
def test_the_mask_of_a_masked_model_is_not_spared(plugin: Any, tiny: Any, run_of: Any) -> None:
    """The model predicts at it; the other special tokens, and words that name a group, stay as they are."""
    model, tokenizer = tiny("masked")
    run = run_of(model, tokenizer, "masked")
    transform = plugin(pairs=16, layers=(1.0, 1.0), positions="neutral").architecture(run, model)
    ids = tokenizer(f"The {tokenizer.mask_token} said that she was good", return_tensors="pt")["input_ids"]
    seen: list[torch.Tensor] = []

    def read() -> torch.Tensor:
        handle = layers_of(model)[-1].module.register_forward_hook(
            lambda m, a, out: seen.append(out[0] if isinstance(out, tuple) else out)
        )
        with torch.no_grad():
            model(input_ids=ids)
        handle.remove()
        return seen[-1][0]

    before = read()
    artifact = transform.fit(model)
    transform.apply(model, artifact)
    after = read()
    changed = {int(token): not torch.equal(a, b) for token, a, b in zip(ids[0], after, before, strict=True)}
    assert changed[tokenizer.mask_token_id] is True
    she = tokenizer(" she", add_special_tokens=False)["input_ids"][0]
    assert [changed[token] for token in (tokenizer.cls_token_id, tokenizer.sep_token_id, she)] == [False] * 3
    spared = artifact.tensors["spared"].tolist()
    assert set(tokenizer.all_special_ids) - set(spared) == {tokenizer.mask_token_id}


def test_strength_0_puts_nothing_in(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    transform = Leace(strength=0.0).architecture(run_of(model, tokenizer), model)
    transform.apply(model, transform.fit(model))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert transform.fold(model) is False


def test_what_is_refused_before_anything_changes(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny()
    run = run_of(model, tokenizer)
    with pytest.raises(UsageError) as caught:
        Leace(pairs=1).architecture(run, model).fit(model)
    assert str(caught.value).startswith("option pairs: too few hidden states to fit on: female ")
    assert "each group needs at least 30" in str(caught.value)
    with pytest.raises(UsageError, match='set positions = "all"'):
        Leace(form="after-norm")
    with pytest.raises(UsageError, match="layers begin at 0.9 of the depth"):
        Leace(layers=(0.9, 0.1))
    fitted = Leace(pairs=16).architecture(run, model).fit(model)
    other = family_model("gpt2", n_embd=16)
    with pytest.raises(UsageError, match="is for states of width 32, those of the model have 16"):
        Leace().architecture(replace(run, step_id="x"), other).apply(other, fitted)
    assert not any(m._forward_hooks for m in (*model.modules(), *other.modules()))
