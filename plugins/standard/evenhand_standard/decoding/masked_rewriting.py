"""Masked neutral rewriting: words that only a prejudiced text would have are hidden, and filled in by a fair one.

    hidden       words whose divergence between a fair and a prejudiced voice is above `threshold` x the line's mean
    filled in    from left to right, by  l_B + a_E l_E - a_A l_A - log(penalty) [in the text already]
    accepted     if the bias falls, similarity >= `similarity`, and the perplexity is at most `perplexity` times the old
    otherwise    the line is rewritten by rule (`answer-rewriting`)

The formulas of the voices are in `infillers.py`, that of the similarity in `state_similarity.py`.
Source: Hallinan et al. 2023, Detoxifying text with MaRCo; the tests of acceptance are ours.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator

from evenhand_sdk import (
    Ask,
    Axis,
    AxisName,
    DecodingRule,
    Locale,
    Material,
    Mitigation,
    PathOption,
    Request,
    RequestChange,
    Response,
    RunContext,
    Strength,
    StrengthOptions,
    UsageError,
    group_words,
    hookimpl,
    load_axis,
)
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_sdk.english_articles import article_before, repaired_article
from evenhand_sdk.english_words import FUNCTION_WORDS
from evenhand_standard.decoding.answer_rewriting import PROBES
from evenhand_standard.decoding.expert_guidance import ANTI_EXPERTS, EXPERTS, Descriptions
from evenhand_standard.decoding.infillers import Infiller, Reading, Span, Weights
from evenhand_standard.decoding.prompt_intervention import is_chat
from evenhand_standard.decoding.protected_lines import CODE, FENCE, QUOTATION, replaced, rewritten
from evenhand_standard.decoding.request_share import acts_on
from evenhand_standard.decoding.state_similarity import Similarity

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEAN = "lean"
PASSES = 4
"""How many words of the score are tried in a place, the best first, until one is no word for a group."""


class MaskedRewritingOptions(StrengthOptions):
    """Options of `masked-rewriting`."""

    strength: Strength = Field(
        ...,
        description="Share of the requests whose answers are rewritten; there is no default, because a rewriting may "
        "change what was said.",
    )
    infiller: str | None = Field(
        None,
        description="Folder or hub id of a masked model that finds and fills; by default the model that answers.",
    )
    experts: Descriptions = Field(EXPERTS, description="Descriptions of fair text, each a voice to follow.")
    anti_experts: Descriptions = Field(ANTI_EXPERTS, description="Descriptions of text to keep away from.")
    expert_models: tuple[str, ...] = Field(
        (),
        description="Folders of LoRA adapters of the infiller (peft), or of whole models of its kind, trained on fair "
        "text; with `anti_expert_models` in the place of all descriptions.",
    )
    anti_expert_models: tuple[str, ...] = Field((), description="The same, trained on prejudiced text.")
    threshold: Annotated[float, Field(gt=0.0)] = Field(
        1.2, description="Divergence of a hidden word, by the line's mean."
    )
    expert_weight: Annotated[float, Field(ge=0.0, le=10.0)] = Field(1.5, description="a_E.")
    anti_expert_weight: Annotated[float, Field(ge=0.0, le=10.0)] = Field(1.5, description="a_A.")
    penalty: Annotated[float, Field(ge=1.0, le=10.0)] = Field(
        1.5, description="By what the probability of a word is divided that the text has already."
    )
    plausible: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.01, description="Least part of the highest probability that a word must have to be filled in."
    )
    shortlist: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="How many of the best words are looked at in a place."
    )
    score: str = Field(
        LEAN,
        description="The bias that must fall: lean, by how much likelier the line is to the prejudiced voices; or a "
        "scorer of texts: toxicity, hurtlex, vader, opinion-lexicon, transformers:PATH#LABEL.",
    )
    similarity: Annotated[float, Field(ge=0.0, le=1.0)] = Field(0.8, description="Least similarity to what was said.")
    perplexity: Annotated[float, Field(ge=1.0)] = Field(
        1.2, description="Greatest perplexity, by that of what was said."
    )
    axis: AxisName = "gender"
    locale: Locale = "en"
    data: PathOption | None = Field(None, description="Folder of the published files that a scorer reads.")

    @field_validator("locale")
    @classmethod
    def _english(cls, locale: str) -> str:
        if locale.partition("-")[0] != "en":
            raise ValueError(f"the words and the rules are those of English; there are none for {locale!r}")
        return locale

    @model_validator(mode="after")
    def _both_kinds_of_models(self) -> MaskedRewritingOptions:
        if bool(self.expert_models) != bool(self.anti_expert_models):
            raise ValueError("`expert_models` and `anti_expert_models` go together: give both, or neither")
        return self


class MaskedRewriting(Mitigation):
    """Hides the words of answers that prejudiced text would have, and fills in those of fair text."""

    name = "masked-rewriting"
    summary = "Hides words of answers that only prejudiced text would have, and has them filled in fairly."
    source = "Hallinan et al. 2023, Detoxifying text with MaRCo; own tests of acceptance"
    kinds = ("causal",)
    Options = MaskedRewritingOptions
    example_options: Mapping[str, Any] = {"strength": 1.0}

    @classmethod
    def files_for(cls, options: Any) -> Sequence[KnownFile]:
        from evenhand_standard.text_scorers import files_of

        return files_of(options.score) if options.score != LEAN else ()

    @classmethod
    def models_for(cls, options: Any) -> Sequence[tuple[str, str]]:
        from evenhand_standard.decoding.lora_experts import is_adapter
        from evenhand_standard.text_scorers import models_of

        infiller = [("infiller", options.infiller)] if options.infiller else []
        experts = [("expert_models", place) for place in options.expert_models]
        anti_experts = [("anti_expert_models", place) for place in options.anti_expert_models]
        whole = [(option, place) for option, place in [*experts, *anti_experts] if not is_adapter(place)]
        return (*infiller, *whole, *models_of(score=options.score))

    def material(self) -> Material | None:
        if self.options.expert_models:
            return None  # what they were trained on is not known here
        return Material(texts={"descriptions": (*self.options.experts, *self.options.anti_experts)})

    @hookimpl
    def decoding(self, run: RunContext, model: PreTrainedModel) -> DecodingRule | None:
        o = self.options
        if o.strength == 0:
            return None
        if run.remote and o.infiller is None:
            raise UsageError(
                "an endpoint's model cannot look at a text word by word",
                where="option infiller",
                do="name a masked model that is loaded here",
            )
        from evenhand_standard.decoding.infilling_models import infiller_of

        axis, seed = load_axis(o.axis, o.locale), run.seed_for("requests")
        infiller = infiller_of(o, run, model)
        rewriter = Rewriter(infiller, o, axis, bias_by(o, offline=run.offline))

        def around(request: Request, ask: Ask) -> Response:
            answer = ask(request)
            if not acts_on(request, o.strength, seed):
                return answer
            text, lines = rewriter.answer("" if is_chat(request) else request.prompt, answer.text)
            if text == answer.text:
                return answer
            facts = {"words": [list(pair) for pair in replaced(answer.text, text)], "lines": lines}
            change = RequestChange(rule=run.step_id, what="rewriting", before=answer.text, after=text, facts=facts)
            return replace(answer, text=text, request_changes=(*answer.request_changes, change))

        probes = [Response(request=Request(prompt=f"What is the rule? ({k})"), text=t) for k, t in enumerate(PROBES)]
        probes = [replace(p, request=replace(p.request, meta={"chat": True})) for p in probes]
        return DecodingRule(name=run.step_id, around=around, probes=probes)


def bias_by(o: MaskedRewritingOptions, *, offline: bool) -> Callable[[str, Reading], float]:
    """The bias of a line: less is better."""
    if o.score == LEAN:
        return lambda line, reading: reading.bias
    from evenhand_standard.text_scorers import SENTIMENT, scorer

    tool = scorer(o.score, o.data, offline=offline)
    sign = -1.0 if tool.name in SENTIMENT else 1.0  # a sentiment is good where a toxicity is bad
    return lambda line, reading: sign * float(tool.score([line])[0])


@dataclass
class Rewriter:
    """Rewrites the lines of answers."""

    infiller: Infiller
    options: MaskedRewritingOptions
    axis: Axis
    bias: Callable[[str, Reading], float]

    def __post_init__(self) -> None:
        o = self.options
        self.weights = Weights(o.expert_weight, o.anti_expert_weight, o.penalty, o.plausible, o.shortlist)
        self.similarity = Similarity(self.infiller.states)

    def answer(self, prompt: str, text: str) -> tuple[str, list[dict[str, Any]]]:
        """The answer with its lines rewritten, and for each line that was tried how it fared; the prompt stays."""
        before = prompt.rpartition("\n")[2]
        by_rule = rewritten(prompt, text, self.axis).text.split("\n")
        code = sum(bool(FENCE.search(line)) for line in prompt.split("\n")[:-1]) % 2 == 1
        out, told = [], []
        for k, line in enumerate(text.split("\n")):
            head = before if k == 0 else ""
            whole, fence = head + line, bool(FENCE.search(head + line))
            facts: dict[str, Any] = {}
            if not (code or fence or CODE.search(whole) or QUOTATION.search(whole)):
                line, facts = self.line(head, line)
            if not facts.get("accepted"):
                line = by_rule[k]
                if facts:
                    facts["by rule"] = line != text.split("\n")[k]
            if facts:
                told.append({"line": k, **facts})
            out.append(line)
            code = code != fence
        return "\n".join(out), told

    def line(self, head: str, line: str) -> tuple[str, dict[str, Any]]:
        """A line behind what it continues, with its words filled in if that is accepted; no facts where none is."""
        whole = head + line
        if not self.infiller.room(whole):
            return line, {}
        old = self.infiller.read(whole)
        spans = self.hidden(whole, len(head), old)
        if not spans:
            return line, {}
        new = self.filled(whole, spans)
        facts: dict[str, Any] = {"hidden": [whole[a:b] for a, b in spans], "filled in": new[len(head) :]}
        if new == whole:
            return line, {**facts, "accepted": False, "why": "the same words"}
        after = self.infiller.read(new)
        o = self.options
        bias = [self.bias(line, old), self.bias(new[len(head) :], after)]
        near = self.similarity(whole, new)
        ratio = after.log_perplexity - old.log_perplexity
        reasons = [
            why
            for why, wrong in (
                ("its bias is not less", not bias[1] < bias[0]),
                ("it does not mean the same", near < o.similarity),
                ("it is no good English", ratio > math.log(o.perplexity)),
            )
            if wrong
        ]
        facts |= {
            "bias": [round(b, 4) for b in bias],
            "similarity": round(near, 4),
            "perplexity": round(math.exp(min(ratio, 50.0)), 4),
        }
        if reasons:
            return line, {**facts, "accepted": False, "why": "; ".join(reasons)}
        return new[len(head) :], {**facts, "accepted": True}

    def hidden(self, whole: str, start: int, reading: Reading) -> list[Span]:
        """Words of the line above the threshold.

        Whoever the text speaks of stays: words for groups, and names; so do articles, prepositions and other small
        words, which carry no judgement.
        """
        mean = sum(reading.divergence) / len(reading.divergence) if reading.divergence else 0.0
        people = [(w.start, w.end) for w in group_words(whole, self.axis)]
        found = []
        for (a, b), size in zip(reading.words, reading.divergence, strict=True):
            named = any(a < end and first < b for first, end in people)
            capital = whole[a].isupper()
            small = whole[a:b].lower() in FUNCTION_WORDS
            if a >= start and size > self.options.threshold * mean > 0 and not (named or capital or small):
                found.append((a, b))
        return found

    def filled(self, whole: str, spans: Sequence[Span]) -> str:
        """The text with its hidden words filled in, from left to right, each behind those before it."""
        text, moved = whole, 0
        for number, (a, b) in enumerate(spans):
            span = (a + moved, b + moved)
            later = [(c + moved, d + moved) for c, d in spans[number + 1 :]]
            for word in self.infiller.proposed(text, span, later, self.weights)[:PASSES]:
                new, longer = put(text, span, word)
                if self._groups(new) == self._groups(text):
                    text, moved = new, moved + longer
                    break
        return text

    def _groups(self, text: str) -> Counter[str]:
        return Counter(word.group for word in group_words(text, self.axis))


def put(text: str, span: Span, word: str) -> tuple[str, int]:
    """The text with a word in the place of a span and the article before it as the word needs it; how much longer."""
    a, b = span
    new = text[:a] + word + text[b:]
    place = article_before(text, a, 0)
    if place is not None:
        old = text[place[0] : place[1]]
        new = new[: place[0]] + repaired_article(old, text[a:b], word) + new[place[1] :]
    return new, len(new) - len(text)
