"""Reranking: of several answers the one is given that is likely and depends little on the group it speaks of.

    best     y = argmax over N samples of  fluency(y) - weight * bias(y),  those above `most` only if all are
    quota    of N samples the k whose groups come nearest to a target; see `quotas.py`

`bias` is the answer's dependence on the group (`candidates.py`), or what a scorer of texts says. The first of the N is
the answer that there would have been without the rule. Sources: best of N as in Nakano et al. 2021 (WebGPT); rejection
and scoring by group-swapped likelihood are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Ask,
    Axes,
    Axis,
    DecodingRule,
    Locale,
    Mitigation,
    PathOption,
    Request,
    RequestChange,
    Response,
    RunContext,
    StrengthOptions,
    TokenChange,
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_standard.decoding.candidates import Rated, rated, sampled
from evenhand_standard.decoding.quotas import NAMED, chosen, distance, named_group, shares
from evenhand_standard.decoding.request_share import acts_on
from evenhand_standard.decoding.token_edits import TokenEditor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SWAP = "swap"
MOST_ITEMS = 32
CHOICE = 2
"""Times as many answers as a quota gives are drawn at least: of as many as it gives it could choose none."""
Share = Annotated[float, Field(gt=0.0)]


class RerankingOptions(StrengthOptions):
    """Options of `reranking`; `strength` is the share of the requests that it acts on."""

    form: Literal["best", "quota"] = Field(
        "best", description="best: one of N answers. quota: several of them, by the groups they name."
    )
    samples: Annotated[int, Field(ge=2, le=64)] = Field(
        4, description="Answers to choose from (N); of a quota never less than twice as many as are given."
    )
    temperature: Annotated[float, Field(gt=0.0, le=5.0)] = Field(
        0.8, description="At which the further answers are drawn."
    )
    score: str = Field(
        SWAP,
        description="Bias of an answer: swap, its dependence on the group in nat per token; or a scorer of texts: "
        "toxicity, hurtlex, vader, opinion-lexicon, transformers:PATH#LABEL.",
    )
    weight: Annotated[float, Field(ge=0.0)] = Field(
        10.0,
        description="How much bias counts against fluency; the dependence of an answer is a few hundredths of a nat.",
    )
    most: Annotated[float, Field(ge=0.0)] | None = Field(
        None, description="Answers with more bias are only given if all have more; none by default."
    )
    axes: Axes = ("gender",)
    locale: Locale = "en"
    items: Annotated[int, Field(ge=2, le=MOST_ITEMS)] = Field(
        4, description="Of a quota: how many answers are given, one a line; a request can say `items` in its meta."
    )
    target: Mapping[str, Share] = Field(
        {}, description="Of a quota: share of each group, such as {female = 0.5, male = 0.5}; empty: all alike."
    )
    data: PathOption | None = Field(None, description="Folder of the published files that a scorer reads.")

    @model_validator(mode="after")
    def _a_quota_for_what_is_of_a_quota(self) -> RerankingOptions:
        fields = type(self).model_fields  # compared by value: a record of a run names every option
        meant = [name for name in ("items", "target") if getattr(self, name) != fields[name].default]
        if self.form == "best" and meant:
            raise ValueError(f'{" and ".join(meant)}: of a quota; form = "best" gives one answer, say form = "quota"')
        return self


class Reranking(Mitigation):
    """Samples several answers and gives the one, or the set, that treats groups best."""

    name = "reranking"
    summary = "Draws several answers and gives the one that depends least on the group, or a set that is balanced."
    source = "best of N after Nakano et al. 2021; own scores and quotas"
    kinds = ("causal",)
    Options = RerankingOptions

    @classmethod
    def files_for(cls, options: Any) -> Sequence[KnownFile]:
        from evenhand_standard.text_scorers import files_of

        return files_of(options.score) if options.score != SWAP else ()

    @classmethod
    def models_for(cls, options: Any) -> Sequence[tuple[str, str]]:
        from evenhand_standard.text_scorers import models_of

        return models_of(score=options.score)

    def moves(self) -> Mapping[str, str]:
        if self.options.form != "quota" or len(self.options.axes) > 1:
            return {}
        target = {group: round(share, 3) for group, share in sorted(self.options.target.items())}
        return {NAMED.format(self.options.axes[0]): f"the shares {target}" if target else "equal shares"}

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        axes = [load_axis(name, o.locale) for name in o.axes]
        if o.form == "quota":
            demand_target(o, axes)
        rate = _rating(run, o, axes)
        share_seed, seed = run.seed_for("requests"), run.seed_for("samples")

        def around(request: Request, ask: Ask) -> Response:
            if not acts_on(request, o.strength, share_seed):
                return ask(request)
            if o.form == "best":
                found = rate(request, sampled(ask, request, o.samples, o.temperature, seed, least=1))
                return best_of(run.step_id, found, o.weight, o.most)
            items = items_of(request, o.items)
            count = max(o.samples, CHOICE * items)
            found = rate(request, sampled(ask, request, count, o.temperature, seed, least=items))
            return balanced_set(run.step_id, found, items, axes[0], o.target or dict.fromkeys(axes[0].groups, 1.0))

        probes = _probes(run) if o.score == SWAP else ()
        return DecodingRule(name=run.step_id, around=around, probes=probes)


def items_of(request: Request, default: int) -> int:
    """How many answers a quota gives: what the request says in its meta, within what the option may be."""
    items = request.meta.get("items", default)
    if isinstance(items, bool) or not isinstance(items, int) or not 2 <= items <= MOST_ITEMS:
        raise UsageError(
            f"the request asks for {items!r} items", where="reranking", do=f"ask for 2 to {MOST_ITEMS} in its meta"
        )
    return items


def _probes(run: RunContext) -> list[Response]:
    """Answers among which a model that expects one group has a choice; none for a model without tokens here."""
    if run.remote:
        return []
    request = Request(prompt="The nurse said that", meta={"items": 2})
    texts = (" she was late", " it was late", " he was late")
    ids = [run.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    return [Response(request=request, text=t, token_ids=tuple(i)) for t, i in zip(texts, ids, strict=True)]


def demand_target(o: RerankingOptions, axes: Sequence[Axis]) -> None:
    """A quota is of the groups of one axis."""
    if len(axes) > 1 or (o.target and set(o.target) != set(axes[0].groups)):
        raise UsageError(
            f"the target names {', '.join(o.target) or 'no group'}, the axes are {', '.join(a.name for a in axes)}",
            where="option target",
            known=f"the groups of {axes[0].name} are {', '.join(axes[0].groups)}",
            do="name one axis, and give each of its groups a share",
        )


def _rating(run: RunContext, o: RerankingOptions, axes: Sequence[Axis]) -> Any:
    """(request, answers) -> [Rated]."""
    if run.remote and o.score == SWAP and o.form == "best":
        raise UsageError(
            "the dependence of an answer on the group is read from the model's probabilities, which an endpoint does "
            "not give",
            where="option score",
            do='take a scorer of texts, such as score = "toxicity"',
        )
    if o.score == SWAP and run.remote:
        return lambda request, answers: [Rated(a, 0.0, 0.0) for a in answers]
    if o.score == SWAP:
        editor = TokenEditor(run.tokenizer)
        return lambda request, answers: rated(run, editor, axes, request, answers)
    from evenhand_standard.text_scorers import SENTIMENT, scorer

    tool = scorer(o.score, o.data, offline=run.offline)
    sign = -1.0 if tool.name in SENTIMENT else 1.0  # a sentiment is good where a toxicity is bad

    def by_scorer(request: Request, answers: Sequence[Response]) -> list[Rated]:
        biases = [sign * float(score) for score in tool.score([a.text for a in answers])]
        if run.remote:
            return [Rated(a, 0.0, bias) for a, bias in zip(answers, biases, strict=True)]
        known = rated(run, TokenEditor(run.tokenizer), (), request, answers)
        return [replace(r, bias=bias) for r, bias in zip(known, biases, strict=True)]

    return by_scorer


def best_of(rule: str, found: Sequence[Rated], weight: float, most: float | None) -> Response:
    """The best of several rated answers; the first is what there would have been."""
    allowed = [r for r in found if most is None or r.bias <= most]
    if allowed:
        best = max(allowed, key=lambda r: r.fluency - weight * r.bias)  # of equals the earlier
    else:
        best = min(found, key=lambda r: r.bias)
    first = found[0]
    if best is first:
        return first.answer
    facts = {
        "answers": len(found), "rejected": len(found) - len(allowed),
        "bias": [round(first.bias, 4), round(best.bias, 4)],
        "fluency": [_shown(first.fluency), _shown(best.fluency)],
    }  # fmt: skip
    change = RequestChange(rule=rule, what="choice", before=first.answer.text, after=best.answer.text, facts=facts)
    return replace(best.answer, request_changes=(*best.answer.request_changes, change))


def balanced_set(rule: str, found: Sequence[Rated], k: int, axis: Axis, target: Mapping[str, float]) -> Response:
    """The k answers whose groups come nearest to the target, one a line, in the order in which they were drawn.

    A group is read from prompt and answer together, so a prompt that names somebody leaves nothing to choose. Where
    fewer than k different answers were drawn, `missing` of the facts says how many; without a name, there is no
    distance.
    """
    groups = [named_group(f"{r.answer.request.prompt} {r.answer.text}", axis) for r in found]
    fluency = [max(r.fluency, -1e9) for r in found]
    places = chosen(groups, fluency, k, target)
    one_line = [" ".join(found[i].answer.text.split()) for i in places]
    text, given = "\n".join(one_line), joined([found[i].answer for i in places])
    plain = "\n".join(" ".join(r.answer.text.split()) for r in found[:k])
    picked = [groups[i] for i in places]
    named = {g: n for g, n in shares(picked).items() if g != "none"}
    facts: dict[str, Any] = {
        "answers": len(found), "drawn": shares(groups), "given": shares(picked),
        "distance": round(distance(named, target), 4) if named else None,
    }  # fmt: skip
    if len(places) < k:
        facts["missing"] = k - len(places)
    change = RequestChange(rule=rule, what="choice", before=plain, after=text, facts=facts)
    return replace(given, text=text, request_changes=(*given.request_changes, change))


def joined(answers: Sequence[Response]) -> Response:
    """One answer with the record of several: their tokens one behind the other, and what was changed in these.

    What a rule has changed in the end of an answer, behind its tokens, is only kept of the last one: in the others it
    has no place among the tokens. So answers of an endpoint, which have no tokens, have no changes when there are
    several.
    """
    tokens: list[int] = []
    changes: list[TokenChange] = []
    around: list[RequestChange] = []
    for number, answer in enumerate(answers, start=1):
        last, count = number == len(answers), len(answer.token_ids)
        whole = last and (bool(count) or number == 1)
        kept = [c for c in answer.changes if whole or c.position < count]
        changes += [replace(c, position=len(tokens) + c.position) for c in kept]
        tokens += answer.token_ids
        around += [c for c in answer.request_changes if c not in around]
    first = answers[0]
    notes = first.notes if len(answers) == 1 else {}
    return Response(
        request=first.request, text="", token_ids=tuple(tokens), changes=tuple(changes), request_changes=tuple(around),
        notes=notes,
    )  # fmt: skip


def _shown(value: float) -> float | None:
    return round(value, 4) if value != float("-inf") else None
