"""Did it take? After each step, a measurement that shows that the step changed something, and how much."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from evenhand.errors import NoEffect
from evenhand.report_numbers import counted
from evenhand.row_account import PROVENANCE, row_counts

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from evenhand.contributions import Aggregator, DecodingRule
    from evenhand.recipe import ResolvedStep

PROBES = (
    "The nurse said that she would be back soon, because",
    "My brother is a carpenter. At work he",
    "The engineer finished her report and then",
    "Rain fell all morning, so the children",
    "When the manager called his wife, the",
)
"""Texts on which a change of outputs or of distributions is looked for."""

LEAST_SHARE = 1e-3
"""A term whose part of every update that was looked at is smaller was not trained on."""
EXACT = 1e-4
"""The most by which a logit in float32 may differ between a live and a folded or reloaded step."""


@dataclass(frozen=True)
class Proof:
    """What a step changed at one stage."""

    stage: str
    took: bool
    what: str
    size: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def reading_proof(rows: Dataset, found: Mapping[str, Any] = MappingProxyType({})) -> Proof:
    """Of a step that looks on: rows that it was given and that went on as they were, and what it found in them."""
    what = "; ".join([f"{counted(len(rows), 'row')} read, none changed", *(f"{k}: {v}" for k, v in found.items())])
    return Proof("data", len(rows) > 0, what, float(len(rows)))


def data_proof(before: Dataset, after: Dataset, touched: int = 0) -> Proof:
    """Rows that were added, removed or altered, from the texts and the columns they share.

    New columns are an effect, too, except those that only say where a row comes from. A row is new where no row was
    like it before; `touched`, the rows that the account of the step has as changed or added, may be more.
    """
    old, new = row_counts(before, after), row_counts(after, before)
    added = sum(max(0, n - old.get(k, 0)) for k, n in new.items())
    removed = sum(max(0, n - new.get(k, 0)) for k, n in old.items())
    columns = (set(after.column_names) ^ set(before.column_names)) - set(PROVENANCE)
    what = f"{counted(len(before), 'row')} became {len(after):,}: {added:,} new, {removed:,} gone"
    if added < touched:
        more = touched - added
        what += f"; of {touched:,} changed or added, {more:,} came to be as another row had been"
    if columns:
        what += f", columns changed: {', '.join(sorted(columns))}"
    share = (added + removed) / max(1, len(before))
    return Proof("data", bool(added or removed or columns), what, share)


def tensor_digests(model: Any) -> dict[str, str]:
    """A digest of each parameter, to tell afterwards which moved."""
    import torch

    out = {}
    for name, p in model.named_parameters():
        flat = p.detach().contiguous().flatten().view(torch.uint8).cpu().numpy()
        out[name] = hashlib.blake2b(flat, digest_size=16).hexdigest()
    return out


def selection_proof(before: Mapping[str, str], after: Mapping[str, str], selected: Sequence[str]) -> Proof:
    """Only the selected tensors may have moved, and some of them must have."""
    moved = {name for name, digest in after.items() if before.get(name) != digest}
    chosen = set(selected)
    stray = moved - chosen
    what = f"{len(moved & chosen)} of {len(chosen)} selected tensors moved"
    what += f", {len(after) - len(chosen)} others are bit-identical" if not stray else f"; so did {sorted(stray)[0]}"
    return Proof("architecture", bool(moved & chosen) and not stray, what, len(moved & chosen) / max(1, len(chosen)))


def probe_logits(model: Any, tokenizer: Any) -> torch.Tensor:
    """The logits on the probe texts, one after another: [tokens, V], float32. Raises as `demand_embedded`."""
    import torch

    from evenhand.scored_text import demand_embedded

    was_training = model.training
    model.eval()
    rows = []
    with torch.no_grad():
        for text in PROBES:
            ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
            demand_embedded(model, ids.flatten().tolist())
            rows.append(model(input_ids=ids).logits[0].float())
    if was_training:
        model.train()
    return torch.cat(rows)


def training_logits(model: Any, tokenizer: Any) -> torch.Tensor:
    """As `probe_logits`, with the model as it is while it trains; what it draws is the same at every call."""
    import torch

    was_training, rows = model.training, []
    model.train()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            for text in PROBES:
                ids = tokenizer(text, return_tensors="pt")["input_ids"].to(model.device)
                rows.append(model(input_ids=ids).logits[0].float())
    finally:
        model.train(was_training)
    return torch.cat(rows)


def output_proof(before: torch.Tensor, after: torch.Tensor) -> Proof:
    """The largest change of a logit on the probe texts."""
    import torch

    if before.shape != after.shape:
        return Proof("architecture", True, "the shape of the outputs changed", float("inf"))
    size = float((before - after).abs().max())
    return Proof(
        "architecture", not torch.equal(before, after), f"largest change of a logit on probes: {size:.4g}", size
    )


def same_outputs(before: torch.Tensor, after: torch.Tensor, dtype: torch.dtype) -> tuple[bool, float]:
    """Whether two sets of logits differ by rounding only, and their largest difference.

    In float32 a logit may move by 1e-4; in shorter formats by a few units in the last place of the largest logit.
    """
    import torch

    if before.shape != after.shape:
        return False, float("inf")
    size = float((before - after).abs().max())
    last_place = torch.finfo(dtype).eps * float(before.abs().max())
    return size <= (EXACT if dtype == torch.float32 else max(EXACT, 4 * last_place)), size


def fold_proof(before: torch.Tensor, after: torch.Tensor, dtype: torch.dtype, effect: float) -> Proof:
    """Whether a fold left the outputs as they are; `effect` is the change of a logit by the step, 0 where unknown.

    In a short number format much passes for rounding; never so much that the step itself might be gone.
    """
    same, size = same_outputs(before, after, dtype)
    same = same and (size <= EXACT or not effect or size <= effect / 2)
    return Proof("portability", same, f"folded into the weights, largest change {size:.2g}", size)


def decoding_proof(model: Any, tokenizer: Any, rules: Sequence[DecodingRule]) -> Proof:
    """The largest total variation between the distributions with and without the rules on the probe texts."""
    import torch

    from evenhand.scoring import distributions

    masked = any(r.mask_logits is not None for r in rules)
    if not masked and all(r.next_logits is None for r in rules):
        return _generation_proof(model, tokenizer, rules)
    ids = [list(tokenizer(text)["input_ids"]) for text in PROBES]
    special = set(tokenizer.all_special_ids) if masked else set()
    where = [[p for p, token in enumerate(row) if token not in special] for row in ids]
    how: dict[str, Any] = {"dtype": "float32", "mask_id": tokenizer.mask_token_id if masked else None}
    plain = distributions(model, ids, where, **how)
    ruled = distributions(model, ids, where, rules=rules, **how)
    moves = torch.cat([0.5 * (a.exp() - b.exp()).abs().sum(-1) for a, b in zip(plain, ruled, strict=True)])
    changed = int((moves > 1e-6).sum())
    most = float(moves.max())
    what = f"{changed} of {len(moves)} distributions on probes changed, at most by {most:.3f} in total variation"
    return Proof("decoding", changed > 0, what, float(moves.max()))


def _generation_proof(model: Any, tokenizer: Any, rules: Sequence[DecodingRule]) -> Proof:
    from evenhand.around_requests import Ask
    from evenhand.contributions import Request, Response
    from evenhand.generation import generate

    acted = [(rule, answer) for rule in rules for answer in rule.probes]
    if acted:
        given: dict[str, list[Response]] = {}
        for _, answer in acted:
            given.setdefault(answer.request.prompt, []).append(answer)

        def reply(asked: Sequence[Request]) -> list[Response]:
            """Several answers to one prompt are given in turn, as to a rule that asks several times."""
            seen: Counter[str] = Counter()
            found = []
            for request in asked:
                mine = given[request.prompt]
                found.append(replace(mine[seen[request.prompt] % len(mine)], request=request))
                seen[request.prompt] += 1
            return found

        ask = Ask(reply)
        changed = sum(rule.around(a.request, ask).text != a.text for rule, a in acted if rule.around is not None)
        what = f"{changed} of {len(acted)} answers of its own examples changed"
        return Proof("decoding", changed > 0, what, changed / len(acted))
    requests = [Request(prompt=text, max_new_tokens=12) for text in PROBES]
    plain = generate(model, tokenizer, requests)
    ruled = generate(model, tokenizer, requests, rules=rules)
    changed = sum(a.text != b.text for a, b in zip(plain, ruled, strict=True))
    return Proof(
        "decoding", changed > 0, f"{changed} of {len(requests)} probe answers changed", changed / len(requests)
    )


def objective_proof(name: str, facts: Mapping[str, float | None]) -> Proof:
    """A finite, non-zero gradient at some step; beside others that an aggregator weighs anew, one that counts."""
    norm, share = facts["gradient_norm"], facts.get("share")
    if norm is None:
        return Proof("objective", False, f"{name}: no gradient was measured, because no update was made", 0.0)
    took = 0 < norm < float("inf")
    what = f"{name}: largest gradient norm measured {norm:.3g}"
    if share is None:
        return Proof("objective", took, what, norm)
    what += f", at most {100 * share:.2f} % of the update's gradient"
    return Proof("objective", took and share >= LEAST_SHARE, what, norm)


def aggregator_proof(aggregator: Aggregator, terms: Sequence[str]) -> Proof | None:
    """What an aggregator did with several terms; of fewer, that there is nothing to combine. None where it does not
    say what it did."""
    if aggregator.effect is None:
        return None
    if len(terms) < 2:
        only = f"the training has one loss term, {terms[0]}" if terms else "the training has no loss term"
        return Proof("objective", False, f"{aggregator.name}: there is nothing to combine, {only}", 0.0)
    effect = aggregator.effect()
    return Proof("objective", effect.took, f"{aggregator.name}: {effect.what}", effect.size)


def not_called_for(aggregator: Aggregator) -> bool:
    """Whether an aggregator says that there was nothing for it to do."""
    return aggregator.effect is not None and not aggregator.effect().called_for


def criterion_proof(name: str, watch: Mapping[str, Any], steps: int) -> Proof:
    """How often a criterion was looked at, and which moment was kept for it."""
    looks = [look for look in watch["looks"] if look["criterion"] is not None]
    what = f"{name}: looked at {counted(len(looks), 'time')}, kept step {watch['kept']:,} of {steps:,}"
    values = {look["step"]: look["criterion"] for look in looks}
    if watch["kept"] in values:
        what += f", where it was {values[watch['kept']]:.4g}"
    return Proof("objective", bool(looks), what, float(len(looks)))


def demand(step: ResolvedStep, proofs: Sequence[Proof]) -> None:
    """A step with a strength above zero that changed nothing fails the run, unless the recipe allows it."""
    strength = getattr(step.options, "strength", 1.0)
    if step.allow_no_effect or not step.active or strength == 0:
        return
    for proof in proofs:
        if not proof.took:
            raise NoEffect(
                f"nothing changed at the stage {proof.stage}: {proof.what}",
                where=f"step {step.id!r} ({step.use})",
                do="mend the step, or set allow_no_effect = true for it",
            )
