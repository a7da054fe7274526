"""A measurement is taken from the cache only where all that it depends on is the same."""

from __future__ import annotations

import ast
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from data_records import GAP, benchmark
from evenhand import measuring
from evenhand.cache import digest_of
from evenhand.measuring import ENGINE, identity_of
from evenhand.plugin import Options


class Limited(Options):
    limit: int = 1


def parts(**changes: Any) -> dict[str, Any]:
    """What a measurement depends on, one of it changed."""
    info = SimpleNamespace(digest="weights", tokenizer_fingerprint="pieces")
    for key in ("digest", "tokenizer_fingerprint"):
        if key in changes:
            setattr(info, key, changes[key])
    made = replace(
        benchmark(GAP), **{k: changes[k] for k in ("mode", "version", "data_digest", "texts") if k in changes}
    )
    run = SimpleNamespace(seed=changes.get("seed", 0))
    return {
        "step": SimpleNamespace(plugin=None, options=Limited(limit=changes.get("limit", 1))),
        "benchmark": made,
        "loaded": SimpleNamespace(info=info, model=SimpleNamespace(device=changes.get("device", "cpu"))),
        "recipe": SimpleNamespace(run=run, evaluation=SimpleNamespace(batch_tokens=changes.get("batch_tokens", 4096))),
        "mode": changes.get("scoring", "float32"),
    }


def key(**changes: Any) -> str:
    return digest_of(identity_of(**parts(**changes)))


CHANGES = (
    "digest", "tokenizer_fingerprint", "mode", "version", "data_digest", "scoring",
)  # fmt: skip


def test_other_items_make_another_key_also_where_no_digest_of_them_is_given() -> None:
    one, same, other = ({"texts": lambda t=text: {"0": t}} for text in ("he is", "he is", "she is"))
    assert key(**one) == key(**same)
    assert len({key(), key(**one), key(**other)}) == 3


def test_each_part_makes_another_key() -> None:
    keys = [key(), *(key(**{name: "another"}) for name in CHANGES), key(limit=2), key(seed=1), key(batch_tokens=512)]
    keys.append(key(device="meta"))
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


@pytest.mark.parametrize("library", ["torch", "transformers"])
def test_another_version_of_a_library_makes_another_key(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(f"{library}.__version__", "9.9.9")
    assert key() != before


@pytest.mark.parametrize("asked", ["torch.cpu._is_amx_tile_supported", "torch.cpu._is_avx512_bf16_supported"])
def test_a_processor_with_other_units_for_bf16_makes_another_key(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for answer in (True, False):
        monkeypatch.setattr(asked, lambda answer=answer: answer)
        keys.add(key())
    assert len(keys) == 2


@pytest.mark.parametrize("asked", ["platform.machine", "torch.backends.cpu.get_cpu_capability"])
def test_a_processor_of_other_instructions_makes_another_key(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr(asked, lambda: "another")
    assert key() != before


def test_another_accelerator_of_the_same_kind_makes_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = set()
    for name in ("one", "another"):
        monkeypatch.setattr("torch.cuda.get_device_name", lambda place, name=name: name)
        keys.add(key(device="cuda:0"))
    assert len(keys) == 2


@pytest.mark.parametrize("module", ENGINE)
def test_other_code_that_scores_makes_another_key(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, original = key(), measuring.sha256_text
    source = (measuring.Path(measuring.__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    monkeypatch.setattr(measuring, "sha256_text", lambda text: original(text + "#" if text == source else text))
    assert key() != before


def test_whatever_the_scoring_imports_of_the_core_counts() -> None:
    """All modules that those which score import, and those that these import, save for what computes no number."""
    core = measuring.Path(measuring.__file__).parent
    no_numbers = {
        "contributions",
        "devices",  # what it says of one is part of the key
        "errors",
        "progress",
        "model_kind",  # what a model is follows from its configuration, which counts with the digest
        "models",  # its digest counts, and its format
        "remote",  # of a model behind an endpoint nothing is kept
        "saved_without",  # it speaks when a model is saved
    }
    for module in ENGINE:
        tree = ast.parse((core / f"{module}.py").read_text(encoding="utf-8"))
        for node in (n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"):
            node.body = []
        imports = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module]
        found = {n.module.split(".")[1] for n in imports if n.module.startswith("evenhand.")}
        found |= {a.name for n in imports if n.module == "evenhand" for a in n.names}
        assert found <= {*ENGINE, *no_numbers}, module


def test_other_code_of_the_benchmark_makes_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    import evenhand_sdk  # noqa: F401
    import evenhand_standard  # noqa: F401

    class Mine:
        __module__ = "evenhand_standard.benchmarks.mine"

    given = parts()
    given["step"].plugin = Mine
    keys = {digest_of(identity_of(**given)), key()}
    for name in ("evenhand_standard", "evenhand_sdk"):
        with pytest.MonkeyPatch.context() as patch:
            original = measuring.package_digest
            patch.setattr(measuring, "package_digest", lambda n, o=original, name=name: "new" if n == name else o(n))
            keys.add(digest_of(identity_of(**given)))
    assert len(keys) == 4
