"""An answer as it is written, piece by piece; closing the stream ends the writing, and its memory is free."""

from __future__ import annotations

import contextvars
import os.path
import queue
import re
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from evenhand.contributions import DecodingRule, Request, Response
from evenhand.request_settings import in_force, settable, wanted
from evenhand.sound_requests import demand_sampling
from evenhand.special_tokens import answer_ends
from evenhand.stop_strings import all_stops, first_stop, stop_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BROKEN = "\ufffd"
"""What a tokenizer shows for a token that ends within a character."""


LAST_WORDS = re.compile(r"\s*\S*\s*\S*\s*\Z")


class _Stopped(BaseException):
    """Raised where the model writes, when the stream was closed."""


class _End:
    """Put behind the last piece, with the error that ended the writing, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class _Pieces:
    """What transformers calls a streamer: gets tokens, gives text in whole characters."""

    def __init__(self, tokenizer: Any, ends: Sequence[int], stops: Sequence[str] = ()) -> None:
        self.tokenizer, self.ends, self.stops = tokenizer, set(ends), stops
        self.pieces: queue.Queue[str | _End] = queue.Queue()
        self.stopped = threading.Event()
        self._ids: list[int] = []
        self._given = ""
        self._prompt_seen = False
        self._whole = False
        """Whether a stop string has ended the answer."""

    def put(self, value: Any) -> None:
        """Tokens [1] or [1, T]; the first are those of the prompt."""
        if self.stopped.is_set():
            raise _Stopped
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        new = value.flatten().tolist()
        self._ids += [token for token in new if token not in self.ends]
        self._give(str(self.tokenizer.decode(self._ids, skip_special_tokens=True)), whole=False)

    def end(self) -> None:
        """All tokens are there."""
        self._give(str(self.tokenizer.decode(self._ids, skip_special_tokens=True)), whole=True)

    def _give(self, text: str, *, whole: bool) -> None:
        """What is new, up to a stop string, or to what may become one.

        A tokenizer that takes out spaces before a sign, "do n't" -> "don't", may still change its last two words, so
        these wait for what comes behind them.
        """
        if self._whole:
            return
        if (place := first_stop(text, self.stops)) is not None:
            text, whole, self._whole = text[:place], True, True
        if not whole:
            text = text.rstrip(BROKEN)
            text = text[: len(text) - _begun(text, self.stops)]
            if getattr(self.tokenizer, "clean_up_tokenization_spaces", False):
                text = LAST_WORDS.sub("", text)
        common = os.path.commonprefix([self._given, text])
        if len(text) > len(common) and (whole or common == self._given):
            self.pieces.put(text[len(common) :])
            self._given = text


def _begun(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of a stop string."""
    return max((n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)


class Stream(Iterator[str]):
    """The pieces of an answer, and when it has ended its record."""

    def __init__(self, pieces: Generator[str, None, Response]) -> None:
        self._pieces = pieces
        self.response: Response | None = None
        """The whole answer with what the rules changed in it; None until the stream has ended, and where it was closed
        before that, or ended in an error."""

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except StopIteration as end:
            if end.value is not None:
                self.response = end.value
            raise StopIteration from None

    def close(self) -> None:
        """End the writing before its next token; what it held is free. A stream that nothing holds closes itself."""
        self._pieces.close()


def streamed(
    model: PreTrainedModel,
    tokenizer: Any,
    request: Request,
    *,
    rules: Sequence[DecodingRule] = (),
    temperature: float = 0.0,
    seed: int = 0,
    stop_strings: str | Sequence[str] = (),
) -> Stream:
    """The answer to a request in pieces that make up what `generate` gives; at their end its record is `response`.

    A rule around requests may change the whole answer, so with one there is one piece, when it is done. Closing the
    iterator ends the generation before its next token; one that is only not read goes on. Errors, also WrongModelKind
    for models that cannot continue a text, are raised where the next piece was asked for.
    """
    return Stream(_written(model, tokenizer, request, rules, temperature, seed, stop_strings))


def _written(
    model: Any, tokenizer: Any, request: Request, rules: Sequence[DecodingRule], temperature: float, seed: int,
    stop_strings: str | Sequence[str],
) -> Generator[str, None, Response]:  # fmt: skip
    from evenhand.generation import demand_continuing, generate, write_batch

    demand_continuing(model)
    if any(rule.around is not None for rule in rules):
        how: dict[str, Any] = {"temperature": temperature, "seed": seed, "stop_strings": stop_strings}
        [answer] = generate(model, tokenizer, [request], rules=rules, title=None, **how)
        yield answer.text
        return answer
    demand_sampling(temperature, 1.0, seed)
    settable([request], rules, model)
    warmth = temperature if request.temperature is None else request.temperature
    stops = stop_texts(stop_strings)
    every = all_stops(model.generation_config, stops)
    pieces = _Pieces(tokenizer, answer_ends(tokenizer, model.generation_config), every)
    answers: list[Response] = []

    def work() -> None:
        try:
            with in_force(model, wanted(model, request)):
                answers[:] = write_batch(
                    model, tokenizer, [request], rules, warmth, 1.0, seed, streamer=pieces, stops=stops
                )
            pieces.pieces.put(_End())
        except _Stopped:
            pieces.pieces.put(_End())
        except BaseException as error:  # noqa: BLE001 - raised where the pieces are read
            pieces.pieces.put(_End(error))

    # What was switched for the reader, such as a strength, holds for the thread that writes, too.
    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        while not isinstance(piece := pieces.pieces.get(), _End):
            yield piece
        if piece.error is not None:
            raise piece.error
        return answers[0]
    finally:
        pieces.stopped.set()
        thread.join()
