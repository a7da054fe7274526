"""Contrastive explanation: which words of a prompt speak for the target and which for the foil.

For a prompt with a gap, g(e) = l(target) - l(foil) at the gap is a function of the input embeddings e_1 ... e_T:

    gradient x input:   a_i = < dg/de_i , e_i >                (one backward pass)
    erasure:            b_i = g(e) - g(e with e_i = 0)         (what really happens without word i)

a is shown; its correlation with b over the words of the prompt says whether it is faithful.

Source: Yin and Neubig 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

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


class ContrastiveExplanationOptions(Options):
    """Options of `contrastive-explanation`."""

    axis: AxisName = "gender"
    locale: Locale = "en"
    target: str = Field("she", description="The word that is explained ...")
    foil: str = Field("he", description="... against this one, its partner in the axis.")
    prompts: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        PROMPTS, description=f"Sentences with one {GAP} where the word stands."
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
        facts: list[Fact] = []
        figures = []
        with progress("Explaining word choices", total=len(o.prompts), unit="prompts") as bar:
            for prompt in o.prompts:
                question = ask(prompt, run.tokenizer, masked=run.kind == "masked")
                before = explain(base, question, target, foil).gap
                after = explain(model, question, target, foil)
                facts += [
                    Fact(label=f"{prompt} before", value=before),
                    Fact(label=f"{prompt} after", value=after.gap),
                    Fact(
                        label=f"{prompt} faithfulness",
                        value="not defined" if after.faithfulness is None else after.faithfulness,
                    ),
                ]
                figures.append(
                    Heat(
                        tokens=[run.tokenizer.decode([t]) for t in question.ids],
                        weights=after.attributions,
                        caption=f"{prompt} positive: speaks for {o.target!r}; negative: for {o.foil!r}",
                    )
                )
                bar.advance(1)
        text = (
            f"The number is the logit of {o.target!r} minus that of {o.foil!r} at the gap, before and after the run; "
            "0 means that both are equally likely. Colours show gradient times input in the model after the run. "
            "Faithfulness is the correlation of the colours with what erasing each token does to the gap, from -1 "
            "to 1; near 0 the colours explain nothing. Decoding rules are not part of this explanation."
        )
        return Section(title=f"Why {o.target!r} and not {o.foil!r}", text=text, facts=facts, figures=figures)


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
    erasures: list[float]
    """How much of the gap goes when the token's embedding is set to zero; 0 likewise."""
    faithfulness: float | None
    """Pearson correlation of the two over the words; None when one of them is constant."""


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
        attributions = (gradient * embeddings)[0].sum(-1)
        with torch.no_grad():
            erased = embeddings.repeat(len(question.words), 1, 1)
            erased[range(len(question.words)), list(question.words)] = 0.0
            erasures = gap.detach() - _gaps(model, erased, question, target, foil)
    finally:
        model.train(was_training)
    chosen = attributions[list(question.words)].detach()
    return Explanation(
        gap=float(gap.detach()),
        attributions=_spread(chosen, question),
        erasures=_spread(erasures, question),
        faithfulness=correlation(chosen, erasures),
    )


def _gaps(model: PreTrainedModel, embeddings: torch.Tensor, question: Question, target: int, foil: int) -> torch.Tensor:
    """l(target) - l(foil) for each of n inputs: [n, T, H] -> [n]."""
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
