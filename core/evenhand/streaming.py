"""An answer as it is written, piece by piece; closing the stream ends the writing, and its memory is free."""

from __future__ import annotations

import contextvars
import os.path
import queue
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from evenhand.around_requests import as_here
from evenhand.closing import Closed, until
from evenhand.contributions import DecodingRule, Request, Response
from evenhand.request_settings import in_force, settable, wanted
from evenhand.sound_requests import demand_sampling, sound
from evenhand.special_tokens import answer_ends
from evenhand.stop_strings import all_stops, first_stop, stop_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BROKEN = "\ufffd"
"""What a tokenizer shows for a token that ends within a character."""


LAST_WORDS = re.compile(r"\s*\S*\s*\S*\s*\Z")


class _End:
    """Put behind the last piece, with the answer that was written, or with the error that ended the writing."""

    def __init__(self, answer: Response | None = None, error: BaseException | None = None) -> None:
        self.answer, self.error = answer, error


Queue = queue.Queue[str | _End]


class _Pieces:
    """What transformers calls a streamer: gets tokens, gives text in whole characters."""

    def __init__(
        self, tokenizer: Any, ends: Sequence[int], stops: Sequence[str] = (), pieces: Queue | None = None
    ) -> None:
        self.tokenizer, self.ends, self.stops = tokenizer, set(ends), stops
        self.pieces: Queue = queue.Queue() if pieces is None else pieces
        self._ids: list[int] = []
        self._given = ""
        self._prompt_seen = False
        self._whole = False
        """Whether a stop string has ended the answer."""

    def put(self, value: Any) -> None:
        """Tokens [1] or [1, T]; the first are those of the prompt."""
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


class _Writing:
    """An answer that a thread of its own writes; the thread holds nothing of the stream that reads it."""

    def __init__(self, work: Callable[[Queue], Response]) -> None:
        self._work: Callable[[Queue], Response] | None = work
        self._pieces: Queue = queue.Queue()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._beginning = threading.RLock()

    def read(self) -> str | _End:
        """The next piece; at the end, and after it, the end. The first call begins the writing."""
        with self._beginning:
            if self._work is not None:
                # What was switched for the reader, such as a strength, holds for the thread that writes, too.
                context, alike = contextvars.copy_context(), as_here()
                self._thread = threading.Thread(
                    target=context.run, args=(_write, self._work, self._pieces, self._closed, alike), daemon=True
                )
                self._work = None
                self._thread.start()
        if self._closed.is_set():
            return _End()
        try:
            found = self._pieces.get()
        except BaseException:  # the wait was interrupted
            self.end()
            raise
        if isinstance(found, _End):
            self._pieces.put(_End())  # for whoever asks once more
        return _End() if self._closed.is_set() else found

    def end(self) -> None:
        """End the writing before its next token and wait until it has ended; one that has not begun never does."""
        self._closed.set()
        with self._beginning:
            self._work = None
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()


def _write(work: Callable[[Queue], Response], pieces: Queue, closed: threading.Event, alike: Any) -> None:
    try:
        with alike(), until(closed):
            answer = work(pieces)
        pieces.put(_End(answer))
    except Closed:
        pieces.put(_End())
    except BaseException as error:  # noqa: BLE001 - raised where the pieces are read
        pieces.put(_End(error=error))


class Stream(Iterator[str]):
    """The pieces of an answer, and when it has ended its record. In a `with` it is closed at the end of that."""

    def __init__(self, work: Callable[[Queue], Response]) -> None:
        self._writing = _Writing(work)
        weakref.finalize(self, self._writing.end)
        self.response: Response | None = None
        """The whole answer with what the rules changed in it; None until the stream has ended, and where it was closed
        before that, or ended in an error."""

    def __next__(self) -> str:
        found = self._writing.read()
        if not isinstance(found, _End):
            return found
        if found.error is not None:
            raise found.error
        if found.answer is not None:
            self.response = found.answer
        raise StopIteration

    def close(self) -> None:
        """End the writing before its next token, and wait until what it held is free; a second time does nothing.

        Any thread may do it, also while another one waits for the next piece: that one gets the end of the stream. A
        stream that nothing holds closes itself.
        """
        self._writing.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


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
    stream, in any thread, ends the generation before its next token; one that is only not read goes on. Errors, also
    WrongModelKind for models that cannot continue a text, are raised where the next piece was asked for.
    """

    def work(pieces: Queue) -> Response:
        return _written(model, tokenizer, request, rules, temperature, seed, stop_strings, pieces)

    return Stream(work)


def _written(
    model: Any, tokenizer: Any, request: Request, rules: Sequence[DecodingRule], temperature: float, seed: int,
    stop_strings: str | Sequence[str], pieces: Queue,
) -> Response:  # fmt: skip
    """The whole answer, of which the pieces were put on the queue one after the other."""
    from evenhand.generation import demand_continuing, generate, write_batch

    demand_continuing(model)
    if any(rule.around is not None for rule in rules):
        how: dict[str, Any] = {"temperature": temperature, "seed": seed, "stop_strings": stop_strings}
        [answer] = generate(model, tokenizer, [request], rules=rules, title=None, **how)
        pieces.put(answer.text)
        return answer
    demand_sampling(temperature, 1.0, seed)
    [request] = sound([request])
    settable([request], rules, model)
    warmth = temperature if request.temperature is None else request.temperature
    stops = stop_texts(stop_strings)
    every = all_stops(model.generation_config, stops)
    streamer = _Pieces(tokenizer, answer_ends(tokenizer, model.generation_config), every, pieces)
    with in_force(model, wanted(model, request)):
        [answer] = write_batch(model, tokenizer, [request], rules, warmth, 1.0, seed, streamer=streamer, stops=stops)
    return answer
