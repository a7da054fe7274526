"""The fourteen checks: good plugins of every stage pass them all, and each rule is broken once."""

from __future__ import annotations

import gc
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evenhand.errors import ConformanceFailed, DataNotFound, UnknownPlugin
from evenhand_sdk import (
    Benchmark,
    DataTransform,
    DecodingRule,
    Finding,
    ItemRecord,
    LossTerm,
    Metric,
    ModelTransform,
    Monitor,
    Options,
    Plugin,
    RowAccount,
    StrengthOptions,
    conformance,
    hookimpl,
)
from evenhand_sdk.conformance import (
    CHECKS,
    Case,
    CheckFailed,
    Report,
    Row,
    Skipped,
    check_plugin,
    parametrize_with_checks,
    run_check,
)

pytest_plugins = ["pytester"]

GOOD = (
    "keep-short",
    "quiet-logits",
    "bottleneck",
    "flatter",
    "length-monitor",
    "model-size",
    "two-sentences",
)
SKIPPED = {
    "keep-short": ["model_contract", "saves_and_loads"],
    "quiet-logits": ["rows_accounted", "saves_and_loads"],
    "bottleneck": ["rows_accounted"],
    "flatter": ["rows_accounted", "saves_and_loads"],
    "length-monitor": ["rows_accounted", "model_contract", "strength_zero", "saves_and_loads"],
    "model-size": ["rows_accounted", "model_contract", "strength_zero", "saves_and_loads"],
    "two-sentences": ["rows_accounted", "model_contract", "strength_zero", "saves_and_loads"],
}


def test_there_are_fourteen_checks_and_each_says_what_it_checks() -> None:
    assert list(CHECKS) == [
        "light_import", "entry_point", "configuration", "hooks_known_and_marked", "result_types", "seeded",
        "inputs_untouched", "rows_accounted", "model_contract", "strength_zero", "composes", "saves_and_loads",
        "offline", "explains_itself",
    ]  # fmt: skip
    for name, check in CHECKS.items():
        assert check.__name__ == f"check_{name}" and (check.__doc__ or "").endswith(".")
        assert getattr(conformance, check.__name__) is check


@pytest.mark.slow
@pytest.mark.parametrize("name", GOOD)
def test_a_good_plugin_of_each_stage_passes_by_name(examples: ModuleType, name: str) -> None:
    seen: list[Row] = []
    report = check_plugin(name, seen.append)
    assert report.ok and report.demand() is report, str(report)
    assert tuple(seen) == report.rows and [row.check for row in seen] == list(CHECKS)
    assert [row.check for row in report.rows if row.status == "skipped"] == SKIPPED[name]
    assert all(row.reason for row in report.rows if row.status == "skipped")


# ------------------------------------------------------------------------------------- broken in one place
def broken(examples: ModuleType, base: str, **changes: Any) -> type[Plugin]:
    """A good example with one thing changed, in the module of the good ones."""
    return type(base, (getattr(examples, base),), {"__module__": "evenhand_examples", **changes})


def reason(plugin: type[Plugin], check: str) -> str:
    row = run_check(plugin, check)
    assert row.status == "failed", row
    return row.reason


def hook(stage: str, work: Callable[..., Any]) -> dict[str, Any]:
    """`work(self, run)` as a marked hook."""
    signatures = {
        "data": lambda self, run, split, model: work(self, run),
        "objective": lambda self, run, model: work(self, run),
        "architecture": lambda self, run, model: work(self, run),
        "decoding": lambda self, run, model: work(self, run),
        "monitoring": lambda self, run: work(self, run),
        "evaluation": lambda self, run: work(self, run),
    }
    return {stage: hookimpl(signatures[stage])}


def test_light_import_names_what_is_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "heavy_example.py").write_text("import numpy\nfrom evenhand_sdk import Plugin\nclass P(Plugin): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import heavy_example  # type: ignore[import-not-found]

    assert reason(heavy_example.P, "light_import") == (
        "importing heavy_example imports numpy: import inside the hooks instead"
    )


def test_entry_point(examples: ModuleType) -> None:
    assert reason(broken(examples, "Flatter", name="Flat_ter"), "entry_point") == (
        "name is 'Flat_ter', it must be lower-case words joined by hyphens"
    )
    undeclared = broken(examples, "Flatter", name="flat", __qualname__="Flat")
    assert reason(undeclared, "entry_point") == (
        'no installed distribution declares it: put flat = "evenhand_examples:Flat" '
        'under [project.entry-points."evenhand.plugins"]'
    )
    assert reason(broken(examples, "Flatter", name="flat"), "entry_point") == (
        "the entry point is called 'flatter', the class 'flat'"
    )


def test_a_plugin_for_one_kind_of_model_is_told_how_to_say_so(examples: ModuleType) -> None:
    def rule(self: Any, run: Any) -> DecodingRule:
        return DecodingRule(name="flat", next_logits=lambda ids, logits, contexts: logits / 2)

    both = broken(examples, "Flatter", kinds=("causal", "masked"), **hook("decoding", rule))
    assert reason(both, "result_types") == (
        "masked model: generate: this model fills gaps, it does not continue text use a causal model, or leave out "
        "the steps that need generated text; if it is meant for causal models only, put `kinds = ('causal',)` into "
        "the class"
    )

    def wrong(self: Any, run: Any) -> Any:
        return ["no rule"]

    assert "kinds = " not in reason(broken(examples, "Flatter", kinds=("causal", "masked"), **hook("data", wrong)),
                                    "result_types")  # fmt: skip


def test_published_files_must_be_declared(
    examples: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    from evenhand_sdk.benchmark_data import CROWS_PAIRS, find_file

    def benchmark(self: Any, run: Any) -> Any:
        find_file(CROWS_PAIRS, tmp_path)

    reads = hook("evaluation", benchmark)
    assert reason(broken(examples, "TwoSentences", **reads), "offline") == (
        "causal model: it reads crows_pairs/crows_pairs_anonymized.csv, which it does not declare: put "
        "`data_files = (...)` with its KnownFile into the class, or override `files_for`, so that `toolkit validate` "
        "can look for it"
    )
    row = run_check(broken(examples, "TwoSentences", data_files=(CROWS_PAIRS,), **reads), "offline")
    assert row.status == "skipped" and row.reason.startswith("its data are not here: the benchmark file crows_pairs/")


def test_configuration(examples: ModuleType) -> None:
    class Required(StrengthOptions):
        teacher: str
        """The step to learn from."""

    class Lenient(StrengthOptions, extra="ignore"):
        pass

    class Silent(StrengthOptions):
        depth: int = 1

    class Unbounded(Options):
        strength: float = 1.0
        """How much."""

    found = {
        kind.__name__: reason(broken(examples, "Flatter", Options=kind), "configuration")
        for kind in (Required, Lenient, Silent, Unbounded, Options)
    }
    assert found == {
        "Required": "it cannot be made with its default options: option teacher has no default; "
        "set `example_options` on the class",
        "Lenient": "an option that it does not declare is accepted: Options must forbid extra fields",
        "Silent": "option 'depth' has neither a description nor a docstring under it",
        "Unbounded": "strength = -0.01 is accepted; it must lie in [0, 1]",
        "Options": "a Mitigation needs an option `strength`: derive Options from StrengthOptions",
    }
    completed = broken(examples, "Flatter", Options=Required, example_options={"teacher": "step:flatter"})
    assert run_check(completed, "configuration").status == "passed"


def test_hooks_known_and_marked(examples: ModuleType) -> None:
    unmarked = broken(examples, "Flatter", data=lambda self, run, split, model: None)
    assert "Flatter.data overrides a hook but lacks @hookimpl" in reason(unmarked, "hooks_known_and_marked")
    unknown = broken(examples, "Flatter", decodes=hookimpl(lambda self, run: None))
    assert "there is no such hook; did you mean 'decoding'?" in reason(unknown, "hooks_known_and_marked")


def test_result_types(examples: ModuleType) -> None:
    wrong = broken(examples, "KeepShort", **hook("data", lambda self, run: [1]), kinds=("causal",))
    assert reason(wrong, "result_types") == (
        "hook `data`: it returned int, it must return DataTransform, a list, or None"
    )
    nothing = broken(examples, "KeepShort", **hook("data", lambda self, run: None), kinds=("causal",))
    assert reason(nothing, "result_types") == (
        "with its default options no hook returned anything, so there is nothing to check"
    )
    listed = broken(
        examples, "KeepShort", **hook("data", lambda self, run: DataTransform(fn=lambda rows: rows["text"]))
    )
    assert "must return a datasets.Dataset with a column `text`" in reason(listed, "result_types")
    monitor = Monitor(name="m", observe=lambda seen: ["odd"])  # type: ignore[list-item]
    said = broken(examples, "LengthMonitor", **hook("monitoring", lambda self, run: monitor), kinds=("masked",))
    assert reason(said, "result_types") == "monitor 'm' gave str, not a Finding or Intervention"
    for part, what in (("observe", "findings and interventions"), ("probes", "requests")):
        calls: dict[str, Any] = {"observe": lambda seen: [], part: lambda seen: None}
        silent = Monitor(name="m", **calls)
        made = hook("monitoring", lambda self, run, silent=silent: silent)
        assert reason(broken(examples, "LengthMonitor", **made, kinds=("masked",)), "result_types") == (
            f"monitor 'm': `{part}` returned NoneType, it must return a list of {what}, which may be empty"
        )
    records = [ItemRecord(id="1", cluster="1", values={"x": 1.0})]
    for metrics, expected in (
        ([Metric(name="y", value="y", target=0, primary=True)], "no record has the value 'y'"),
        ([Metric(name="x", value="x", target=0)], "exactly one metric must be primary, here are 0"),
    ):
        benchmark = Benchmark(name="b", title="B", score=lambda measured: records, metrics=metrics)
        made = hook("evaluation", lambda self, run, benchmark=benchmark: benchmark)
        found = reason(broken(examples, "TwoSentences", **made, kinds=("causal",)), "result_types")
        assert found == f"benchmark 'b': {expected}"
    metric = Metric(name="x", value="x", target=0, primary=True)
    mute = Benchmark(name="b", title="B", score=lambda measured: records, metrics=[metric], texts=lambda: {"2": "so"})
    made = hook("evaluation", lambda self, run: mute)
    found = reason(broken(examples, "TwoSentences", **made, kinds=("causal",)), "result_types")
    assert found == "benchmark 'b': `texts` has no text for item '1'"
    ratio = Metric(name="ratio", statistic=lambda sample: sample.mean("x"), target=0, primary=True)
    pair = Metric(name="pair", statistic=lambda sample: [1.0, 2.0], target=0, primary=True)
    for metric, status, why in ((ratio, "passed", ""), (pair, "failed", "returned shape [2] for 1 resamples")):
        benchmark = Benchmark(name="b", title="B", score=lambda measured: records, metrics=[metric])
        made = hook("evaluation", lambda self, run, benchmark=benchmark: benchmark)
        row = run_check(broken(examples, "TwoSentences", **made, kinds=("causal",)), "result_types")
        assert row.status == status and why in row.reason
    shapes = DecodingRule(name="r", next_logits=lambda ids, logits, contexts: logits[:, :5])
    assert reason(broken(examples, "Flatter", **hook("decoding", lambda self, run: shapes)), "result_types") == (
        "DecodingRule 'r': `next_logits` returned a tensor of shape [20, 5], it must return logits of shape [20, 969]"
    )


def test_what_does_nothing_passes_with_a_note(examples: ModuleType) -> None:
    rest = "; in a run a step that changes nothing fails, so try it on a text of yours"
    idle = DataTransform(fn=lambda rows: rows)
    lazy = DecodingRule(name="r", next_logits=lambda ids, logits, contexts: logits)
    for base, stage, part, what in (
        ("KeepShort", "data", idle, "it changed none of the 24 rows of the checks"),
        ("Flatter", "decoding", lazy, "it changed no distribution on the texts of the checks"),
        ("Bottleneck", "architecture", ModelTransform(apply=lambda m, a: None, revert=lambda m: None),
         "it changed no logit on the texts of the checks"),
    ):  # fmt: skip
        plugin = broken(examples, base, **hook(stage, lambda self, run, part=part: part), shapes_training=False)
        assert run_check(plugin, "result_types") == Row("result_types", "passed", f"note: {what}{rest}")
    for base in ("KeepShort", "Flatter", "Bottleneck"):
        assert run_check(getattr(examples, base), "result_types") == Row("result_types", "passed")


def test_seeded(examples: ModuleType) -> None:
    def shuffled(self: Any, run: Any) -> DataTransform:
        import torch

        return DataTransform(fn=lambda rows: rows.select(torch.randperm(len(rows)).tolist()))

    assert reason(broken(examples, "KeepShort", **hook("data", shuffled)), "seeded") == (
        "causal model: two runs with one seed differ at the stage data: draw from a generator seeded with "
        "run.seed_for(...)"
    )

    def timed(self: Any, run: Any) -> Monitor:
        import time

        def observe(seen: Any) -> list[Finding]:
            return [Finding(title=str(time.perf_counter_ns()))]

        return Monitor(name="m", observe=observe)

    assert "at the stage monitoring" in reason(broken(examples, "LengthMonitor", **hook("monitoring", timed)), "seeded")


def test_inputs_untouched(examples: ModuleType) -> None:
    def scaled(self: Any, run: Any) -> LossTerm:
        def fn(batch: Any, outputs: Any) -> Any:
            batch.attention_mask[:, 0] = 0
            return outputs.loss

        return LossTerm(name="l", fn=fn)

    term = broken(examples, "QuietLogits", **hook("objective", scaled), kinds=("causal",))
    assert reason(term, "inputs_untouched") == "loss term 'l' changes batch.attention_mask in place"

    in_place = DecodingRule(name="r", next_logits=lambda ids, logits, contexts: logits.div_(2))
    rule = broken(examples, "Flatter", **hook("decoding", lambda self, run: in_place))
    assert reason(rule, "inputs_untouched") == "decoding rule 'r' changes logits in place"

    def early(self: Any, run: Any) -> ModelTransform:
        run.services.model.get_input_embeddings().weight.data.mul_(2)
        return ModelTransform(apply=lambda model, artifact: None, revert=lambda model: None)

    model = broken(examples, "Bottleneck", **hook("architecture", early), kinds=("causal",))
    assert reason(model, "inputs_untouched") == (
        "the hook `architecture` changed the model or the tokenizer; only ModelTransform.apply may"
    )


def test_rows_accounted(examples: ModuleType) -> None:
    def accounts(answer: Any) -> Any:
        return lambda self, run: DataTransform(fn=lambda rows: rows.select(range(5)), account=lambda: answer)

    def found(answer: Any) -> str:
        changes = hook("data", accounts(answer))
        return reason(broken(examples, "KeepShort", kinds=("causal",), **changes), "rows_accounted")

    assert found(None) == "its `account` gives None for a data set: count its rows"
    wrong = RowAccount(read=24, kept=5, dropped={"too long": 18})
    assert found(wrong) == (
        "its account does not add up: 5 kept, 0 changed, 18 dropped and 0 quarantined do not make 24 read"
    )
    assert found(RowAccount(read=24, kept=4, changed=2, dropped={"x": 18})) == (
        "its account does not add up: 4 kept, 2 changed and 0 added do not make the 5 rows that it returned"
    )
    right = RowAccount(read=24, kept=5, dropped={"too long": 19})
    assert found(right) == "its account does not add up: it says that it read 24 rows, it was given 27"


def test_rows_without_text_must_be_in_the_quarantine(examples: ModuleType) -> None:
    def careless(self: Any, run: Any) -> DataTransform:
        found: list[RowAccount] = []

        def fn(rows: Any) -> Any:
            good = [k for k, text in enumerate(rows["text"]) if text and text.strip()]
            found[:] = [RowAccount(read=len(rows), kept=len(good), dropped={"empty": len(rows) - len(good)})]
            return rows.select(good)

        return DataTransform(fn=fn, account=lambda: found[0])

    plugin = broken(examples, "KeepShort", kinds=("causal",), **hook("data", careless))
    assert reason(plugin, "rows_accounted") == "of 3 rows without text 0 are in its quarantine"


def test_model_contract(examples: ModuleType) -> None:
    def transform(**parts: Any) -> type[Plugin]:
        made = hook("architecture", lambda self, run: ModelTransform(**parts))
        return broken(examples, "Bottleneck", **made, kinds=("causal",))

    def double(model: Any, artifact: Any) -> None:
        model.get_input_embeddings().weight.data.mul_(3)

    def third(model: Any) -> None:
        model.get_input_embeddings().weight.data.mul_(1 / 3)

    assert reason(transform(apply=double), "model_contract") == "a ModelTransform has `apply` but no `revert`"
    assert reason(transform(apply=double, revert=third), "model_contract") == (
        "after `apply` and `revert` the logits are not bit-identical to those of before"
    )
    assert reason(transform(trainable=lambda model: ["lm_head.bias"]), "model_contract") == (
        "`trainable` names 'lm_head.bias', which is no parameter of the model"
    )
    assert reason(transform(trainable=lambda model: []), "model_contract") == "`trainable` selects no parameter"
    assert reason(broken(examples, "Bottleneck", shapes_training=False), "model_contract") == (
        "causal model: its transform selects parameters (`trainable`), so put `shapes_training = True` into the class: "
        "without it a training that no step spells out may come too early"
    )
    assert reason(transform(), "model_contract") == (
        "it says `shapes_training`, but its transform has no `trainable`, `on_step` or `finish`"
    )

    def shared(model: Any, artifact: Any) -> None:
        import torch

        layer = model.get_input_embeddings()
        layer.shift = torch.nn.Parameter(torch.full((32,), 0.1))
        shift = layer.shift
        handles.append(layer.register_forward_hook(lambda module, args, out: out + shift))

    def unshared(model: Any) -> None:
        handles.pop().remove()
        del model.get_input_embeddings().shift

    handles: list[Any] = []
    names = lambda model: [n for n, _ in model.named_parameters() if n.endswith(".shift")]  # noqa: E731
    assert reason(transform(apply=shared, revert=unshared, trainable=names), "model_contract") == (
        "a copy of the model does not use its own tensors: let forward hooks look them up on the module that they "
        "are called for"
    )

    def constant(self: Any, run: Any) -> LossTerm:
        return LossTerm(name="c", fn=lambda batch, outputs: outputs.loss.detach())

    def rows(self: Any, run: Any) -> LossTerm:
        return LossTerm(name="c", fn=lambda batch, outputs: outputs.logits.mean((0, 1)))

    flat = broken(examples, "QuietLogits", **hook("objective", constant), kinds=("causal",))
    assert reason(flat, "model_contract") == "loss term 'c' gave no gradient on sentences about people"
    wide = broken(examples, "QuietLogits", **hook("objective", rows), kinds=("causal",))
    for check in ("result_types", "seeded", "inputs_untouched", "model_contract", "composes"):
        assert re.fullmatch(
            r"LossTerm 'c': `fn` returned a tensor of shape \[\d+\], it must return a tensor with one element",
            reason(wide, check),
        ), check
    narrow = DecodingRule(name="r", next_logits=lambda ids, logits, contexts: logits[:, :5])
    assert re.fullmatch(
        r"DecodingRule 'r': `next_logits` returned a tensor of shape \[\d+, 5\], it must return logits of shape "
        r"\[\d+, \d{3}\]",
        reason(broken(examples, "Flatter", **hook("decoding", lambda self, run: narrow)), "model_contract"),
    )

    def counting(self: Any, run: Any) -> DecodingRule:
        calls: list[int] = []

        def next_logits(ids: Any, logits: Any, contexts: Any) -> Any:
            calls.append(1)
            return logits / (1 + 0.1 * len(calls))

        return DecodingRule(name="r", next_logits=next_logits)

    assert reason(broken(examples, "Flatter", **hook("decoding", counting)), "model_contract").startswith(
        "rule 'r' is no function of the prefix: at token 1 of"
    )


def test_strength_zero(examples: ModuleType) -> None:
    always = DecodingRule(name="r", next_logits=lambda ids, logits, contexts: logits / 2)
    rule = broken(examples, "Flatter", **hook("decoding", lambda self, run: always))
    assert reason(rule, "strength_zero") == (
        "with strength = 0 next-token distributions differ: it must be exactly the identity"
    )
    fewer = DataTransform(fn=lambda rows: rows.select(range(3)))
    data = broken(examples, "KeepShort", **hook("data", lambda self, run: fewer), kinds=("causal",))
    assert reason(data, "strength_zero") == "with strength = 0 the rows differ: it must be exactly the identity"
    term = LossTerm(name="l", fn=lambda batch, outputs: outputs.logits.pow(2).mean())
    objective = broken(examples, "QuietLogits", **hook("objective", lambda self, run: term), kinds=("causal",))
    assert reason(objective, "strength_zero") == (
        "with strength = 0 the trained weights differ from a training without it: it must be exactly the identity"
    )


def test_composes_and_saves(examples: ModuleType) -> None:
    def fixed_name(self: Any, run: Any) -> ModelTransform:
        import torch

        def apply(model: Any, artifact: Any) -> None:
            if hasattr(model, "fixed_name"):
                raise KeyError("the module fixed_name is already there")
            model.add_module("fixed_name", torch.nn.Linear(2, 2))

        return ModelTransform(apply=apply, revert=lambda model: delattr(model, "fixed_name"))

    twice = broken(examples, "Bottleneck", **hook("architecture", fixed_name), kinds=("causal",))
    assert reason(twice, "composes").startswith("KeyError: 'the module fixed_name is already there' (line ")

    def forgetful(self: Any, run: Any) -> ModelTransform:
        made: ModelTransform = examples.Bottleneck.architecture(self, run, run.services.model)
        return ModelTransform(fit=made.fit, apply=made.apply, revert=made.revert, trainable=made.trainable)

    lost = broken(examples, "Bottleneck", **hook("architecture", forgetful), kinds=("causal",))
    assert reason(lost, "saves_and_loads") == (
        "a fresh step with the saved artifact gives other logits: keep all that matters in it"
    )


def test_offline_also_when_the_plugin_hides_it(examples: ModuleType) -> None:
    def curious(self: Any, run: Any) -> DataTransform:
        try:
            socket.create_connection(("192.0.2.1", 80), timeout=0.01).close()
        except OSError:
            run.logger.info("no network")
        return DataTransform(fn=lambda rows: rows)

    plugin = broken(examples, "KeepShort", **hook("data", curious), kinds=("causal",))
    assert reason(plugin, "offline") == "it connects to 192.0.2.1: bring files with the package instead"
    assert socket.socket.connect.__qualname__ == "socket.connect", "the patch is taken back"


def checks_of(plugin: type[Plugin]) -> dict[str, Callable[[], None]]:
    """What an author's test is called with for each check."""
    cases = parametrize_with_checks([plugin]).args[1]
    return {case.id.removeprefix(f"{plugin.name}-"): case.values[0] for case in cases}


def test_what_a_step_does_is_found_out_once_for_the_checks_of_one_plugin(examples: ModuleType) -> None:
    """Types, equal seeds and the network take one run, and a second one where two are compared."""
    made: list[Any] = []

    def counted(self: Any, run: Any) -> DataTransform:
        made.append(run)
        return DataTransform(fn=lambda rows: rows)

    plugin = broken(examples, "KeepShort", **hook("data", counted), kinds=("causal",))
    asked = checks_of(plugin)
    for name, count in [("result_types", 1), ("seeded", 2), ("offline", 2), ("result_types", 2)]:
        asked[name]()
        assert len(made) == count, name
    for number, name in enumerate(("result_types", "offline"), 3):
        assert run_check(plugin, name).status == "passed"
        assert len(made) == number, "a check by itself looks for itself"
    again = broken(examples, "KeepShort", **hook("data", counted), kinds=("causal",))
    before = len(made)
    asked = checks_of(again)
    asked["offline"]()
    assert len(made) == before + 1, "another class is another plugin"


def test_all_checks_of_a_plugin_see_it_as_it_is_now(examples: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """What its module, or its place, was changed to since it was checked last."""
    help_: list[Callable[[Any], Any]] = [lambda rows: rows]
    plugin = broken(
        examples, "KeepShort",
        **hook("data", lambda self, run: DataTransform(fn=lambda rows: help_[0](rows))), kinds=("causal",),
    )  # fmt: skip

    def failed() -> list[str]:
        return [row.check for row in check_plugin(plugin).rows if row.status == "failed"]

    before = failed()
    help_[0] = lambda rows: None
    assert set(failed()) - set(before) >= {"result_types", "seeded", "offline"}
    help_[0] = lambda rows: rows
    assert failed() == before

    def reads(rows: Any) -> Any:
        return rows if os.environ.get("EVENHAND_DATA") != "gone" else None

    help_[0] = reads
    asked = checks_of(plugin)
    asked["offline"]()
    monkeypatch.setenv("EVENHAND_DATA", "gone")
    with pytest.raises(CheckFailed):
        asked["offline"]()


@pytest.mark.parametrize("hidden", [False, True])
def test_what_was_refused_a_network_is_not_taken_for_what_it_does(
    hidden: bool, examples: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever goes on without a network does something else with one, so other checks let it have one."""
    connected: list[bool] = []

    def connect(self: Any, address: Any) -> None:
        return None

    def curious(self: Any, run: Any) -> DataTransform:
        try:
            socket.socket().connect(("192.0.2.1", 80))
            connected.append(True)
        except OSError:
            connected.append(False)
        if not (connected[-1] or hidden):
            raise ConnectionError("no network")
        return DataTransform(fn=lambda rows: rows.select(range(3 if connected[-1] else 2)))

    monkeypatch.setattr(socket.socket, "connect", connect)
    plugin = broken(examples, "KeepShort", **hook("data", curious), kinds=("causal",))
    asked = checks_of(plugin)
    with pytest.raises(CheckFailed, match="it connects to 192.0.2.1: bring files with the package instead"):
        asked["offline"]()
    assert connected == [False]
    connected.clear()
    asked["seeded"]()  # what it does with a network is compared with what it does with a network
    assert connected[-2:] == [True, True]


def test_an_error_of_a_step_is_told_by_each_check(examples: ModuleType) -> None:
    def lost(self: Any, run: Any) -> DataTransform:
        raise RuntimeError("lost its way")

    plugin = broken(examples, "KeepShort", **hook("data", lost), kinds=("causal",))
    for check in ("result_types", "seeded", "offline"):
        assert reason(plugin, check).startswith("RuntimeError: lost its way (line ")


def test_explains_itself(examples: ModuleType) -> None:
    changes: dict[str, dict[str, Any]] = {
        "the class has no docstring: say in at least 3 words what it does": {},
        "the docstring of the class has 2 words: say in at least 3 words what it does": {"__doc__": "Two sentences."},
        "summary must be one sentence on one line that ends with a full stop": {"summary": "Flat"},
        "source is empty: name the paper that the method comes from, or say it is your own": {"source": ""},
    }
    for expected, change in changes.items():
        text = {"__doc__": "Divides logits by a number.", **change} if change else {}
        assert reason(broken(examples, "Flatter", **text), "explains_itself") == expected


# ------------------------------------------------------------------------------------------------- reports
def test_a_report_without_a_passed_check_is_a_failure() -> None:
    with pytest.raises(ConformanceFailed) as caught:
        Report("p", (Row("seeded", "skipped", "no model"),)).demand()
    assert str(caught.value) == "plugin 'p': no check was passed" and caught.value.exit_code == 1
    assert not Report("p", ()).ok
    failed = Report("p", (Row("seeded", "passed"), Row("offline", "failed", "it connects"), Row("x", "failed", "y")))
    with pytest.raises(ConformanceFailed) as caught:
        failed.demand()
    assert str(caught.value) == "plugin 'p': 2 of 3 conformance checks failed\n  offline: it connects\n  x: y"
    assert str(failed) == (
        "seeded   passed\noffline  failed   it connects\nx        failed   y\np: 1 passed, 2 failed, 0 skipped"
    )


def test_expected_failures_need_to_fail(examples: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(case: Case) -> None:
        raise CheckFailed("always")

    monkeypatch.setattr(conformance, "CHECKS", {"seeded": fails, "offline": lambda case: None})
    monkeypatch.setattr(conformance, "RUNNING", {})
    known = {"seeded": "draws from the system", "offline": "needs the hub"}
    assert check_plugin(examples.Flatter, expected_failures=known).rows == (
        Row("seeded", "skipped", "known to fail: draws from the system"),
        Row("offline", "failed", "it passes, although it is listed as known to fail (needs the hub)"),
    )
    with pytest.raises(ValueError, match="there is no conformance check 'seed'"):
        check_plugin(examples.Flatter, expected_failures={"seed": "?"})


def test_what_was_there_is_set_aside_for_the_time_of_a_check(
    examples: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside: list[int] = []

    def fails(case: Case) -> None:
        aside.append(gc.get_freeze_count())
        raise CheckFailed("always")

    monkeypatch.setattr(conformance, "CHECKS", {"seeded": fails})
    gc.unfreeze()  # all tests have their own objects set aside
    try:
        run_check(examples.Flatter, "seeded")
        assert aside[0] > 1000 and gc.get_freeze_count() == 0
        gc.freeze()
        run_check(examples.Flatter, "seeded")
        assert gc.get_freeze_count() > 1000, "what others have set aside stays there"
    finally:
        gc.freeze()


def test_missing_data_is_a_skip_with_a_reason(examples: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(case: Case) -> None:
        raise DataNotFound("set EVENHAND_DATA", where="crows-pairs")

    monkeypatch.setattr(conformance, "CHECKS", {"seeded": absent})
    assert run_check(examples.Flatter, "seeded") == Row("seeded", "skipped", "its data are not here: set EVENHAND_DATA")


def test_an_unknown_target_is_an_unknown_plugin(examples: ModuleType) -> None:
    with pytest.raises(UnknownPlugin, match="did you mean 'flatter'"):
        check_plugin("flater")
    assert check_plugin("evenhand_examples:ModelSize").plugin == "model-size"


def test_checks_can_be_called_alone(examples: ModuleType) -> None:
    case = Case(plugin=examples.Flatter)
    conformance.check_strength_zero(case)
    with pytest.raises(Skipped, match="no model transform"):
        conformance.check_saves_and_loads(case)


@pytest.mark.slow
def test_the_decorator_runs_each_check_skips_with_a_reason_and_expects_known_failures(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parent / "site")!r})
        import evenhand_examples as e
        from evenhand_sdk.conformance import parametrize_with_checks

        class Vague(e.ModelSize):
            name = "vague"

        known = {{"vague": {{"entry_point": "not installed", "explains_itself": "a test"}}}}

        @parametrize_with_checks([e.ModelSize, Vague], expected_failures=known)
        def test_contract(check):
            check()
        """
    )
    result = pytester.runpytest_subprocess("-rsx", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=18, skipped=8, xfailed=2)
    result.stdout.fnmatch_lines(["*it has no option `strength`*"])
    with pytest.raises(ValueError, match="at least one plugin class"):
        conformance.parametrize_with_checks([])
