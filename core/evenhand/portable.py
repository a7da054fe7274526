"""The result as a model people can use: folded into plain weights where possible, the rest saved beside it.

`model/` is a Hugging Face folder. What no step could fold lies in `model/evenhand/`, with `evenhand.json` saying which
plugin, with which options, puts it back (`restoring`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import carried_rules, proofs
from evenhand.cache import make_readable, seal, write_atomic
from evenhand.errors import NotPortable
from evenhand.folding import fold_each
from evenhand.kept_steps import write_artifact
from evenhand.manifest import plain
from evenhand.model_digests import model_digests
from evenhand.models import own_bars_off
from evenhand.restoring import NAME, put_back
from evenhand.usable import load_result

if TYPE_CHECKING:
    from evenhand.folding import Placed
    from evenhand.life import Life
    from evenhand.recipe import ResolvedStep

FORMAT = 1
PROOF_TOKENS = 8
"""Length of the answers that the saved model must repeat."""


def fold_all(life: Life) -> list[Placed]:
    """Fold what can be folded, in order, and prove that the outputs are the same; gives what stays live."""
    live = list(life.placed)
    for sentence in fold_each(life.loaded.model, life.loaded.tokenizer, live, life.record_proofs):
        life.manifest.event("portability", sentence)
    return live


def save_model(life: Life, live: list[Placed]) -> dict[str, str]:
    """Write `model/`; gives the state of each step that changed the model."""
    folder = life.folder / "model"
    folder.mkdir(parents=True, exist_ok=True)
    model, beside = life.loaded.model, folder / "evenhand"
    _save_beside(model, live, beside)
    for placed in reversed(live):
        if placed.transform.revert:
            placed.transform.revert(model)
    with own_bars_off():
        model.save_pretrained(str(folder), safe_serialization=True)
    life.loaded.tokenizer.save_pretrained(str(folder))
    for placed in live:
        put_back(placed.transform, model, beside / f"{placed.step.id}-{placed.index}")
    if life.loaded.info.kind == "causal":
        carried_rules.write(folder, [rule for _, rule in life.rules])
    needed = _needed(life, live)
    kept = {p.step.id: p for p in life.placed if p.step.id in needed and p not in live}
    for placed in kept.values():
        write_artifact(beside / f"{placed.step.id}-artifact", placed.artifact)
    facts = {
        "format": FORMAT,
        "sealed": True,
        "kind": life.loaded.info.kind,
        "base": life.loaded.info.display_name,
        "seed": life.recipe.run.seed,
        "files": model_digests(folder),
        "steps": [_entry(life, step, live, kept=step.id in kept) for step in life.step_order if step.id in needed],
        "folded": sorted({name for p in life.placed if p not in live for name in (p.step.id, p.step.use)}),
    }
    write_atomic(folder / NAME, json.dumps(plain(facts), indent=1))
    make_readable(folder)  # libraries write weights for their owner alone
    _record_sizes(life, live, beside)
    states = {p.step.id: "folded" for p in life.placed}
    return states | {p.step.id: "saved beside the model" for p in live}


def _save_beside(model: Any, live: list[Placed], beside: Path) -> None:
    """What each transform that stays live is put back from."""
    for placed in live:
        own = beside / f"{placed.step.id}-{placed.index}"
        own.mkdir(parents=True, exist_ok=True)
        if placed.transform.save:
            placed.transform.save(model, own)
            seal(own)
        else:
            write_artifact(own / "artifact", placed.artifact)


def _entry(life: Life, step: ResolvedStep, live: list[Placed], *, kept: bool) -> dict[str, Any]:
    """A step as `evenhand.json` tells of it; `kept` where its artifact lies beside the model though it was folded."""
    return {
        "id": step.id,
        "use": step.use,
        "distribution": step.row.distribution if step.row else "",
        "version": step.row.version if step.row else "",
        "options": step.options.model_dump(mode="json"),
        "active": step.active,
        "live": [p.index for p in live if p.step.id == step.id],
        "decodes": any(s.id == step.id for s, _ in life.rules),
        "artifact": kept,
    }


def _record_sizes(life: Life, live: list[Placed], beside: Path) -> None:
    """`artifact_bytes` of each step: what was saved of it beside the model, or the tensors that were folded."""
    sizes: dict[str, int] = {}
    for placed in life.placed:
        own = beside / f"{placed.step.id}-{placed.index}"
        if placed in live:
            size = sum(path.stat().st_size for path in own.rglob("*") if path.is_file())
        else:
            size = sum(t.numel() * t.element_size() for t in placed.artifact.tensors.values())
        sizes[placed.step.id] = sizes.get(placed.step.id, 0) + size
    for entry in life.manifest["steps"]:
        if entry["id"] in sizes:
            entry["artifact_bytes"] = sizes[entry["id"]]


def _needed(life: Life, live: list[Placed]) -> set[str]:
    """Ids of the steps that act on the saved model, and of those that they refer to."""
    pending = {p.step.id for p in live} | {step.id for step, _ in life.rules}
    referred = {s.id: [i for ids in s.references.values() for i in ids] for s in life.step_order}
    found: set[str] = set()
    while pending:
        found |= pending
        pending = {i for ident in pending for i in referred.get(ident, ())} - found
    return found


def prove_reload(life: Life, live_logits: Any, answers: dict[str, str]) -> dict[str, Any]:
    """Load the saved model as a user would, and demand the outputs of the model that was measured.

    `live_logits` are the probe logits [tokens, V] of that model, `answers` what it answered to prompts. Raises
    NotPortable.
    """
    result = load_result(life.folder, dtype=life.recipe.model.dtype, device=str(life.loaded.model.device))
    logits = proofs.probe_logits(result.model, result.tokenizer)
    same, size = proofs.same_outputs(live_logits, logits, result.model.dtype)
    if not same:
        raise NotPortable(
            f"loaded again, the saved model gives other logits (by up to {size:.2g})", where="model/",
            do="a step's `save` and `load`, or its artifact, do not hold all that `apply` did",
        )  # fmt: skip
    again = answers_to_probes(result.model, result.tokenizer, life.loaded.info.kind, result.rules) if answers else {}
    differing = [p for p, text in answers.items() if again.get(p) != text]
    if differing:
        raise NotPortable(
            f"loaded again, the saved model answers {len(differing)} of {len(answers)} probe prompts differently",
            where="model/", known=f"the first is {differing[0]!r}",
            do="a decoding step's rules are not the same when its hooks are called on the saved model",
        )  # fmt: skip
    plain = not result.rules and not (life.folder / "model" / "evenhand").is_dir()
    return {"largest_difference": size, "answers": len(answers), "plain_transformers": plain}


def answers_to_probes(model: Any, tokenizer: Any, kind: str, rules: list[Any]) -> dict[str, str]:
    """What a model with its decoding rules writes after probe prompts, or puts at masks of probe texts, by prompt."""
    from evenhand.contributions import Request
    from evenhand.filling import fill
    from evenhand.generation import generate

    if kind == "masked":
        last = [text.rpartition(" ") for text in proofs.PROBES]
        texts = [f"{before} {tokenizer.mask_token}." for before, _, _ in last]
        found = fill(model, tokenizer, texts, rules=rules, k=3)
        return {text: " ".join(str(word.token) for word in words) for text, words in zip(texts, found, strict=True)}
    requests = [Request(prompt=text, max_new_tokens=PROOF_TOKENS) for text in proofs.PROBES[:2]]
    return {r.request.prompt: r.text for r in generate(model, tokenizer, requests, rules=rules)}
