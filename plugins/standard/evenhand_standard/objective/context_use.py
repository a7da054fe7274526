"""Does a model still use its context? What a training that draws distributions together may cost, before and after.

A model that expects the same after every text has no gap between counterfactuals. Two numbers tell it from one that
treats groups alike:

    I  =  H( mean_t p(. | x_<t) ) - mean_t H( p(. | x_<t) )     what the context says of the next word, in nat
    agreement  =  share of sentences in which "she ... herself" is likelier than "she ... himself", and so on

I is the mean divergence of the predictions from their own mean, over the places of plain prose that is never trained
on; 0 says that the context is not read at all. Of a masked model each place is masked in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evenhand_sdk import Fact, RunContext, Section, progress
from evenhand_sdk.benchmark_data import builtin_lines

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXTS, TOKENS, SENTENCES = 24, 32, 48
LOST = 0.1
"""The share of I, or of agreement, whose loss is called one."""


def context_section(run: RunContext, model: PreTrainedModel, locale: str) -> Section:
    """Both numbers for the untouched model and for this one, as a section of the report."""
    ids = [list(run.tokenizer(text)["input_ids"])[:TOKENS] for text in builtin_lines("heldout")[:TEXTS]]
    found: dict[str, dict[str, float]] = {}
    with progress("Measuring the use of context", total=2, unit="models") as bar:
        for when, one in (("before", run.services.load_base()), ("after", model)):
            found[when] = {"I": information(run, one, ids)}
            if locale == "en":
                found[when]["agreement"] = agreement(run, one)
            bar.advance(1)
    names = {"I": "what the context says of the next word, nat", "agreement": "sentences whose pronoun agrees"}
    facts = [
        Fact(label=f"{names[key]}, {when}", value=round(values[key], 3))
        for key in found["before"]
        for when, values in found.items()
    ]
    lost = [names[key] for key, before in found["before"].items() if found["after"][key] < (1 - LOST) * before]
    text = (
        "A model that expects the same after every text shows no gap between groups, either. So here is how much its "
        "predictions depend on what they are made from, on prose that was not trained on, and whether pronouns still "
        "agree with their subject. "
    )
    text += (
        f"More than {100 * LOST:.0f} % was lost of: {', '.join(lost)}. A gap that closed with it is no sign of "
        "fairness; lower the weight of the term."
        if lost
        else f"Neither lost more than {100 * LOST:.0f} %."
    )
    return Section(title="Is the context still used?", text=text, facts=facts)


def information(run: RunContext, model: PreTrainedModel, ids: Sequence[Sequence[int]]) -> float:
    """I in nat over all places of some texts, read a few at a time."""
    import torch

    mixture: torch.Tensor | None = None
    entropy, places = 0.0, 0
    for start in range(0, len(ids), 4):
        for logp in run.services.distributions(ids[start : start + 4], model=model, rules=()):
            p = torch.as_tensor(logp).double().exp()
            entropy += float(torch.special.entr(p).sum())
            mixture = p.sum(0) if mixture is None else mixture + p.sum(0)
            places += len(p)
    assert mixture is not None
    return float(torch.special.entr(mixture / places).sum()) - entropy / places


def agreement(run: RunContext, model: PreTrainedModel) -> float:
    """The share of sentences, each with a woman and with a man as its subject, whose pronoun agrees; a tie is half."""
    from evenhand_standard.benchmarks.pronoun_agreement import sentences

    every = sentences()
    chosen = every[:: len(every) // SENTENCES]
    forms = [(k, other) for k in (0, 1) for other in (k, 1 - k)]
    scores = run.services.score([item.whole(*form) for item in chosen for form in forms], model=model, dtype="float32")
    totals = [score.total for score in scores]
    margins = [right - wrong for right, wrong in zip(totals[::2], totals[1::2], strict=True)]
    return sum(0.5 if m == 0 else float(m > 0) for m in margins) / len(margins)
