"""A fusion trains nothing but itself, is regularised, can be weakened, saved, switched, and says what it hears."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from small_host import FAMILIES, Host

from evenhand_adapterfusion import active, available, fusion_layers, set_active, using
from evenhand_adapterfusion.adapter_fusion import AdapterFusion, section
from evenhand_adapterfusion.adapter_sum import AdapterSum
from evenhand_adapterfusion.base_digest import base_digest
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_adapterfusion.fusion_attention import FusionAttention, fusion_attention
from evenhand_adapterfusion.task_adapter import TaskAdapter
from evenhand_sdk import Artifact, UsageError

NAMES = ["gender", "religion", "task"]
REFERENCES = [f"step:{n}" for n in NAMES]


def three_adapters(host: Any, family: str = "llama", **options: Any) -> Host:
    """Two debiasing adapters and a task adapter, each trained on its own."""
    run: Host = host(family)
    run.step(DebiasingAdapter, "gender", reduction=4, **options)
    run.learn()
    run.step(DebiasingAdapter, "religion", reduction=4, earlier="off", **options)
    run.learn()
    run.step(TaskAdapter, "task", reduction=2, **options)
    run.learn()
    return run


@pytest.mark.parametrize("placement", ["pfeiffer", "houlsby"])
@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_the_fusion_and_nothing_else(host: Any, family: str, placement: str) -> None:
    import torch

    run = three_adapters(host, family, placement=placement)
    transform = run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    before, names = run.weights(), set(transform.trainable(run.model))
    assert names and all(".adapter_fusion_layer.fusion." in n for n in names)
    artifact = run.train()["fusion"]
    moved = {n for n, p in run.weights().items() if not torch.equal(p, before[n])}
    # softmax does not depend on the bias of K: adding it to every score changes nothing
    assert names - moved <= {n for n in names if n.endswith("key.bias")}
    assert moved <= names
    assert set(artifact.tensors) == names
    assert artifact.meta == {
        "evenhand": "adapter-fusion",
        "adapters": NAMES,
        "base_digest": base_digest(run.base),
    }
    assert not any(p.requires_grad for n, p in run.model.named_parameters() if "adapter" in n)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fusion_of_untrained_adapters_is_the_identity(host: Any, family: str) -> None:
    import torch

    run = host(family)
    for name in NAMES:
        run.step(DebiasingAdapter, name)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    assert torch.equal(run.logits(), run.logits(run.base))


def test_the_value_regularisation_is_the_squared_distance_of_v_to_the_identity(host: Any) -> None:
    """H = 32, two layers. V = I with 1e-6 beside the diagonal, by hand: 2 * 32 * 31 * 1e-12. With V = 0: 2 * 32."""
    import torch

    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES, value_regularisation=0.5)
    term = run.terms[0]
    assert (term.name, term.weight, term.anchor) == ("value regularisation", 0.5, True)
    assert term.fn(None, None).item() == pytest.approx(2 * 32 * 31 * 1e-12, rel=1e-3)
    first, second = fusion_layers.modules(run.model, "fusion")
    with torch.no_grad():
        first.value.weight.zero_()
        second.value.weight.zero_()
        assert term.fn(None, None).item() == 64.0
        first.value.weight[0, 1] = 3.0
        assert term.fn(None, None).item() == 73.0
    term.fn(None, None).backward()
    assert float(first.value.weight.grad[0, 1]) == 6.0
    assert float(second.value.weight.grad[0, 0]) == -2.0


def test_a_strong_value_regularisation_holds_v_at_the_identity(host: Any) -> None:
    """Adam moves each entry by about the learning rate (1e-2) a step, whatever the gradient's size is."""
    distance = {}
    for weight in (0.0, 100.0):
        run = three_adapters(host)
        run.step(AdapterFusion, "fusion", adapters=REFERENCES, value_regularisation=weight)
        assert len(run.terms) == (1 if weight else 0)
        run.train(steps=20)
        distance[weight] = float(fusion_layers.value_distance(run.model, "fusion"))
    assert distance[100.0] < 0.2 * distance[0.0]


@pytest.mark.parametrize("family", FAMILIES)
def test_at_strength_0_the_trained_fusion_is_the_identity(host: Any, family: str) -> None:
    import torch

    run = three_adapters(host, family)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES, strength=0.0)
    run.learn()
    assert torch.equal(run.logits(), run.logits(run.base))


def test_strength_scales_the_fused_change(host: Any) -> None:
    """out - h of a fusion layer at strength 0.5 is half of that at strength 1: the value matrix has no bias."""
    import torch

    values = []
    for strength in (1.0, 0.5):
        run = three_adapters(host)
        run.step(AdapterFusion, "fusion", adapters=REFERENCES, strength=strength)
        run.learn()
        values.append(fusion_layers.modules(run.model, "fusion")[0])
    query, z, h = (torch.randn(shape, generator=torch.Generator().manual_seed(k)) for k, shape in
                   enumerate([(1, 5, 32), (1, 5, 3, 32), (1, 5, 32)]))  # fmt: skip
    with torch.no_grad():
        full, half = (module.eval()(query, z, z, h) - h for module in values)
    assert torch.allclose(half, 0.5 * full, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_revert_gives_back_the_adapters_as_they_were(host: Any, family: str) -> None:
    import torch

    run = three_adapters(host, family)
    before, setup = run.logits(), run.model.active_adapters
    transform = run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    assert not torch.equal(run.logits(), before)
    transform.revert(run.model)
    assert torch.equal(run.logits(), before)
    assert run.model.active_adapters == setup
    for name in reversed(NAMES):
        run.transforms[name].revert(run.model)
    assert torch.equal(run.logits(), run.logits(run.base))
    assert [n for n, _ in run.model.named_modules()] == [n for n, _ in run.base.named_modules()]


@pytest.mark.parametrize("family", FAMILIES)
def test_save_and_load_in_recipe_order_give_the_same_logits(host: Any, family: str, tmp_path: Any) -> None:
    import torch

    run = three_adapters(host, family)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES, strength=0.5)
    run.learn()
    trained = run.logits()
    for name, transform in run.transforms.items():
        (tmp_path / name).mkdir()
        transform.save(run.model, tmp_path / name)
    assert {p.suffix for p in (tmp_path / "fusion").iterdir()} == {".safetensors", ".json"}
    fresh = copy.deepcopy(run.base)
    for name, transform in run.transforms.items():
        transform.load(fresh, tmp_path / name)
    assert torch.equal(run.logits(fresh), trained)
    assert available(fresh) == ("gender", "religion", "task")
    for transform in reversed(run.transforms.values()):
        transform.revert(fresh)
    assert torch.equal(run.logits(fresh), run.logits(run.base))


def test_two_fusions_whose_names_begin_alike(host: Any, tmp_path: Any) -> None:
    """The host calls unnamed steps adapter-fusion and adapter-fusion-2; files of one must not disturb the other."""
    import torch

    run = three_adapters(host)
    run.step(DebiasingAdapter, "race", reduction=4)
    run.learn()
    for name, adapters in (("adapter-fusion", REFERENCES[:2]), ("adapter-fusion-2", [REFERENCES[2], "step:race"])):
        run.step(AdapterFusion, name, adapters=adapters)
        run.learn()
    trained = run.logits()
    for name, transform in run.transforms.items():
        (tmp_path / name).mkdir()
        transform.save(run.model, tmp_path / name)
    fresh = copy.deepcopy(run.base)
    for name, transform in run.transforms.items():
        transform.load(fresh, tmp_path / name)
    assert torch.equal(run.logits(fresh), trained)
    for name, p in fresh.named_parameters():
        assert torch.equal(p, run.weights()[name])


def test_an_adapter_is_combined_once(host: Any) -> None:
    """Also after its training, a second combination would switch the first one off without a word."""
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES[:2])
    run.learn()
    before = run.logits()
    for plugin in (AdapterFusion, AdapterSum):
        with pytest.raises(UsageError) as caught:
            run.step(plugin, "more", adapters=REFERENCES[1:])
        assert (
            str(caught.value)
            .splitlines()[0]
            .endswith("adapter 'religion' is in 'fusion' already, which 'more' would switch off")
        )
        assert torch_equal(run.logits(), before)


def torch_equal(one: Any, other: Any) -> bool:
    import torch

    return torch.equal(one, other)


def test_a_fusion_of_another_base_is_refused(host: Any, tmp_path: Any) -> None:
    run = three_adapters(host)
    transform = run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    transform.save(run.model, tmp_path)
    for one in ("task", "religion", "gender"):
        run.transforms[one].save(run.model, tmp_path / one)
    other = copy.deepcopy(run.base)
    for one in ("gender", "religion", "task"):
        run.transforms[one].load(other, tmp_path / one)
    next(p for n, p in other.named_parameters() if n.endswith("norm.weight")).data[0] += 1
    with pytest.raises(UsageError, match="the fusion 'fusion' was trained for another base model"):
        transform.load(other, tmp_path)


def test_an_artifact_puts_the_trained_fusion_back(host: Any) -> None:
    import torch

    run = three_adapters(host)
    transform = run.step(AdapterFusion, "fusion", adapters=REFERENCES, strength=0.5)
    artifact = run.learn()["fusion"]
    trained = run.logits()
    transform.revert(run.model)
    transform.apply(run.model, artifact)
    assert torch.equal(run.logits(), trained)


def test_a_bfloat16_model_gets_a_bfloat16_fusion(host: Any) -> None:
    import torch

    run = host()
    run.model.to(torch.bfloat16)
    for name in NAMES:
        run.step(DebiasingAdapter, name)
        run.learn()
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    assert {p.dtype for p in run.model.parameters()} == {torch.bfloat16}
    assert torch.isfinite(run.logits()).all()
    found = fusion_attention(run.model, "fusion", run.tokenizer)
    assert torch.allclose(found.layers.sum(-1), torch.ones(2), atol=1e-3)


def test_a_frozen_fusion_multiplies_in_one_product(host: Any) -> None:
    """Permuted inputs of a frozen matrix would be multiplied token by token, twenty times slower."""
    import torch

    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    seen = []
    module = fusion_layers.modules(run.model, "fusion")[0]
    for part in (module.key, module.value):
        part.register_forward_hook(lambda m, inputs, output: seen.append(inputs[0].is_contiguous()))
    with torch.enable_grad():  # else its products are multiplied out
        run.model(torch.tensor([[5, 6, 7]]))
    assert seen == [True, True]


def test_adapters_that_are_not_fused_stay_on(host: Any) -> None:
    run = three_adapters(host)
    transform = run.step(AdapterFusion, "fusion", adapters=["step:gender", "step:task"])
    assert repr(run.model.active_adapters) == "Stack[religion, Fuse[gender, task]]"
    transform.revert(run.model)
    assert repr(run.model.active_adapters) == "Stack[gender, religion, task]"


def test_generation_through_a_fusion_sees_its_past(host: Any) -> None:
    import torch

    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    ids = run.tokenizer("The nurse said that she", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        cached = run.model.generate(ids, max_new_tokens=6, do_sample=False, use_cache=True)
        whole = run.model.generate(ids, max_new_tokens=6, do_sample=False, use_cache=False)
    assert torch.equal(cached, whole)


# ------------------------------------------------------------------------------------------------ switching
@pytest.mark.parametrize("family", FAMILIES)
def test_switching_all_adapters_off_gives_the_base_model(host: Any, family: str) -> None:
    import torch

    run = three_adapters(host, family)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    fused = run.logits()
    with using(run.model):
        assert torch.equal(run.logits(), run.logits(run.base))
    assert torch.equal(run.logits(), fused)
    set_active(run.model)
    assert active(run.model) == ()
    assert torch.equal(run.logits(), run.logits(run.base))
    set_active(run.model, ["task", "gender", "religion"])
    assert active(run.model) == ("gender", "religion", "task")
    assert torch.equal(run.logits(), fused)


def test_one_adapter_of_a_fusion_can_be_switched_off(host: Any) -> None:
    """The attention is spread over those that are left: with one left it gets all of it."""
    import torch

    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    seen: list[Any] = []
    module = fusion_layers.modules(run.model, "fusion")[0]
    handle = module.register_forward_hook(lambda m, i, o: seen.append((i[1].shape[2], o, m.value(i[2]), i[3])))
    for names in ("task", ["gender", "task"], NAMES):
        with using(run.model, names):
            run.logits()
    handle.remove()
    assert [count for count, *_ in seen] == [1, 2, 3]
    _, out, value, residual = seen[0]
    assert torch.allclose(out, residual + value[:, :, 0], atol=1e-6)


def test_without_a_fusion_adapters_are_stacked(host: Any) -> None:
    import torch

    run = host()
    run.step(DebiasingAdapter, "gender")
    run.learn()
    one = run.logits()
    run.step(DebiasingAdapter, "religion")
    run.learn()
    both = run.logits()
    set_active(run.model, "gender")
    assert torch.equal(run.logits(), one)
    set_active(run.model, ["religion", "gender"])
    assert torch.equal(run.logits(), both)


def test_requests_in_other_threads_are_not_disturbed(host: Any) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import torch

    run = three_adapters(host)
    fused = run.logits()
    with using(run.model), ThreadPoolExecutor(1) as pool:
        assert torch.equal(run.logits(), run.logits(run.base))
        assert torch.equal(pool.submit(run.logits).result(), fused)


def test_requests_of_one_batch_choose_their_own_adapters(host: Any) -> None:
    from evenhand.contributions import Request
    from evenhand.generation import generate
    from evenhand_adapterfusion.preparation import release

    run = three_adapters(host)
    for parameter in run.model.parameters():
        parameter.requires_grad_(False)

    def said(model: Any, **meta: Any) -> Request:
        return Request(prompt="The nurse said that", max_new_tokens=8, meta=meta)

    asked = [said(run.model), said(run.model, adapters=[]), said(run.model, adapters=["task"]), said(run.model)]
    found = [answer.text for answer in generate(run.model, run.tokenizer, asked)]
    alone = [answer.text for answer in generate(run.base, run.tokenizer, asked[:1])]
    with using(run.model, "task"):
        task = [answer.text for answer in generate(run.model, run.tokenizer, asked[:1])]
    assert found[1:3] == [*alone, *task] and found[0] == found[3]
    assert len(set(found)) == 3, "another set of adapters is another model"
    with pytest.raises(UsageError) as error:
        generate(run.model, run.tokenizer, [said(run.model, adapters=0.0)])
    assert str(error.value) == (
        "meta 'adapters' of a request: 0.0 names no adapters\n"
        "  a name, or a list of names; an empty list is the model without adapters"
    )
    with pytest.raises(UsageError, match="the model has no adapter 'taks'"):
        generate(run.model, run.tokenizer, [said(run.model, adapters=["taks"])])
    release(run.model)
    assert not hasattr(run.model, "evenhand_request_settings")


def test_an_unknown_adapter_is_refused(host: Any) -> None:
    run = three_adapters(host)
    with pytest.raises(UsageError) as error:
        set_active(run.model, ["gender", "taks"])
    assert str(error.value) == "the model has no adapter 'taks'\n  adapters: gender, religion, task"
    set_active(run.base)
    with using(run.base):
        pass
    with pytest.raises(UsageError) as error:
        set_active(run.base, "gender")
    assert str(error.value) == "the model has no adapter 'gender'\n  adapters: none"


# ---------------------------------------------------------------------------------------------- transparency
def test_the_attention_is_that_of_the_library(host: Any) -> None:
    import torch

    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    texts = ["The nurse said that she was good.", "Bread needs flour."]
    found = fusion_attention(run.model, "fusion", run.tokenizer, texts)
    rows: list[list[Any]] = [[], []]
    for text in texts:
        ids = run.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            out = run.model(input_ids=ids, output_adapter_fusion_attentions=True)
        for layer, places in out.adapter_fusion_attentions["fusion"].items():
            rows[layer].append(torch.tensor(places["output_adapter"])[0])
    slow = torch.stack([torch.cat(r).mean(0) for r in rows])
    assert torch.allclose(found.layers, slow, atol=1e-5)
    assert torch.allclose(found.contribution.sum(), torch.tensor(1.0))


def test_an_adapter_that_says_nothing_contributes_nothing(host: Any) -> None:
    """However much attention it gets: an untrained adapter's output is zero."""
    run = host()
    run.step(DebiasingAdapter, "gender")
    run.step(TaskAdapter, "task", earlier="stacked")
    run.pending = ["task"]
    run.learn()
    run.step(AdapterFusion, "fusion", adapters=["step:gender", "step:task"])
    found = fusion_attention(run.model, "fusion", run.tokenizer)
    assert found.contribution.tolist() == [0.0, 1.0]
    assert float(found.attention[0]) > 0.1


def test_the_section_names_a_debiasing_adapter_that_is_ignored() -> None:
    import torch

    found = FusionAttention(("gender", "task"), torch.tensor([[0.1, 0.9], [0.3, 0.7]]), torch.tensor([0.2, 0.8]))
    given = section(found, ["gender"])
    assert given.title == "What the fusion listens to"
    assert "an even share would be 50 %" in given.text
    assert "The fusion makes little use of gender: less than half an even share." in given.text
    assert [(f.label, f.value) for f in given.facts] == [
        ("attention on gender", 0.2),
        ("attention on task", 0.8),
        ("debiasing adapters that are hardly used", "gender"),
    ]
    assert [list(b.values) for b in given.figures] == [
        pytest.approx([0.2, 0.8]),
        pytest.approx([0.2, 0.8]),
    ]
    assert "little use" not in section(found, ["task"]).text


def test_the_hook_gives_the_section_of_its_own_fusion(host: Any) -> None:
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    run.learn()
    plugin = run.handles["fusion"].plugin
    given = plugin.transparency(run.context("fusion"), run.model, None)
    assert list(given.figures[0].labels) == NAMES
    assert sum(given.figures[0].values) == pytest.approx(1.0, abs=1e-4)
    with pytest.raises(UsageError) as error:
        plugin.transparency(run.context("fusion"), run.base, None)
    assert str(error.value) == "step 'fusion': the model has no fusion of this step"


# ------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("adapters", "message"),
    [
        (["step:a"], r"is too short \(at least 2\)"),
        (["step:a", "b"], "'b' does not refer to a step; write 'step:b'"),
        (["step:a", "step:a"], "an adapter is named twice"),
    ],
)
def test_the_option_adapters_takes_references(adapters: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AdapterFusion(adapters=adapters)


def test_a_step_that_adds_no_adapter_is_refused(host: Any) -> None:
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    with pytest.raises(UsageError) as error:
        run.step(AdapterFusion, "again", adapters=["step:gender", "step:fusion"])
    assert str(error.value) == (
        "step 'again': the step 'fusion' (adapter-fusion) adds no adapter that could be fused\n"
        "  refer to steps that use debiasing-adapter or task-adapter"
    )


def test_an_inactive_step_is_missed_by_name(host: Any) -> None:
    run = host()
    run.step(DebiasingAdapter, "gender")
    run.declare(DebiasingAdapter, "religion", active=False)
    with pytest.raises(UsageError) as error:
        run.step(AdapterFusion, "fusion", adapters=["step:gender", "step:religion"])
    assert str(error.value) == (
        "the model has no adapter 'religion' to fuse\n  adapters: gender\n"
        "  a step that is only referred to does not act: set `active = true` for it"
    )


def test_adapters_of_different_placements_cannot_be_fused(host: Any) -> None:
    run = host()
    run.step(DebiasingAdapter, "gender")
    run.step(DebiasingAdapter, "religion", placement="houlsby")
    with pytest.raises(UsageError) as error:
        run.step(AdapterFusion, "fusion", adapters=["step:gender", "step:religion"])
    assert str(error.value) == (
        'adapters can be fused when all have the placement "pfeiffer", or all "houlsby"\n'
        "  to be fused: gender, religion"
    )


def test_an_adapter_that_is_still_fused_cannot_be_reverted(host: Any) -> None:
    run = three_adapters(host)
    run.step(AdapterFusion, "fusion", adapters=REFERENCES)
    with pytest.raises(UsageError) as error:
        run.transforms["gender"].revert(run.model)
    assert str(error.value) == ("the fusion 'fusion' still uses the adapter 'gender'; take the fusion back first")


def test_a_folder_without_a_fusion_is_refused(host: Any, tmp_path: Any) -> None:
    run = three_adapters(host)
    transform = run.declare(AdapterFusion, "fusion", adapters=REFERENCES)
    with pytest.raises(UsageError) as error:
        transform.load(run.model, tmp_path)
    assert str(error.value) == f"{tmp_path}: there is no fusion in this folder"
    assert transform.apply is not None
    transform.apply(run.model, Artifact())
