"""How a model with decoding rules is asked: for text, for answers with their record, and for a stream of pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import DecodingRule, Request

if TYPE_CHECKING:
    from evenhand.contributions import Response
    from evenhand.streaming import Stream


class Answering:
    """What is asked of a `model` with its `tokenizer` under `rules`, those around whole requests among them."""

    model: Any
    tokenizer: Any
    rules: Sequence[DecodingRule]

    def generate(
        self,
        prompts: str | Request | Sequence[str | Request],
        *,
        max_new_tokens: int = 40,
        temperature: float = 0.0,
        seed: int = 0,
        chat: bool = False,
        num_beams: int = 1,
        stop_strings: str | Sequence[str] = (),
    ) -> Any:
        """Continue a prompt, or each of several, with the decoding rules, also with those around whole requests; gives
        the new text only.

        `temperature` 0 is greedy; above, the same prompt and `seed` give the same text. `chat` puts the prompt into the
        tokenizer's chat template. `num_beams` search for the likeliest answer, without sampling. An answer ends before
        the first of `stop_strings`.

        A `Request` says its own `max_new_tokens` and, in its `meta`, whether it is one of a chat and what rules and
        steps shall do for it.
        """
        how: dict[str, Any] = {
            "max_new_tokens": max_new_tokens, "chat": chat, "num_beams": num_beams, "stop_strings": stop_strings,
        }  # fmt: skip
        texts = [r.text for r in self.answer(prompts, temperature=temperature, seed=seed, **how)]
        return texts[0] if isinstance(prompts, str | Request) else texts

    def answer(
        self, requests: str | Request | Sequence[str | Request], *, max_new_tokens: int = 40,
        temperature: float = 0.0, top_p: float = 1.0, seed: int = 0, chat: bool = False, num_beams: int = 1,
        stop_strings: str | Sequence[str] = (),
    ) -> list[Response]:  # fmt: skip
        """Answers, always a list, with the record of what the rules did to each; the arguments are those of `generate`.

        `max_new_tokens` and `chat` are of those that are texts.
        """
        from evenhand.generation import generate
        from evenhand.sound_requests import requests_of

        how: dict[str, Any] = {
            "temperature": temperature, "top_p": top_p, "seed": seed, "num_beams": num_beams,
            "stop_strings": stop_strings,
        }  # fmt: skip
        asked = requests_of(requests, max_new_tokens=max_new_tokens, chat=chat)
        return generate(self.model, self.tokenizer, asked, rules=self.rules, **how)

    def stream(
        self,
        prompt: str | Request,
        *,
        max_new_tokens: int = 40,
        temperature: float = 0.0,
        seed: int = 0,
        chat: bool = False,
        stop_strings: str | Sequence[str] = (),
    ) -> Stream:
        """What `generate` gives, in pieces, as it is written; at its end the stream's `response` is the whole answer
        with the record of what the rules did to it.

        It is written to its end whether or not it is read, until it is closed: by `stream.close()` in any thread, at
        the end of a `with`, or at that of a `for` over a stream that nothing else holds.
        A rule around whole requests may change all of an answer: with one there is one piece, when it is done.
        """
        from evenhand.streaming import streamed

        request = (
            prompt
            if isinstance(prompt, Request)
            else Request(prompt=prompt, max_new_tokens=max_new_tokens, meta={"chat": chat})
        )
        how: dict[str, Any] = {"temperature": temperature, "seed": seed, "stop_strings": stop_strings}
        return streamed(self.model, self.tokenizer, request, rules=self.rules, **how)
