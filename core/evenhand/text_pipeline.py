"""A finished model as an object with the interface of transformers' text-generation pipeline.

`transformers.pipeline("text-generation", model=..., tokenizer=...)` with a loaded model follows its rules, too, but for
those around whole requests, which `model.generate` cannot have. This one has all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import UsageError

INSTEAD = {
    "text_inputs": "give the text, or the texts, as the first argument",
    "stop_sequence": "write stop_strings=[...]",
    "max_length": "write max_new_tokens=..., without the tokens of the prompt",
    "min_length": "set pipe.model.generation_config.min_new_tokens, which counts in all calls",
    "top_k": "write top_p=..., or temperature=...",
    "return_tensors": "read pipe.responses, whose token_ids are the tokens",
    "return_text": "write return_full_text=False for the answer alone",
    "streamer": "read result.stream(...)",
    "generation_config": "write what differs as arguments, or set it in pipe.model.generation_config",
    "prefix": "write it into the prompt",
    "eos_token_id": "write stop_strings=[...], or set pipe.model.generation_config.eos_token_id",
}
"""What there is for arguments of transformers' pipeline that are not here, by their names."""
SET_ONCE = frozenset({
    "repetition_penalty", "no_repeat_ngram_size", "min_new_tokens", "bad_words_ids", "suppress_tokens",
    "begin_suppress_tokens", "sequence_bias", "min_p", "typical_p", "max_time", "length_penalty",
})  # fmt: skip
"""Those that count where the model's generation configuration has them."""

Chat = Sequence[Mapping[str, str]]


class TextGeneration:
    """Made by `evenhand.load(run).pipeline()`; called with a text, a chat (list of turns), or a list of either."""

    task = "text-generation"

    def __init__(self, model: Any, tokenizer: Any, rules: Sequence[DecodingRule]) -> None:
        self.model, self.tokenizer, self.rules = model, tokenizer, tuple(rules)
        self.responses: list[Response] = []
        """Of the last call: what was answered, with the record of what the rules did."""

    def __call__(
        self,
        inputs: str | Chat | Sequence[str] | Sequence[Chat] | None = None,
        *,
        max_new_tokens: int = 256,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_p: float = 1.0,
        num_return_sequences: int = 1,
        return_full_text: bool = True,
        batch_size: int = 8,
        seed: int = 0,
        num_beams: int = 1,
        stop_strings: str | Sequence[str] = (),
        meta: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Any:
        """As the pipeline of transformers: a list of {"generated_text": ...} for each input, or a list of such lists.

        `meta` is what each request has in its `meta`, such as the strength of a step that was not folded.
        A chat's `generated_text` is the chat with the answer as its last turn, or the answer alone. `num_beams` and
        `stop_strings` are those of `generate`. What else the pipeline of transformers takes is refused by name.
        """
        from evenhand.generation import generate

        if others:
            raise _unknown(next(iter(others)))
        if isinstance(inputs, bytes | Mapping) or not isinstance(inputs, Iterable):
            raise _neither(inputs)
        given: Any = inputs if isinstance(inputs, str) else list(inputs)
        one = isinstance(given, str) or (bool(given) and isinstance(given[0], Mapping))
        many: list[Any] = [given] if one else given
        for name, number in (("num_return_sequences", num_return_sequences), ("batch_size", batch_size)):
            if isinstance(number, bool) or not isinstance(number, Integral):
                raise UsageError(f"{name} is {number!r}, not a whole number", where="pipeline")
            if number < 1:
                raise UsageError(f"{name} is {number}, and must be 1 at least", where="pipeline")
        if num_return_sequences > 1 and not do_sample:
            what = "greedy decoding" if num_beams == 1 else "the search with beams"
            raise UsageError(
                f"{what} has one answer, not {num_return_sequences}", where="pipeline", do="set do_sample=True"
            )
        asked = [
            replace(
                request,
                max_new_tokens=max_new_tokens,
                seed=_seed(request, seed, number),
                meta={**(meta or {}), **request.meta},
            )
            for request in map(_request, many)
            for number in range(num_return_sequences)
        ]
        self.responses = generate(
            self.model, self.tokenizer, asked, rules=self.rules, temperature=temperature if do_sample else 0.0,
            top_p=top_p, seed=seed, batch_size=batch_size, num_beams=num_beams, stop_strings=stop_strings,
            title=None,
        )  # fmt: skip
        found = [
            [
                {"generated_text": _shown(each, answer.text, return_full_text)}
                for answer in self.responses[k * num_return_sequences : (k + 1) * num_return_sequences]
            ]
            for k, each in enumerate(many)
        ]
        return found[0] if one else found


def _unknown(name: str) -> UsageError:
    """The error for an argument that there is not, with what there is instead."""
    if name in SET_ONCE:
        do = f"set pipe.model.generation_config.{name}, which counts in all calls"
    else:
        do = INSTEAD.get(name, "leave it out, or call result.model.generate, which has no rules around requests")
    return UsageError(
        f"there is no argument {name!r}", where="pipeline",
        known="it takes max_new_tokens, do_sample, temperature, top_p, num_return_sequences, num_beams, stop_strings, "
        "return_full_text, batch_size, seed and meta",
        do=do,
    )  # fmt: skip


def _seed(request: Request, seed: int, number: int) -> int | None:
    """Of one of several samples: another one for each prompt, number and seed; the first is what `generate` gives."""
    from evenhand.generation import seed_of

    return None if number == 0 else seed_of(replace(request, prompt=f"{number}\n{request.prompt}"), seed)


def _request(given: Any) -> Request:
    if isinstance(given, str):
        return Request(prompt=given)
    if not isinstance(given, Sequence) or not all(isinstance(t, Mapping) for t in given):
        raise _neither(given)
    for number, turn in enumerate(given, start=1):
        if lacking := [key for key in ("role", "content") if key not in turn]:
            raise UsageError(
                f"turn {number} of the chat has no {lacking[0]!r}", where="pipeline",
                known=f"it has {', '.join(map(repr, turn)) or 'nothing'}",
                do='give each turn as {"role": ..., "content": ...}',
            )  # fmt: skip
    if not given or given[-1]["role"] != "user":
        raise UsageError("a chat must end with the user's turn", where="pipeline")
    turns = tuple((str(t["role"]), _words(t["content"])) for t in given[:-1])
    return Request(prompt=_words(given[-1]["content"]), turns=turns, meta={"chat": True})


def _neither(given: Any) -> UsageError:
    return UsageError(
        f"{type(given).__name__} is neither a text nor a chat", where="pipeline",
        do='give a text, or a list of {"role": ..., "content": ...}',
    )  # fmt: skip


def _words(content: Any) -> str:
    """The text of a turn: a string, or parts of type text, as chats with pictures have them."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else [content]
    if not all(isinstance(p, Mapping) and p.get("type") == "text" and isinstance(p.get("text"), str) for p in parts):
        raise UsageError(
            "a turn has content that is no text", where="pipeline",
            do='give a text, or parts {"type": "text", "text": ...}',
        )  # fmt: skip
    return "\n".join(p["text"] for p in parts)


def _shown(given: Any, answer: str, whole: bool) -> Any:
    if not whole:
        return answer
    if isinstance(given, str):
        return given + answer
    return [*map(dict, given), {"role": "assistant", "content": answer}]
