"""Generation that does not repeat itself: tokens that were used often are made less likely.

    l'(v) = l(v) - beta c(v) / max_u c(u)          c: counts of tokens over all that was generated so far

Function words, group words and the special tokens are exempt, for a text without them would be no text, and the groups
must not be pushed away. Counts are updated between rounds, so that within a round the rule is one function of the
prefix, as every decoding rule is. Source: Chung, Kamar and Amershi 2023.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Axis, DecodingRule, Request, Response, RunContext, progress
from evenhand_sdk.english_words import FUNCTION_WORDS

if TYPE_CHECKING:
    import torch

BETA = 7.5
SIGNS = (".", ",", "!", "?", ";", ":", "'", '"', "-", "\n")


def penalties(counts: Counter[int], exempt: Iterable[int], size: int, beta: float) -> torch.Tensor:
    """beta c(v) / max_u c(u) for each of `size` tokens [V], 0 for the exempt ones and where nothing was counted."""
    import torch

    found = torch.zeros(size)
    left_alone = set(exempt)
    counted = {v: c for v, c in counts.items() if v not in left_alone}
    most = max(counted.values(), default=0)
    for token, count in counted.items():
        found[token] = beta * count / most
    return found


def suppression(penalty: torch.Tensor) -> DecodingRule:
    """The rule that takes `penalty` [V] from the logits."""
    return DecodingRule(
        name="logit-suppression",
        next_logits=lambda ids, logits, contexts: logits - penalty[: logits.shape[-1]].to(logits.device),
    )


def exempt_tokens(tokenizer: Any, axes: Sequence[Axis]) -> frozenset[int]:
    """Token ids of the special tokens, of signs, of function words and of the axes' words, in each way to write them.

    A word of several tokens exempts all of them: its parts must not be pushed away, either.
    """
    words = [*SIGNS, *FUNCTION_WORDS, *(w for axis in axes for w in axis.words())]
    forms = {f for w in words for word in (w, w.capitalize()) for f in (word, f" {word}")}
    found = {i for ids in tokenizer(sorted(forms), add_special_tokens=False)["input_ids"] for i in ids}
    return frozenset(found | set(tokenizer.all_special_ids))


def generated(
    run: RunContext,
    model: Any,
    prompts: Sequence[Sequence[str]],
    axes: Sequence[Axis],
    *,
    beta: float,
    temperature: float,
    max_new_tokens: int,
    seed: int,
) -> list[list[str]]:
    """The prompts with their continuations, by round: all prompts of a round see the same counts, which then grow."""
    counts: Counter[int] = Counter()
    exempt = exempt_tokens(run.tokenizer, axes)
    size = int(model.get_output_embeddings().weight.shape[0])
    answers: list[list[str]] = []
    with progress("Writing texts", total=len(prompts), unit="rounds") as bar:
        for number, asked in enumerate(prompts):
            rule = suppression(penalties(counts, exempt, size, beta))
            requests = [Request(prompt=p, max_new_tokens=max_new_tokens, seed=seed + number) for p in asked]
            found = run.services.generate(requests, model=model, rules=[rule], temperature=temperature)
            for response in found:
                counts.update(response.token_ids)
            answers.append([whole(run.tokenizer, response) for response in found])
            bar.advance(1)
    return answers


def whole(tokenizer: Any, response: Response) -> str:
    """Prompt and continuation, decoded together: some tokenizers decode a continuation without its first space."""
    ids = [*tokenizer(response.request.prompt)["input_ids"], *response.token_ids]
    return str(tokenizer.decode(ids, skip_special_tokens=True))
