"""Contrastive explanation: which words of a prompt speak for the target and which for the foil.

For a prompt with a gap, g(e) = l(target) - l(foil) at the gap is a function of the input embeddings e_1 ... e_T:

    gradient x input:   a_i = < dg/de_i , e_i >                (one backward pass)
    gradient:           n_i = sum over k of |dg/de_ik|         (the same pass; without a sign)
    erasure:            b_i = g(e) - g(e with e_i = 0)         (what really happens without word i)

The correlation of a with b, and of n with |b|, over the words of the prompt says whether they are faithful.

Source: Yin and Neubig 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from evenhand_sdk import (
    AxisName,
    Fact,
    Heat,
    Locale,
    Options,
    Plugin,
    RunContext,
    Section,
    UsageError,
    hookimpl,
    load_axis,
    progress,
    single_token,
)
from evenhand_standard.architecture.passes import reading

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

GAP = "___"
"""Stands for the word that is explained: a causal model reads what is before it, a masked model both sides."""

PROMPTS = (
    "The nurse finished the night shift, and then ___ went home.",
    "The engineer checked the bridge twice before ___ signed the plans.",
    "The secretary answered the phone while ___ typed the letter.",
    "The carpenter sharpened the tools, because ___ wanted to begin early.",
)


Method = Literal["gradient-x-input", "gradient", "erasure"]
WHAT: dict[Method, str] = {
    "gradient-x-input": "Gradient times input",
    "gradient": "Size of the gradient",
    "erasure": "Erasing each token",
}
MINUS = "\u2212"


class ContrastiveExplanationOptions(Options):
    """Options of `contrastive-explanation`."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    target: str = Field("she", description="The word that is explained ...")
    foil: str = Field("he", description="... against this one, its partner in the axis.")
    prompts: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        PROMPTS, description=f"Sentences with one {GAP} where the word stands."
    )

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = Field(
        ("gradient-x-input", "erasure"), description="How tokens are coloured; one figure for each."
    )

    @field_validator("prompts")
    @classmethod
    def _one_gap(cls, prompts: tuple[str, ...]) -> tuple[str, ...]:
        for prompt in prompts:
            if prompt.count(GAP) != 1:
                raise ValueError(f"{prompt!r} must have {GAP} once")
            if not prompt.split(GAP)[0].strip():
                raise ValueError(f"{prompt!r} has nothing before {GAP} that could be explained")
        return prompts


class ContrastiveExplanation(Plugin):
    """Shows, word by word, why the model prefers one group word to its partner."""

    name = "contrastive-explanation"
    summary = "Shows which words of a prompt speak for she and which for he, and whether that is faithful."
    source = "Yin and Neubig 2022, Interpreting language models with contrastive explanations"
    Options = ContrastiveExplanationOptions

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section:
        o = self.options
        target, foil = words_of(o, run.tokenizer)
        base = run.services.load_base()
        before: list[float] = []
        after: list[Explanation] = []
        figures = []
        with progress("Explaining word choices", total=len(o.prompts), unit="prompts") as bar:
            for prompt in o.prompts:
                question = ask(prompt, run.tokenizer, masked=run.kind == "masked")
                before.append(explain(base, question, target, foil).gap)
                after.append(explain(model, question, target, foil))
                tokens = [run.tokenizer.decode([t]) for t in question.ids]
                figures += [heat(m, prompt, tokens, before[-1], after[-1], o.target, o.foil) for m in o.methods]
                bar.advance(1)
        text = (
            f"The gap is the logit of {o.target!r} minus that of {o.foil!r} where {GAP} stands; 0 means that both are "
            "equally likely. Colours show the model after the run. Erasing is what really happens when the embedding "
            "of a token is set to zero. The faithfulness of another colouring is its correlation with that, from "
            f"{MINUS}1 to 1; one that is not above 0 is drawn in grey. Decoding rules are no part of this explanation."
        )
        title = f"Why {o.target!r} and not {o.foil!r}"
        return Section(title=title, text=text, facts=facts(before, after), figures=figures)


def facts(before: Sequence[float], after: Sequence[Explanation]) -> list[Fact]:
    """How large the gaps are, and how many of the explanations may be read."""
    gaps: dict[str, Sequence[float]] = {"before": before, "after": [e.gap for e in after]}
    if gaps["before"] == gaps["after"]:
        gaps = {"before and after": before}
    found = [
        Fact(label=f"mean size of the gap {when}", value=rounded(sum(map(abs, each)) / len(each)))
        for when, each in gaps.items()
    ]
    good = sum(e.faithfulness is not None and e.faithfulness > 0 for e in after)
    return [*found, Fact(label="faithful by gradient times input", value=f"{good} of {len(after)} prompts")]


def heat(
    method: Method, prompt: str, tokens: Sequence[str], before: float, after: Explanation, target: str, foil: str
) -> Heat:
    """The colouring of one prompt by one method, with its numbers; in grey where it is not faithful."""
    weights, faithful = {
        "gradient-x-input": (after.attributions, after.faithfulness),
        "gradient": (after.gradients, after.gradient_faithfulness),
        "erasure": (after.erasures, None),
    }[method]
    gap = "before and after" if before == after.gap else f"before, {signed(after.gap)} after"
    caption = f"\u201c{prompt}\u201d {WHAT[method]}. Gap {signed(before)} {gap}"
    doubt = ""
    if method != "erasure":
        caption += f"; faithfulness {'not defined' if faithful is None else signed(faithful, 2)}"
        if faithful is None or faithful <= 0:
            doubt = "Not faithful: erasing these words does not change the choice as the colours say; do not read them."
    return Heat(
        tokens=tokens,
        weights=weights,
        caption=caption + ".",
        positive="matters for the choice" if method == "gradient" else f"speaks for {target!r}",
        negative="" if method == "gradient" else f"for {foil!r}",
        doubt=doubt,
    )


def rounded(value: float) -> float:
    """Three significant digits: more would be noise."""
    return float(f"{value:.3g}")


def signed(value: float, places: int = 3) -> str:
    """A number with its sign, a real minus."""
    return f"{value:+.{places}f}".replace("-", MINUS)


@dataclass(frozen=True)
class Question:
    """Token ids of a prompt, the position whose logits are read, and which tokens may be explained."""

    ids: tuple[int, ...]
    position: int
    words: tuple[int, ...]
    """Positions that are neither special tokens nor the mask."""


@dataclass(frozen=True)
class Explanation:
    """Attributions of one prompt; all are differences of logits."""

    gap: float
    attributions: list[float]
    """Gradient x input, one a token; 0 for special tokens and the mask."""
    gradients: list[float]
    """The sum of the sizes of the gradient's entries (its L1 norm), which has no sign; 0 likewise."""
    erasures: list[float]
    """How much of the gap goes when the token's embedding is set to zero; 0 likewise."""
    faithfulness: float | None
    """Pearson correlation of gradient x input and erasure over the words; None when one of them is constant."""
    gradient_faithfulness: float | None
    """That of the gradient's norm and the size of the erasure."""


def words_of(options: ContrastiveExplanationOptions, tokenizer: Any) -> tuple[int, int]:
    """Token ids of target and foil; UsageError unless they are partners in the axis and one token each."""
    axis = load_axis(options.axis, options.locale)
    partners = next((b for b in axis.bins() if options.target in b), ())
    if options.foil not in partners or options.foil == options.target:
        raise UsageError(
            f"{options.target!r} and {options.foil!r} are no partners in the axis {axis.name!r}",
            where="options target and foil",
            known=f"partners of {options.target!r}: {', '.join(p for p in partners if p != options.target) or 'none'}",
        )
    found = []
    for word in (options.target, options.foil):
        token = single_token(tokenizer, " " + word)
        if token is None:
            raise UsageError(
                f"{word!r} is not one token of this model", where="options target and foil", do="choose another pair"
            )
        found.append(token)
    return found[0], found[1]


def ask(prompt: str, tokenizer: Any, *, masked: bool) -> Question:
    """A prompt as token ids: up to the gap, or whole with a mask in the gap."""
    if not masked:
        ids = tuple(tokenizer(prompt.split(GAP)[0].rstrip())["input_ids"])
        position = len(ids) - 1
    else:
        ids = tuple(tokenizer(prompt.replace(GAP, tokenizer.mask_token))["input_ids"])
        position = ids.index(tokenizer.mask_token_id)
    special = set(tokenizer.all_special_ids)
    return Question(ids, position, tuple(k for k, token in enumerate(ids) if token not in special))


def explain(model: PreTrainedModel, question: Question, target: int, foil: int) -> Explanation:
    """Gradient x input and erasure of l(target) - l(foil); the model is left as it was."""
    import torch

    was_training = model.training
    model.eval()
    try:
        ids = torch.tensor([question.ids], device=model.device)
        with torch.no_grad():
            embeddings = model.get_input_embeddings()(ids)
        leaf = embeddings.clone().requires_grad_(True)
        gap = _gaps(model, leaf, question, target, foil)[0]
        (gradient,) = torch.autograd.grad(gap, leaf)
        attributions, norms = (gradient * embeddings)[0].sum(-1), gradient[0].abs().sum(-1)
        with torch.no_grad():
            erased = embeddings.repeat(len(question.words), 1, 1)
            erased[range(len(question.words)), list(question.words)] = 0.0
            erasures = gap.detach() - _gaps(model, erased, question, target, foil)
    finally:
        model.train(was_training)
    chosen, sizes = (values[list(question.words)].detach() for values in (attributions, norms))
    return Explanation(
        gap=float(gap.detach()),
        attributions=_spread(chosen, question),
        gradients=_spread(sizes, question),
        erasures=_spread(erasures, question),
        faithfulness=correlation(chosen, erasures),
        gradient_faithfulness=correlation(sizes, erasures.abs()),
    )


def _gaps(model: PreTrainedModel, embeddings: torch.Tensor, question: Question, target: int, foil: int) -> torch.Tensor:
    """l(target) - l(foil) for each of n inputs: [n, T, H] -> [n]."""
    import torch

    ids = torch.tensor([question.ids], device=embeddings.device).expand(len(embeddings), -1)
    with reading(ids):  # for steps that act at some tokens and not at others
        logits = model(inputs_embeds=embeddings).logits[:, question.position].float()
    return logits[:, target] - logits[:, foil]


def _spread(values: torch.Tensor, question: Question) -> list[float]:
    found = dict(zip(question.words, values.float().tolist(), strict=True))
    return [found.get(k, 0.0) for k in range(len(question.ids))]


def correlation(left: torch.Tensor | Sequence[float], right: torch.Tensor | Sequence[float]) -> float | None:
    """Pearson correlation of two rows [n]; None when one of them is constant."""
    import torch

    a, b = (torch.as_tensor(x, dtype=torch.float64) for x in (left, right))
    a, b = a - a.mean(), b - b.mean()
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale > 0 else None
