"""The distribution as an installed one: found, checked, run by the host, resumed, and loaded again."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from evenhand_adapterfusion import active, available, fusion_layers, load_adapter, set_active

ROOT = Path(__file__).parents[2]
STEPS = """
[[steps]]
use = "debiasing-adapter"
id = "gender-adapter"
axis = "gender"
active = true
[[steps]]
use = "train"
id = "first"
[[steps]]
use = "task-adapter"
id = "task"
active = true
[[steps]]
use = "train"
id = "second"
[[steps]]
use = "adapter-fusion"
id = "fusion"
adapters = ["step:gender-adapter", "step:task"]
strength = 0.5
[[steps]]
use = "train"
id = "third"
"""
TEXT = "The nurse said that she was good.\nRain fell on the town all morning.\nHe was tired of the work.\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The distribution's metadata, made from its pyproject, first on the path; gives an empty working folder."""
    project = tomllib.loads((ROOT / "plugins/adapterfusion/pyproject.toml").read_text())["project"]
    site = tmp_path / "site" / f"evenhand_adapterfusion-{project['version']}.dist-info"
    site.mkdir(parents=True)
    required = "".join(f"Requires-Dist: {r}\n" for r in project["dependencies"])
    site.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n{required}"
    )
    lines = [f"{k} = {v}" for k, v in project["entry-points"]["evenhand.plugins"].items()]
    site.joinpath("entry_points.txt").write_text("\n".join(["[evenhand.plugins]", *lines, ""]))
    monkeypatch.syspath_prepend(str(site.parent))
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def recipe(place: Path, family: str) -> Path:
    from evenhand_sdk.tiny import save_tiny

    save_tiny(place / family, family=family)
    (place / "train.txt").write_text(TEXT)
    path = place / f"{family}.toml"
    path.write_text(
        f'[model]\nname = "{place / family}"\n[data]\ntrain = "train.txt"\n'
        '[training]\nmax_steps = 2\nlearning_rate = 1e-2\nwarmup = 0.0\nprecision = "float32"\n'
        "[traffic]\nlimit = 0\n" + STEPS
    )
    return path


def test_every_plugin_keeps_the_contract(installed: Path) -> None:
    from evenhand.discovery import discover, load

    rows = [row for row in discover().rows if row.distribution == "evenhand-adapterfusion"]
    assert [row.name for row in rows] == ["adapter-fusion", "adapter-sum", "debiasing-adapter", "task-adapter"]
    assert {row.status for row in rows} == {"ok"}
    assert [load(row).stages() for row in rows] == [
        ("objective", "architecture", "transparency"),
        ("architecture",),
        ("architecture",),
        ("architecture",),
    ]


NAMES = ("gender-adapter", "task", "fusion")


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_whole_run(installed: Path, family: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    import evenhand.api as api

    result = api.run(recipe(installed, family))
    steps = {entry["id"]: entry for entry in result.record["steps"]}
    for name in NAMES:
        assert steps[name]["state"] == "saved beside the model"
        assert all(proof["took"] for proof in steps[name]["proofs"])
    assert [s["title"] for s in result.record["sections"]] == ["What the fusion listens to"]
    assert result.record["faults"] == []
    saved = {name: next(iter((result.folder / "model/evenhand").glob(f"{name}-*"))) for name in steps if name in NAMES}
    for name, own in saved.items():
        assert steps[name]["artifact_bytes"] == sum(p.stat().st_size for p in own.rglob("*") if p.is_file()) > 1000

    model, tokenizer = api.load(result.folder)
    again, _ = api.load(result.folder)
    auto = AutoModelForMaskedLM if family == "bert" else AutoModelForCausalLM
    plain = auto.from_pretrained(result.folder / "model").eval()
    base = auto.from_pretrained(installed / family).eval()
    ids = tokenizer("The nurse said that she was good.", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        fused = model(input_ids=ids).logits
        assert torch.equal(again(input_ids=ids).logits, fused)
        assert torch.equal(plain(input_ids=ids).logits, base(input_ids=ids).logits)
        assert not torch.equal(fused, base(input_ids=ids).logits)
        assert available(model) == active(model) == ("gender-adapter", "task")
        set_active(model, "task")
        assert not torch.equal(model(input_ids=ids).logits, fused)
        set_active(model)
        assert torch.equal(model(input_ids=ids).logits, base(input_ids=ids).logits)


def test_a_step_that_is_folded_after_it_does_not_part_an_adapter_from_its_base(installed: Path) -> None:
    """It goes onto the base that it was trained on, onto `model/` of the run, and comes back with the run."""
    from transformers import AutoModelForCausalLM

    import evenhand.api as api

    path = recipe(installed, "llama")
    head = path.read_text().partition("[[steps]]")[0]
    steps = (
        'use = "debiasing-adapter"\nid = "gender"\n',
        'use = "train"\n',
        'use = "attention-temperature"\nbeta = 0.8\n',
    )
    path.write_text(head + "".join(f"[[steps]]\n{step}" for step in steps))
    result = api.run(path)
    (adapter,) = (result.folder / "model" / "evenhand").glob("gender-*")
    for place in (installed / "llama", result.folder / "model"):
        assert load_adapter(AutoModelForCausalLM.from_pretrained(place).eval(), adapter) == "gender"
    assert available(api.load(result.folder).model) == ("gender",)


def test_a_damaged_adapter_is_told_before_anything_is_changed(installed: Path) -> None:
    import evenhand.api as api
    from evenhand.errors import DigestMismatch

    result = api.run(recipe(installed, "llama"))
    tensors = next((result.folder / "model" / "evenhand").glob("gender-adapter-*/adapter.safetensors"))
    content = bytearray(tensors.read_bytes())
    content[-5] ^= 1  # in the tensors: still a file that can be read, of the same size
    tensors.write_bytes(content)
    with pytest.raises(DigestMismatch, match="the saved part of a step is damaged: adapter.safetensors does not have"):
        api.load(result.folder)


def test_a_resumed_run_ends_with_the_same_adapters(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import evenhand.api as api

    path = recipe(installed, "llama")
    whole = api.run(path, output="whole")

    class Stopped(KeyboardInterrupt):
        pass

    def stop(*arguments: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(fusion_layers, "add", stop)
        with pytest.raises(Stopped):
            api.run(path, output="parts")
    resumed = api.run(path, output="parts", resume=True)
    files = [p.relative_to(whole.folder) for p in whole.folder.glob("model/evenhand/*/*.safetensors")]
    assert len(files) == 3
    for file in files:
        assert (resumed.folder / file).read_bytes() == (whole.folder / file).read_bytes()


def test_the_recipe_of_the_manual_is_sound() -> None:
    """Its steps, and that the two adapters act although they are referred to."""
    from evenhand.recipe import load_recipe

    found = load_recipe(ROOT / "docs/recipes/adapterfusion.toml")
    active_of = {s.id: s.active for s in found.steps if "adapter" in s.use}
    assert active_of == {"gender-adapter": True, "task": True, "fusion": None}
    assert [b.use for b in found.benchmarks] == ["pair-gap", "perplexity"]
