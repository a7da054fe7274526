"""The one likelihood engine: what a model, with its decoding rules, finds how probable.

A causal model scores a text from its first token when it is given a start token, and from its second token
when the tokenizer adds none; the mode says which. A masked model scores by pseudo-log-likelihood: each token
from all others, one mask per copy. Logarithms are natural: all scores are in nat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand.contributions import DecodingRule, Kind
from evenhand.errors import UsageError
from evenhand.pairs import framing_tokens
from evenhand.processes import own_part, summed
from evenhand.scored_text import SequenceScore, Text, adds_start_token, score_of, token_ids
from evenhand.scoring_forward import Forward, OnEvent
from evenhand.scoring_gold import demand_numbers, gold_logp
from evenhand.scoring_packing import Row
from evenhand.scoring_precision import Precision, resolve
from evenhand.scoring_rules import logits_under_rules, mapping_rules

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def forward_of(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    kind: Kind = "causal",
    dtype: Precision = "auto",
    batch_tokens: int = 4096,
    on_event: OnEvent | None = None,
) -> Forward:
    """A model ready to be read: in which format, with which padding, and how many tokens at a time."""
    longest = getattr(tokenizer, "model_max_length", None)
    return Forward(
        model,
        precision=resolve(model, dtype),
        kind=kind,
        pad_id=int(getattr(tokenizer, "pad_token_id", None) or 0),
        batch_tokens=batch_tokens,
        longest=longest if longest and longest < 2**31 else None,
        on_event=on_event,
    )


def describe_mode(
    tokenizer: PreTrainedTokenizerBase,
    *,
    kind: Kind,
    precision: str,
    start_token: int | None = None,
    rules: Sequence[DecodingRule] = (),
) -> str:
    """How scores come about, in one line to print with every number; it ends with the number format."""
    if kind == "masked":
        parts = ["pseudo-log-likelihood, one mask per copy"]
    else:
        if start_token is not None:
            first = tokenizer.convert_ids_to_tokens(start_token)
            parts = [f"log-likelihood from the first token, after {first}"]
        elif adds_start_token(tokenizer):
            parts = ["log-likelihood from the first token, after the tokenizer's start token"]
        else:
            parts = ["log-likelihood from the second token (no start token)"]
    used = mapping_rules(rules, kind)
    if used:
        parts.append("with decoding rules " + ", ".join(rule.name for rule in used))
    if unused := [rule for rule in rules if rule not in used]:
        parts.append("without " + ", ".join(rule.name for rule in unused) + " (not applicable to given text)")
    return ", ".join([*parts, precision])


def score_texts(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    *,
    kind: Kind = "causal",
    rules: Sequence[DecodingRule] = (),
    dtype: Precision = "auto",
    batch_tokens: int = 4096,
    start_token: int | None = None,
    ends: Sequence[int] | None = None,
    on_event: OnEvent | None = None,
    progress_title: str | None = None,
) -> list[SequenceScore]:
    """Log-probabilities of the tokens of each text, in the order of `texts`; equal texts are computed once.

    `start_token` is put before each text and its own score left out. With `ends`, of each text only so many tokens
    at its end are scored, and no logits are computed for the others. Masked models: `pll` of each text, without
    `ends`. Raises UsageError for a text without tokens or longer than the model takes, OutOfMemory when one text does
    not fit.
    """
    if kind == "masked":
        return pll(
            model, tokenizer, texts, rules=rules, dtype=dtype, batch_tokens=batch_tokens, on_event=on_event,
            progress_title=progress_title,
        )  # fmt: skip
    forward = forward_of(model, tokenizer, dtype=dtype, batch_tokens=batch_tokens, on_event=on_event)
    all_ids = [token_ids(tokenizer, text) for text in texts]
    asked = list(zip(all_ids, [None] * len(all_ids) if ends is None else ends, strict=True))
    distinct = list(dict.fromkeys(asked))
    lead = () if start_token is None else (start_token,)
    if any(not ids for ids, _ in distinct):
        raise UsageError("a text has no tokens", where="scoring", do="leave empty texts out")
    rows = []
    for ids, end in distinct:
        last = len(lead + ids) - 1
        rows.append(Row(lead + ids, tuple(range(0 if end is None else max(0, last - end), last))))
    gold = [row.ids[p + 1] for row in rows for p in row.positions]
    values = gold_logp(forward, rows, gold, rules, progress_title)
    found: dict[tuple[tuple[int, ...], int | None], SequenceScore] = {}
    place = 0
    for (ids, end), row in zip(distinct, rows, strict=True):
        n = len(row.positions)
        found[ids, end] = score_of(ids, {len(ids) - n + k: float(values[place + k]) for k in range(n)})
        place += n
    return [found[key] for key in asked]


def pll(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[Text],
    positions: Sequence[Sequence[int]] | None = None,
    *,
    rules: Sequence[DecodingRule] = (),
    dtype: Precision = "auto",
    batch_tokens: int = 4096,
    on_event: OnEvent | None = None,
    progress_title: str | None = None,
) -> list[SequenceScore]:
    """Pseudo-log-likelihood of a masked model: each token predicted from all others (Salazar et al. 2020).

    `positions` are the tokens to score, for each text; by default all that belong to it, one for an unknown
    piece included. Equal questions are computed once. Raises UsageError when the tokenizer has no mask token.
    """
    mask = _mask_id(tokenizer)
    forward = forward_of(model, tokenizer, kind="masked", dtype=dtype, batch_tokens=batch_tokens, on_event=on_event)
    all_ids = [token_ids(tokenizer, text) for text in texts]
    framing = framing_tokens(tokenizer)
    asked = (
        [tuple(p for p, i in enumerate(ids) if i not in framing) for ids in all_ids]
        if positions is None
        else [tuple(ps) for ps in positions]
    )
    questions = list(dict.fromkeys((ids, p) for ids, ps in zip(all_ids, asked, strict=True) for p in ps))
    rows = [Row((*ids[:p], mask, *ids[p + 1 :]), (p,)) for ids, p in questions]
    gold = [ids[p] for ids, p in questions]
    values = gold_logp(forward, rows, gold, rules, progress_title)
    found = {question: float(value) for question, value in zip(questions, values, strict=True)}
    return [score_of(ids, {p: found[ids, p] for p in ps}) for ids, ps in zip(all_ids, asked, strict=True)]


def distributions(
    model: PreTrainedModel,
    ids: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    *,
    rules: Sequence[DecodingRule] = (),
    mask_id: int | None = None,
    dtype: Precision = "auto",
    batch_tokens: int = 4096,
    on_event: OnEvent | None = None,
) -> list[torch.Tensor]:
    """Teacher-forced log-probabilities at chosen positions: for each sequence [n, V] float32, on the CPU.

    Causal models: at position t the distribution of token t + 1. With `mask_id`, for masked models: the distribution
    of token t when it is masked. Both after the decoding rules. Everything is held in memory: ask for a
    few texts at a time.
    """
    import torch

    kind: Kind = "causal" if mask_id is None else "masked"
    forward = forward_of(model, kind=kind, dtype=dtype, batch_tokens=batch_tokens, on_event=on_event)
    if mask_id is None:
        rows = [Row(tuple(i), tuple(p)) for i, p in zip(ids, positions, strict=True)]
    else:
        rows = [Row((*i[:p], mask_id, *i[p + 1 :]), (p,)) for i, ps in zip(ids, positions, strict=True) for p in ps]
    distinct = list(dict.fromkeys(rows))
    held = torch.zeros((sum(len(row.positions) for row in distinct), forward.vocabulary))

    def keep(places: torch.Tensor, index: torch.Tensor, logits: torch.Tensor) -> None:
        held[places] = torch.log_softmax(logits, -1, dtype=torch.float32).to(held.device)[index]

    logits_under_rules(forward, distinct, rules, keep, part=own_part())
    held = summed(held)
    demand_numbers(held.isnan().any(1))
    parts = torch.split(held, [len(row.positions) for row in distinct])
    found = dict(zip(distinct, parts, strict=True))
    if mask_id is None:
        return [found[row] for row in rows]
    each = iter(rows)
    return [torch.cat([held[:0], *(found[next(each)] for _ in ps)]) for ps in positions]


def _mask_id(tokenizer: PreTrainedTokenizerBase) -> int:
    if tokenizer.mask_token_id is None:
        raise UsageError(
            "the tokenizer has no mask token", where="pseudo-log-likelihood", do="score it as a causal model"
        )
    return int(tokenizer.mask_token_id)
