"""Rules on the likeliest next words: an endpoint is asked for one word at a time, with its most probable alternatives.

What is not among them keeps its place: a rule maps log-probabilities of words to log-probabilities of the same words.
It costs a request a token, which servers that keep the prefix in their cache make bearable, not cheap.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import DecodingRule, Request, Response, TokenChange
from evenhand.errors import EndpointFault, PluginFault, UsageError

if TYPE_CHECKING:
    from evenhand.remote import RemoteModel

END = re.compile(
    r"</s>|<eos>|<end_of_turn>|<\|(?:im_end|endoftext|end_of_text|end_of_turn|eot_id|eom_id|end|return)\|>"
    r"|<｜end▁of▁sentence｜>"
)
"""Tokens that end an answer, as servers spell them."""
PIECE = "\N{REPLACEMENT CHARACTER}"
"""How a token shows that is a part of a character."""
VISIBLE = 1e-6


def written(
    model: RemoteModel, request: Request, rules: Sequence[DecodingRule], temperature: float, top_p: float, seed: int
) -> Response:
    """An answer that is written word by word under the rules. Raises UsageError for a turn of a chat."""
    if request.meta.get("chat"):
        raise UsageError(
            f"the decoding rule {rules[0].name!r} acts word by word, and the endpoint cannot go on in a chat's answer",
            where="model.endpoint",
            do="ask for the continuation of a text (chat=False)",
        )
    draw = random.Random(seed)
    text, changes, pieces = "", [], 0
    for place in range(request.max_new_tokens):
        listed, ended = next_words(model, request, text)
        if not listed:
            break
        words = {word: value for word, value in listed.items() if PIECE not in word}
        pieces += len(words) < len(listed)
        if not words:
            raise EndpointFault(
                "all of its next words are parts of characters, and a text cannot go on with such a part",
                where=f"endpoint {model.client.url}",
                known=f"the text so far ends in {text[-40:]!r}",
                do="raise model.endpoint_top, or use a model that is loaded here",
            )
        logp = words
        for rule in rules:
            assert rule.next_words is not None
            mapped = dict(rule.next_words(request.prompt + text, logp))
            if mapped.keys() != logp.keys() or any(math.isnan(v) for v in mapped.values()):
                raise PluginFault("it must map the words that it is given", where=f"decoding rule {rule.name!r}")
            moved = 0.5 * sum(abs(math.exp(mapped[w]) - math.exp(logp[w])) for w in logp)
            if moved > VISIBLE:
                a, b = max(logp, key=logp.__getitem__), max(mapped, key=mapped.__getitem__)
                changes.append(TokenChange(position=place, rule=rule.name, before=a, after=b, total_variation=moved))
            logp = mapped
        word = chosen(logp, temperature, top_p, draw)
        if END.fullmatch(word) or (ended and word == max(words, key=words.__getitem__)):
            break
        text += word
    notes = {"words of which some were parts of characters and could not be taken": pieces} if pieces else {}
    return Response(request=request, text=text, changes=tuple(changes), notes=notes)


def next_words(model: RemoteModel, request: Request, text: str) -> tuple[dict[str, float], bool]:
    """The likeliest next words with their log-probabilities, and whether the likeliest one ends the answer."""
    body: dict[str, Any] = {
        **model.body(request),
        "prompt": request.prompt + text,
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": model.top,
    }
    try:
        found = model.client.post("completions", body)
    except EndpointFault as error:
        if "logprobs" not in error.known:
            raise
        do = f"set model.endpoint_top to what it allows: {model.top} words were asked for"
        raise EndpointFault(error.what, where=error.where, known=error.known, do=do) from None
    where = f"endpoint {model.client.url}"
    try:
        choice = found["choices"][0]
        listed = choice["logprobs"]["top_logprobs"]
        ended = choice.get("finish_reason") == "stop"
    except (KeyError, IndexError, TypeError, AttributeError):
        raise EndpointFault(
            "it gives no probabilities of words", where=where, known=f"a rule needs `logprobs={model.top}`",
            do="use a server that gives them for /completions, or rules around requests",
        ) from None  # fmt: skip
    if not listed:
        return {}, True
    words = listed[0]
    if not isinstance(words, Mapping) or not all(isinstance(v, int | float) and v == v for v in words.values()):
        raise EndpointFault("its probabilities of words cannot be read", where=where)
    return {str(word): float(value) for word, value in words.items()}, ended


def chosen(logp: Mapping[str, float], temperature: float, top_p: float, draw: random.Random) -> str:
    """The likeliest word, or at a temperature one of those that make up `top_p` of what is listed."""
    order = sorted(logp, key=lambda w: (-logp[w], w))
    if temperature <= 0:
        return order[0]
    best = logp[order[0]]
    weights = [math.exp((logp[w] - best) / temperature) for w in order]
    total, kept, mass = sum(weights), 0, 0.0
    for weight in weights:
        kept += 1
        mass += weight / total
        if mass >= top_p:
            break
    return draw.choices(order[:kept], weights[:kept])[0]
