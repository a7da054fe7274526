"""The finished model of a run as its user has it: text, streams, a pipeline and filled masks, by its decoding rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evenhand.contributions import Request, Response
    from evenhand.replaced_generate import Again
    from evenhand.streaming import Stream
    from evenhand.text_pipeline import TextGeneration


def load_result(folder: Path | str, *, dtype: str = "auto", device: str = "cpu", verify: bool = True) -> Any:
    """Model and tokenizer of a finished run (or of its `model/` folder), live steps and decoding rules in place.

    Raises as `load_finished`.
    """
    from evenhand.restoring import load_finished

    finished = load_finished(folder, dtype=dtype, device=device, verify=verify)
    loaded = finished.loaded
    return Usable(loaded.model, loaded.tokenizer, finished.rules, loaded.info.kind, again=finished.again)


class Usable:
    """A finished model: `model` and `tokenizer` (it unpacks into both), `generate` for plain text, `fill` for masks."""

    def __init__(self, model: Any, tokenizer: Any, rules: list[Any], kind: str, again: Again | None = None) -> None:
        from evenhand import filling
        from evenhand.attached_rules import attach

        self.model, self.tokenizer, self.rules, self._again = model, tokenizer, rules, again
        if rules and kind == "masked":
            filling.attach(model, tokenizer, rules, again)
        else:
            attach(model, tokenizer, rules, again)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.rules and self._again is None:
            raise UsageError(
                f"{self!r} cannot be copied: its rules are of this model, on which live steps of the run stand",
                where="copy",
                do="load the run once more with evenhand.load",
            )
        return _copied, (self.model, self.tokenizer, self._again)

    def __iter__(self) -> Any:
        return iter((self.model, self.tokenizer))

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
        """Continue a prompt, or each of several, with the run's decoding rules; gives the new text only.

        `temperature` 0 is greedy; above, the same prompt and `seed` give the same text. `chat` puts the prompt into the
        tokenizer's chat template. `num_beams` search for the likeliest answer, without sampling. An answer ends before
        the first of `stop_strings`.

        A `Request` says its own `max_new_tokens` and, in its `meta`, whether it is one of a chat and what rules and
        steps shall do for it.
        """
        from evenhand.contributions import Request
        from evenhand.sound_requests import requests_of

        requests = requests_of(prompts, max_new_tokens=max_new_tokens, chat=chat)
        how: dict[str, Any] = {"num_beams": num_beams, "stop_strings": stop_strings}
        texts = [r.text for r in self.answer(requests, temperature=temperature, seed=seed, **how)]
        return texts[0] if isinstance(prompts, str | Request) else texts

    def answer(
        self, requests: Sequence[Request], *, temperature: float = 0.0, top_p: float = 1.0, seed: int = 0,
        num_beams: int = 1, stop_strings: str | Sequence[str] = (),
    ) -> list[Response]:  # fmt: skip
        """Answers with the record of what the rules did to each; the arguments are those of `generate`."""
        from evenhand.generation import generate

        how: dict[str, Any] = {
            "temperature": temperature, "top_p": top_p, "seed": seed, "num_beams": num_beams,
            "stop_strings": stop_strings,
        }  # fmt: skip
        return generate(self.model, self.tokenizer, requests, rules=self.rules, **how)

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
        from evenhand.contributions import Request
        from evenhand.streaming import streamed

        request = (
            prompt
            if isinstance(prompt, Request)
            else Request(prompt=prompt, max_new_tokens=max_new_tokens, meta={"chat": chat})
        )
        how: dict[str, Any] = {"temperature": temperature, "seed": seed, "stop_strings": stop_strings}
        return streamed(self.model, self.tokenizer, request, rules=self.rules, **how)

    def pipeline(self) -> TextGeneration:
        """An object with the interface of transformers' text-generation pipeline, with all decoding rules."""
        from evenhand.text_pipeline import TextGeneration

        return TextGeneration(self.model, self.tokenizer, self.rules)

    def fill(self, texts: str | list[str], *, k: int = 5) -> Any:
        """Masked models: the k likeliest words at the mask of a text, or of each of several, with the decoding rules.

        The mask is written as `tokenizer.mask_token`; each word has its `text`, `token` and `logp`. The model itself
        follows the rules, too: `transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)` gives the same.
        """
        from evenhand.filling import fill

        return fill(self.model, self.tokenizer, texts, rules=self.rules, k=k)

    def __repr__(self) -> str:
        names = ", ".join(r.name for r in self.rules) or "none"
        return f"<{type(self.model).__name__} with decoding rules: {names}>"


def _copied(model: Any, tokenizer: Any, again: Again | None) -> Usable:
    """A copy with rules that are its own; what its model has in the place of `generate` was copied with the model."""
    copy = Usable.__new__(Usable)
    copy.model, copy.tokenizer, copy._again = model, tokenizer, again
    copy.rules = [] if again is None else list(again(model, tokenizer))
    return copy
