"""`toolkit export`: a folder that plain transformers reads, tied to its run by digests; what it refuses."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner

import evenhand
from evenhand import api
from evenhand.cache import sha256_file
from evenhand.cli import toolkit
from evenhand.errors import DigestMismatch, NotPortable, RunNotFound, UsageError
from evenhand.exporting import local_paths
from evenhand.proofs import PROBES
from evenhand_sdk.tiny import save_tiny
from tiny_gguf import tiny_llama, write_tiny_gguf

pytestmark = pytest.mark.usefixtures("trial", "own_cache")

FOLDED = '[[steps]]\nuse = "trial-norms"\n[[steps]]\nuse = "train"\n'
LIVE = '[[steps]]\nuse = "trial-scale"\nfolds = false\n'
DECODING = '[[steps]]\nuse = "trial-flat"\n'
ALONE = """
import importlib.metadata, importlib.util, sys
site, kind, folder, text = sys.argv[1:]
sys.path.append(site)
for name in ("evenhand", "evenhand_sdk", "evenhand_standard", "evenhand_adapterfusion"):
    assert importlib.util.find_spec(name) is None, name
assert not [d.name for d in importlib.metadata.distributions() if d.name.startswith("evenhand")]
import torch, transformers
auto = transformers.AutoModelForMaskedLM if kind == "masked" else transformers.AutoModelForCausalLM
model = auto.from_pretrained(folder).eval()
tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
with torch.no_grad():
    logits = model(**tokenizer(text, return_tensors="pt")).logits
torch.save(logits, folder + "-logits.pt")
assert not [name for name in sys.modules if name.startswith("evenhand")]
"""
"""Run by an interpreter that reads no site-packages, beside links to all that is installed but the toolkit."""


def site_without_the_toolkit(folder: Path) -> Path:
    """Links to everything in this environment's site-packages, but for the toolkit and what makes paths known."""
    folder.mkdir()
    for place in map(Path, sys.path):
        if place.name in ("site-packages", "dist-packages"):
            for found in place.iterdir():
                left = "evenhand" in found.name or found.suffix == ".pth"
                if not left and not (folder / found.name).exists():
                    (folder / found.name).symlink_to(found)
    return folder


@pytest.fixture
def run_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Steps -> the folder of a finished run of a tiny model, which has a licence file."""
    save_tiny(tmp_path / "tiny")
    (tmp_path / "tiny" / "LICENSE").write_text("Do as you like.\n")
    (tmp_path / "train.txt").write_text("The nurse said that she would come.\nRain fell on the town.\n")
    monkeypatch.chdir(tmp_path)

    def run(steps: str, kind: str = "causal") -> Path:
        if kind == "masked":
            save_tiny(tmp_path / "tiny-masked", family="bert")
        path = tmp_path / "export.toml"
        path.write_text(
            f'[model]\nname = "{tmp_path / ("tiny" if kind == "causal" else "tiny-masked")}"\n'
            '[data]\ntrain = "train.txt"\n[training]\nmax_steps = 3\nlearning_rate = 1e-3\n[traffic]\nlimit = 0\n'
            "[evaluation]\nresamples = 200\n" + steps + '[[benchmarks]]\nuse = "trial-length"\n'
        )
        return Path(api.run(path).folder)

    return run


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer(PROBES[0], return_tensors="pt")).logits


TEMPERATURE = '[[steps]]\nuse = "attention-temperature"\nbeta = 0.5\n'


@pytest.mark.parametrize(("kind", "steps"), [("causal", FOLDED), ("masked", TEMPERATURE)])
def test_the_export_loads_without_the_toolkit_and_gives_the_same_logits(
    kind: str, steps: str, run_with: Any, tmp_path: Path
) -> None:
    """In an environment without it: no site-packages, no paths of editable installs, no entry points."""
    run = run_with(steps, kind)
    expected = logits(*evenhand.load(run))
    folder = evenhand.export(run, tmp_path / "published")
    site = site_without_the_toolkit(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ALONE, str(site), kind, str(folder), PROBES[0]],
        capture_output=True, text=True, check=False, cwd=tmp_path, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert torch.equal(torch.load(f"{folder}-logits.pt"), expected)


def test_what_lies_in_the_folder_and_what_ties_it_to_the_run(run_with: Any, tmp_path: Path) -> None:
    run = run_with(FOLDED)
    folder = evenhand.export(run, tmp_path / "published")
    facts = json.loads((folder / "provenance.json").read_text())
    recorded = json.loads((run / "run.json").read_text())
    assert facts["run_json_sha256"] == sha256_file(run / "run.json") == facts["files"]["evidence/run.json"]
    assert facts["files"]["model.safetensors"] == recorded["files"]["model/model.safetensors"]
    assert facts["base_digest"] == recorded["model"]["digest"]
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert present == {*facts["files"], "provenance.json"}
    assert {name: sha256_file(folder / name) for name in facts["files"]} == facts["files"]
    assert {"README.md", "LICENCE.txt", "BASE-LICENSE", "evidence/report.html", "evidence/recipe.toml"} <= present
    assert not any("evenhand" in name or name.startswith("custom_generate") for name in present)
    assert (folder / "BASE-LICENSE").read_text() == "Do as you like.\n"
    assert "Licence of the base model: " in (folder / "LICENCE.txt").read_text()
    _, front, body = (folder / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "transformers"
    assert 'AutoModelForCausalLM.from_pretrained("...")' in body and "evidence/run.json" in body
    assert 'from_pretrained("model")' not in body
    assert {"evidence/recipe.toml", "evidence/run.json"} <= set(local_paths(folder)), "the recipe names a folder here"


def test_steps_that_do_not_fold_are_refused_by_name(run_with: Any, tmp_path: Path) -> None:
    with pytest.raises(NotPortable, match=r"not folded: trial-scale \(live\), trial-flat \(decoding\)"):
        evenhand.export(run_with(LIVE + DECODING), tmp_path / "published")
    assert not (tmp_path / "published").exists()
    with pytest.raises(NotPortable, match="a masked model has no generate"):
        evenhand.export(
            run_with('[[steps]]\nuse = "leace"\npairs = 16\n', "masked"), tmp_path / "published", with_code=True
        )


def test_with_code_plain_transformers_generates_what_was_measured(
    run_with: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    run = run_with(LIVE + DECODING)
    expected = evenhand.load(run)
    folder = evenhand.export(run, tmp_path / "published", with_code=True)
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    asked = tokenizer(PROBES[0], return_tensors="pt")
    how = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": tokenizer.eos_token_id}
    plain = AutoModelForCausalLM.from_pretrained(str(folder))
    assert not torch.equal(logits(plain, tokenizer), logits(*expected)), "without code it is another model"
    model = AutoModelForCausalLM.from_pretrained(str(folder), trust_remote_code=True)
    for _ in range(2):
        assert torch.equal(model.generate(**asked, **how), expected.model.generate(**asked, **how))
        assert torch.equal(logits(model, tokenizer), logits(*expected)), "from the first call on"
    benchmarks = [("pair-gap", {"limit": 6})]
    fresh = AutoModelForCausalLM.from_pretrained(str(folder), trust_remote_code=True)
    measured, wanted = (evenhand.measure(m, tokenizer, benchmarks)["pair-gap"] for m in (fresh, expected.model))
    assert [r.values for r in measured.records] == [r.values for r in wanted.records], "before the first call, too"
    assert measured.mode == wanted.mode
    text = (folder / "README.md").read_text()
    assert "trust_remote_code=True" in text and "- trial-flat" in text and "- trial-scale" in text
    assert f"evenhand=={evenhand.__version__}" in (folder / "custom_generate" / "requirements.txt").read_text()


@pytest.mark.parametrize("trusted", [True, False])
def test_the_export_itself_may_be_named_as_what_generates(
    trusted: bool, run_with: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    run = run_with(LIVE + DECODING)
    expected = evenhand.load(run)
    evenhand.export(run, "published", with_code=True)
    tokenizer = AutoTokenizer.from_pretrained("published")
    asked = tokenizer(PROBES[0], return_tensors="pt")
    how = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": tokenizer.eos_token_id}
    model = AutoModelForCausalLM.from_pretrained("published", trust_remote_code=trusted)
    for name in ("published", str(tmp_path / "published"), "published"):
        said = model.generate(**asked, **how, custom_generate=name, trust_remote_code=True)
        assert torch.equal(said, expected.model.generate(**asked, **how))
    with pytest.raises(UsageError, match="by a `custom_generate` of your own"):
        model.generate(**asked, **how, custom_generate=lambda *given, **more: None)


@pytest.mark.parametrize(
    ("kind", "steps", "name"),
    [("causal", FOLDED, "AutoModelForCausalLM"), ("masked", TEMPERATURE, "AutoModelForMaskedLM")],
)
def test_an_export_without_code_says_that_plain_transformers_loads_it(
    kind: str, steps: str, name: str, run_with: Any
) -> None:
    evenhand.export(run_with(steps, kind), "published")
    with pytest.raises(RunNotFound) as caught:
        evenhand.load("published")
    assert str(caught.value) == (
        "'published' is an export without code: it has no evenhand.json, because its weights are the whole model\n"
        f"  load it with plain transformers: {name}.from_pretrained('published')"
    )


def test_a_full_folder_and_an_unfinished_run_are_refused(run_with: Any, tmp_path: Path) -> None:
    run = run_with(FOLDED)
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="this folder is not empty"):
        evenhand.export(run, full)
    assert [p.name for p in full.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="this is a file"):
        evenhand.export(run, full / "mine.txt")
    (tmp_path / "empty").mkdir()
    assert (evenhand.export(run, tmp_path / "empty") / "config.json").is_file()
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"status": "failed"}))
    with pytest.raises(RunNotFound, match="the run is failed, not complete"):
        evenhand.export(run, tmp_path / "other")


def test_weights_that_are_not_those_of_the_run_are_refused(run_with: Any, tmp_path: Path) -> None:
    run = run_with(FOLDED)
    path = run / "model" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestMismatch, match=r"model/model\.safetensors is not what the run wrote"):
        evenhand.export(run, tmp_path / "published")
    assert not (tmp_path / "published").exists()
    assert not list(tmp_path.glob(".published*")), "nothing half-written is left"


DAMAGED = {
    "{": "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    "[]": "it is no table of facts",
    "{}": "it does not say kind, seed, steps\n  it needs kind, seed, steps",
    '{"kind": "causal", "seed": 0, "steps": [], "files": []}': "files is no table of digests",
    '{"kind": "causal", "steps": []}': "it does not say seed\n  it needs kind, seed, steps",
}


def test_a_damaged_list_of_steps_is_told_by_load_and_by_export(run_with: Any, tmp_path: Path) -> None:
    """Also in a folder whose record was not written by a run that recorded the digest of the list."""
    run = run_with(FOLDED)
    place = run / "model" / "evenhand.json"
    digest = hashlib.sha256(place.read_bytes()).hexdigest()
    record = json.loads((run / "run.json").read_text())
    for text, what in DAMAGED.items():
        place.write_text(text)
        told = f"{run / 'model'}: evenhand.json is damaged: {what}\n  copy the folder again, or run the recipe again"
        with pytest.raises(RunNotFound) as caught:
            evenhand.load(run)
        assert str(caught.value) == told
        (run / "run.json").write_text(json.dumps(record))
        with pytest.raises(DigestMismatch) as refused:
            evenhand.export(run, tmp_path / "published")
        assert str(refused.value) == (
            f"{run}: model/evenhand.json is not what the run wrote\n"
            f"  run.json has SHA-256 {digest[:16]}...\n"
            "  run the recipe again; a changed model has no evidence"
        )
        files = {name: kept for name, kept in record["files"].items() if name != "model/evenhand.json"}
        (run / "run.json").write_text(json.dumps(record | {"files": files}))
        with pytest.raises(RunNotFound) as caught:
            evenhand.export(run, tmp_path / "published")
        assert str(caught.value) == told
    assert not (tmp_path / "published").exists()


def test_gguf_in_safetensors_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.txt").write_text("The nurse said that she would come.\nRain fell on the town.\n")
    write_tiny_gguf(tmp_path / "tiny.gguf", model=tiny_llama())
    (tmp_path / "gguf.toml").write_text(
        f'[model]\nname = "{tmp_path / "tiny.gguf"}"\n[data]\ntrain = "train.txt"\n[training]\nmax_steps = 2\n'
        '[traffic]\nlimit = 0\n[evaluation]\nresamples = 200\n[[steps]]\nuse = "attention-temperature"\nbeta = 0.5\n'
        '[[benchmarks]]\nuse = "trial-length"\n'
    )
    run = Path(api.run(tmp_path / "gguf.toml").folder)
    folder = evenhand.export(run, tmp_path / "published")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    names = {p.suffix for p in folder.rglob("*") if p.is_file()}
    assert ".safetensors" in names and ".gguf" not in names
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert torch.equal(logits(model.eval(), tokenizer), logits(*evenhand.load(run)))


def test_the_command(run_with: Any, tmp_path: Path) -> None:
    run = run_with(FOLDED)
    done = CliRunner().invoke(toolkit, ["export", str(run), "--to", str(tmp_path / "published")])
    assert done.exit_code == 0 and str(tmp_path / "published") in done.output
    again = CliRunner().invoke(toolkit, ["export", str(run), "--to", str(tmp_path / "published")])
    assert again.exit_code == 2 and "not empty" in again.output


def test_a_damaged_artefact_is_told_before_anything_is_changed(run_with: Any) -> None:
    run = run_with(LIVE)
    tensors = next((run / "model" / "evenhand").rglob("*.safetensors"))
    tensors.write_bytes(tensors.read_bytes() + b"x")
    with pytest.raises(DigestMismatch, match="the fitted part of a step is damaged"):
        evenhand.load(run)


def test_another_model_than_the_run_saved_is_refused_unless_asked_for(run_with: Any) -> None:
    from safetensors.torch import load_file, save_file

    run = run_with(LIVE)
    place, config = run / "model" / "model.safetensors", run / "model" / "config.json"
    kept, settings = place.read_bytes(), config.read_text()
    tensors = load_file(place)
    name = next(iter(tensors))
    tensors[name] = tensors[name] + 1  # as many bytes, and a sound file
    save_file(tensors, place, metadata={"format": "pt"})

    def told(what: str) -> str:
        return (
            f"{run / 'model'}: the model's files are not those that the run saved: {what}\n"
            "  what was measured does not hold for another model, and steps beside the weights were fitted to this "
            "one\n"
            "  copy the folder again; if you changed it yourself, evenhand.load(FOLDER, verify=False) loads it, and "
            "without its evenhand.json it is a model like any other"
        )

    for folder in (run, run / "model"):
        with pytest.raises(DigestMismatch) as caught:
            evenhand.load(folder)
        assert str(caught.value) == told("model.safetensors has changed")
    model, _ = evenhand.load(run, verify=False)
    assert torch.equal(dict(model.named_parameters())[name], tensors[name])
    place.rename(run / "model" / "other.safetensors")
    with pytest.raises(DigestMismatch) as caught:
        evenhand.load(run)
    assert str(caught.value) == told("model.safetensors is missing")
    place.write_bytes(kept)
    with pytest.raises(DigestMismatch) as caught:
        evenhand.load(run)
    assert str(caught.value) == told("other.safetensors was not among them")
    (run / "model" / "other.safetensors").unlink()
    config.write_text(settings + "\n")
    with pytest.raises(DigestMismatch) as caught:
        evenhand.load(run)
    assert str(caught.value) == told("config.json has changed")
    config.write_text(settings)
    (run / "model" / "generation_config.json").write_text("{}")  # whoever uses the model may set how it writes
    evenhand.load(run)


def test_steps_that_were_put_back_in_part_are_not_put_back_twice(
    run_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    from evenhand import restoring

    model = AutoModelForCausalLM.from_pretrained(run_with(LIVE) / "model")
    right = restoring.restore

    def failing(*args: Any) -> Any:
        right(*args)
        raise RuntimeError("the second step fails")

    monkeypatch.setattr(restoring, "restore", failing)
    with pytest.raises(RuntimeError, match="the second step fails"):
        restoring.complete(model)
    monkeypatch.setattr(restoring, "restore", right)
    with pytest.raises(RunNotFound, match="could not all be put back, and some of them are in place"):
        restoring.complete(model)


def test_an_exported_model_is_completed_once_by_threads_that_ask_first_and_at_once_from_where_it_was_loaded(
    run_with: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    from evenhand import restoring

    folder = evenhand.export(run_with(LIVE), tmp_path / "published", with_code=True)
    asked = torch.tensor([[1, 5, 9]])
    how: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}
    expected = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).generate(asked, **how)
    monkeypatch.chdir(tmp_path)
    model = AutoModelForCausalLM.from_pretrained("./published", trust_remote_code=True)
    monkeypatch.chdir("/")
    restored, restore = [], restoring.restore
    monkeypatch.setattr(restoring, "restore", lambda *given: restored.append(1) or time.sleep(0.2) or restore(*given))
    start = threading.Barrier(3)

    def ask(_: int) -> Any:
        start.wait()
        return model.generate(asked, **how)

    with ThreadPoolExecutor(3) as pool:
        assert all(torch.equal(out, expected) for out in pool.map(ask, range(3)))
    assert len(restored) == 1


def test_the_steps_are_those_of_the_revision_of_the_weights(
    run_with: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub
    from transformers import AutoModelForCausalLM

    from evenhand import restoring

    folder = run_with(LIVE) / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.name_or_path, model.config._commit_hash = "someone/model", "0123abc"
    asked: list[Any] = []

    def downloaded(name: str, revision: str | None = None) -> str:
        asked.append((name, revision))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", downloaded)
    restoring.complete(model)
    assert asked == [("someone/model", "0123abc")]


def test_the_size_of_what_a_step_saved_is_in_the_record(run_with: Any) -> None:
    run = run_with(LIVE)
    [step] = [s for s in json.loads((run / "run.json").read_text())["steps"] if s["use"] == "trial-scale"]
    own = next((run / "model" / "evenhand").glob(f"{step['id']}-*"))
    assert step["artifact_bytes"] == sum(p.stat().st_size for p in own.rglob("*") if p.is_file()) > 0
