"""One request to an OpenAI-compatible endpoint: what goes out, what comes back, and every way in which it can fail.

The key is read from an environment variable when a request is made, is sent to the one address that was named, follows
no redirection, and stands in no message. Only the standard library is used.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import Message
from typing import IO, Any, Final
from urllib.parse import urlsplit

from evenhand.errors import EndpointFault, UsageError

AGAIN: Final = frozenset({408, 409, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed a little later."""
LONGEST_PAUSE: Final = 60.0
SHOWN: Final = 200


class _Stay(urllib.request.HTTPRedirectHandler):
    """No redirection is followed: it would carry the key to somebody else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


@dataclass(frozen=True)
class Client:
    """An endpoint, such as http://localhost:8000/v1."""

    url: str
    key_variable: str | None = None
    """The environment variable that holds the key; None sends none."""
    timeout: float = 120.0
    retries: int = 5
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{self.url!r} is no address of an endpoint", where="model.endpoint", do="write http://HOST:PORT/v1"
            )
        if parts.username or parts.password or parts.query:
            raise UsageError(
                "the address has more than host and path, and recipes are published",
                where="model.endpoint",
                do="put a key into an environment variable, and its name into model.endpoint_key",
            )

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to `body`, as JSON; tries again, ever later, while the endpoint is busy. Raises EndpointFault."""
        for attempt in range(self.retries + 1):
            try:
                return self._once(path, body)
            except _Busy as busy:
                if attempt == self.retries:
                    raise EndpointFault(
                        f"it is still busy after {self.retries + 1} tries: {busy.said}",
                        where=self._where(path),
                        do="try again later, or ask for fewer answers at a time",
                    ) from None
                self.sleep(busy.after if busy.after is not None else _pause(attempt))
        raise AssertionError  # the loop returns or raises

    def _once(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        key = self._key()
        head = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/{path}", data=json.dumps(body).encode("utf-8"), headers=head, method="POST"
        )
        where = self._where(path)
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=self.timeout) as answer:
                raw = answer.read()
        except urllib.error.HTTPError as error:
            said = self._shown(error.read(), key)
            if error.code in AGAIN:
                raise _Busy(f"{error.code} {error.reason}", _seconds(error.headers.get("Retry-After"))) from None
            if error.code in (401, 403):
                raise EndpointFault(
                    f"the key is refused ({error.code})", where=where, known=self._about_key(key),
                    do="set the variable that model.endpoint_key names to a key that this endpoint knows",
                ) from None  # fmt: skip
            if 300 <= error.code < 400:
                raise EndpointFault(
                    f"it points elsewhere ({error.code}), which is not followed", where=where,
                    do="give the address that answers itself",
                ) from None  # fmt: skip
            raise EndpointFault(
                f"the request is refused ({error.code})", where=where, known=f"it says {said}"
            ) from None
        except TimeoutError:
            raise self._late(where) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, TimeoutError):
                raise self._late(where) from None
            raise EndpointFault(
                f"nobody answers: {reason}", where=where, do="start the server, or mend model.endpoint"
            ) from None
        try:
            found = json.loads(raw)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise EndpointFault("the answer is no JSON object", where=where, known=f"it says {self._shown(raw, key)}")
        return found

    def _late(self, where: str) -> EndpointFault:
        do = "ask for fewer tokens, or raise model.endpoint_timeout"
        return EndpointFault(f"no answer within {self.timeout:g} s", where=where, do=do)

    def _key(self) -> str:
        return os.environ.get(self.key_variable, "") if self.key_variable else ""

    def _about_key(self, key: str) -> str:
        if not self.key_variable:
            return "no key was sent: model.endpoint_key is not set"
        return f"the environment variable {self.key_variable} is {'set' if key else 'not set'}"

    def _where(self, path: str) -> str:
        return f"endpoint {self.url.rstrip('/')}/{path}"

    def _shown(self, raw: bytes, key: str) -> str:
        text = raw.decode("utf-8", "replace").strip()
        return repr((text.replace(key, "(the key)") if key else text)[:SHOWN]) if text else "nothing"


class _Busy(Exception):
    def __init__(self, said: str, after: float | None) -> None:
        self.said, self.after = said, after
        super().__init__(said)


def _seconds(value: str | None) -> float | None:
    """A `Retry-After` in seconds, held below a minute; None for none or a date."""
    try:
        return min(max(float(value), 0.0), LONGEST_PAUSE) if value is not None else None
    except ValueError:
        return None


def _pause(attempt: int) -> float:
    """1, 2, 4 ... seconds and a random part, so that several askers do not come back together."""
    return float(min(2**attempt, LONGEST_PAUSE) * (1 + 0.25 * random.random()))
