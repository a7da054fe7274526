"""What happens while a model answers: requests, responses, rules that change decoding, and monitors that look on.

Shapes: B rows of text, T tokens, V vocabulary entries, k contexts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

    from evenhand.around_requests import Ask


# ------------------------------------------------------------------------------------------------------ decoding
@dataclass(frozen=True, kw_only=True)
class Request:
    """One call of the model."""

    prompt: str
    max_new_tokens: int = 40
    seed: int | None = None
    temperature: float | None = None
    """Of sampling this answer, 0 for greedy; None: that of the whole call."""
    turns: Sequence[tuple[str, str]] = ()
    """Of a chat (`meta={"chat": True}`): (role, text) of what was said before the prompt, which is the user's turn."""
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TokenChange:
    """One generated token whose distribution a rule changed."""

    position: int
    rule: str
    before: str
    """The most probable token before the rule."""
    after: str
    """The most probable token after it."""
    total_variation: float


@dataclass(frozen=True, kw_only=True)
class RequestChange:
    """What a rule around a request did to it, or to its answer as a whole."""

    rule: str
    what: Literal["prompt", "rewriting", "choice", "abstention"]
    before: str
    """The prompt, or the answer that there would have been without the rule."""
    after: str
    """What the model was asked instead, or what was answered instead."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """By how much: counts, scores, reasons; plain JSON types."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """What the model answered, and what the rules did to it."""

    request: Request
    text: str
    token_ids: Sequence[int] = ()
    """The tokens that the model wrote, also where a rule has put another text in the place of theirs."""
    changes: Sequence[TokenChange] = ()
    request_changes: Sequence[RequestChange] = ()
    """The innermost rule first: the last one is nearest to what the user reads."""
    notes: Mapping[str, Any] = field(default_factory=dict)


Variant = Callable[[Any, "Sequence[int] | None"], AbstractContextManager[Any]]
"""`variant(model, rows)` is a block in which rows of each batch (None: all), in this thread, are computed in another
state of the model; all other rows, and other threads, see the model as it is."""


@dataclass(frozen=True, kw_only=True)
class DecodingRule:
    """A change of decoding in exactly one of five forms.

    `next_logits(ids, logits, contexts)` maps next-token logits. `ids` is [B, T] (left-padded prefixes, `pad` = -1),
    `logits` [B, V]; `contexts[b]` is a [k, V] tensor with the logits of row b's extra contexts and variants (k may be
    0), all as the rules before this one have made them. It must be a pure function of each prefix, so that the same
    rule scores given text, and must change nothing in place that it is given.
    `mask_logits(ids, logits, contexts, places)` is the same for masked models: it maps the logits [B, V] at masked
    places. `ids` is [B, T] (texts with their masks, right-padded, `pad` = -1), `places` [B] where each one's mask lies.
    It must be a pure function of the masked text, and must change nothing in place that it is given.
    `step(model, cache)` may touch the key-value cache before each forward pass; measured on generations only.
    `next_words(text, logp)` is for models behind an endpoint (`run.remote`): it maps the log-probabilities of the
    likeliest next words, as text, to those of the same words; a pure function of both.
    `around(request, generate)` wraps whole requests: prompts, reranking, rewriting, abstention.
    """

    name: str
    next_logits: Callable[..., torch.Tensor] | None = None
    contexts: Callable[[Sequence[int]], Sequence[Sequence[int]]] | None = None
    """Prefix of token ids -> the token ids of its extra contexts, none of them empty; a pure function of the prefix."""
    variants: Sequence[Variant] = ()
    """States of the model in which each prefix is read besides, such as with an adapter; their logits [V] stand behind
    those of the contexts, in this order."""
    mask_logits: Callable[..., torch.Tensor] | None = None
    mask_contexts: Callable[[Sequence[int], int], Sequence[tuple[Sequence[int], int]]] | None = None
    """Token ids and the place of a mask in them -> the token ids of its extra contexts, each with the place of the
    mask in it that corresponds; a pure function of both."""
    step: Callable[..., None] | None = None
    next_words: Callable[[str, Mapping[str, float]], Mapping[str, float]] | None = None
    around: Callable[[Request, Ask], Response] | None = None
    """Gets a request and what answers requests: `ask(request)`, or `ask.many(requests)` for several in one batch."""
    finish: Callable[[], None] | None = None
    """Called when a generation or a scoring ends, also by an error: frees what the rule holds, such as caches."""
    probes: Sequence[Response] = ()
    """Of a rule around requests that acts on few of them: requests with answers on which it can be seen to act. The
    proof that the step took hands it these answers, several to one prompt in turn; without any, answers of the model
    are compared."""

    def __post_init__(self) -> None:
        forms = [
            f for f in ("next_logits", "mask_logits", "step", "next_words", "around") if getattr(self, f) is not None
        ]
        if len(forms) != 1:
            raise TypeError(f"decoding rule {self.name!r} must have exactly one form, it has {forms or 'none'}")
        if self.contexts is not None and self.next_logits is None:
            raise TypeError(f"decoding rule {self.name!r} asks for contexts but maps no logits")
        if self.variants and self.next_logits is None:
            raise TypeError(f"decoding rule {self.name!r} asks for variants of the model but maps no logits")
        if self.mask_contexts is not None and self.mask_logits is None:
            raise TypeError(f"decoding rule {self.name!r} asks for contexts of masks but maps no logits at masks")


# ---------------------------------------------------------------------------------------------------- monitoring
@dataclass(frozen=True, kw_only=True)
class Observation:
    """One request and its response, as the monitors see it."""

    response: Response
    probe_of: Observation | None = None
    """Set when this is the answer to a probe a monitor asked for."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a monitor noticed."""

    title: str
    detail: str = ""
    """The numbers that matter in half a sentence: what the terminal shows beside the title."""
    level: Literal["info", "warning", "alarm"] = "info"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Intervention:
    """What a monitor asks the host to do from now on: switch decoding rules on, or stop answering."""

    action: Literal["enable_rules", "disable_rules", "halt"]
    rules: Sequence[str] = ()
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Monitor:
    """Watches requests while they are served."""

    name: str
    observe: Callable[[Observation], Sequence[Finding | Intervention]]
    probes: Callable[[Observation], Sequence[Request]] | None = None
    """Extra requests whose answers it wants to see; they never reach a user."""
    summary: Callable[[], Finding] | None = None
    """The state at the end of the traffic."""
