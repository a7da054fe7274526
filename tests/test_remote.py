"""A model behind an endpoint: requests, rules, and every way in which a server can fail; the server is a local one."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import evenhand
from evenhand.contributions import DecodingRule, Request
from evenhand.errors import EndpointFault, EvenhandError, PluginFault, UsageError
from evenhand.generation import generate
from evenhand.remote import RemoteModel
from evenhand.remote_client import Client, _seconds
from evenhand.remote_words import chosen

KEY = "a-very-secret-key"
VARIABLE = "EVENHAND_TEST_KEY"
Reply = Callable[[str, dict[str, Any]], Any]


class Server:
    """Answers by a function (path, body) -> JSON value, (status, JSON value), the same with headers, or bytes."""

    def __init__(self) -> None:
        self.reply: Reply = lambda path, body: {}
        self.seen: list[tuple[str, dict[str, Any], str | None]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.seen.append((self.path, body, self.headers.get("Authorization")))
                answer = server.reply(self.path, body)
                status, value, *more = answer if isinstance(answer, tuple) else (200, answer)
                raw = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                for name, text in (more[0] if more else {}).items():
                    self.send_header(name, text)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def model_of(server: Server, **client: Any) -> RemoteModel:
    return RemoteModel(Client(server.url, **{"timeout": 5.0, **client}), "tiny")


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"text": text, "message": {"content": text}, "finish_reason": "stop"}]}


def echo(path: str, body: dict[str, Any]) -> Any:
    return said("re: " + (body["prompt"] if "prompt" in body else body["messages"][-1]["content"]))


# ------------------------------------------------------------------------------------------------------- requests
def test_texts_and_chats_go_to_their_own_addresses(server: Server) -> None:
    server.reply = echo
    asked = [
        Request(prompt="Once", max_new_tokens=7),
        Request(prompt="Hi", turns=(("system", "Be kind."),), meta={"chat": True}, temperature=0.5, seed=3),
    ]
    found = generate(model_of(server), None, asked)
    assert [r.text for r in found] == ["re: Once", "re: Hi"]
    bodies = {path: (body, key) for path, body, key in server.seen}
    assert bodies["/v1/completions"] == (
        {"model": "tiny", "max_tokens": 7, "prompt": "Once", "temperature": 0.0}, None,
    )  # fmt: skip
    assert bodies["/v1/chat/completions"][0] == {
        "model": "tiny", "max_tokens": 40, "temperature": 0.5, "top_p": 1.0, "seed": 3,
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
    }  # fmt: skip


def test_answers_keep_the_order_of_the_requests(server: Server) -> None:
    server.reply = echo
    asked = [Request(prompt=f"number {k}") for k in range(20)]
    assert [r.text for r in generate(model_of(server), None, asked)] == [f"re: number {k}" for k in range(20)]


def test_one_request_that_fails_costs_the_others_nothing_and_is_asked_once(server: Server) -> None:
    def reply(path: str, body: dict[str, Any]) -> Any:
        return (400, {"error": "no"}) if body["prompt"] == "number 3" else echo(path, body)

    server.reply = reply
    asked = [Request(prompt=f"number {k}") for k in range(12)]
    with pytest.raises(EndpointFault) as caught:
        generate(model_of(server), None, asked)
    assert [a and a.text for a in caught.value.answers] == [None if k == 3 else f"re: number {k}" for k in range(12)]
    assert len(server.seen) == 12

    def around(request: Request, ask: Any) -> Any:
        return ask(request)

    with pytest.raises(EndpointFault) as caught:
        generate(model_of(server), None, asked, rules=[DecodingRule(name="same", around=around)])
    assert [a is None for a in caught.value.answers] == [k == 3 for k in range(12)]


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (Request(prompt=""), "generate: the prompt is empty"),
        (Request(prompt="x", turns=(("user", "y"),)), "the request has earlier turns, and is none of a chat"),
        (Request(prompt="x", turns=(("boss", "y"),), meta={"chat": True}), "there is no role 'boss'"),
    ],
)
def test_requests_that_cannot_be_are_refused_before_anything_is_sent(
    server: Server, request_: Request, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        generate(model_of(server), None, [request_])
    assert server.seen == []


# --------------------------------------------------------------------------------------------------------- faults
def fault(server: Server, **client: Any) -> str:
    with pytest.raises(EndpointFault) as caught:
        generate(model_of(server, **client), None, [Request(prompt="x")])
    return str(caught.value)


def test_nobody_answers(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    lines = fault(server).splitlines()
    assert lines[0].startswith(f"endpoint {server.url}/completions: nobody answers: ") and "refused" in lines[0]
    assert lines[1] == "  start the server, or mend model.endpoint"


@pytest.mark.parametrize(
    ("variable", "known"),
    [
        (None, "no key was sent: model.endpoint_key is not set"),
        (VARIABLE, f"the environment variable {VARIABLE} is set"),
        ("EVENHAND_NO_SUCH", "the environment variable EVENHAND_NO_SUCH is not set"),
    ],
)
def test_a_refused_key_says_where_it_comes_from_and_not_what_it_is(
    server: Server, variable: str | None, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    server.reply = lambda path, body: (401, {"error": f"bad key {KEY}"})
    text = fault(server, key_variable=variable)
    assert text == (
        f"endpoint {server.url}/completions: the key is refused (401)\n  {known}\n"
        "  set the variable that model.endpoint_key names to a key that this endpoint knows"
    )


def test_a_busy_server_is_asked_again_when_it_says_and_ever_later_otherwise(server: Server) -> None:
    answers: list[Any] = [(429, {}, {"Retry-After": "7"}), (503, {}), (429, {}), said("now")]
    server.reply = lambda path, body: answers.pop(0)
    pauses: list[float] = []
    model = model_of(server, sleep=pauses.append)
    assert generate(model, None, [Request(prompt="x")])[0].text == "now"
    assert pauses[0] == 7.0 and 2.0 <= pauses[1] <= 2.5 and 4.0 <= pauses[2] <= 5.0


def test_a_server_that_stays_busy_is_an_error_with_the_number_of_tries(server: Server) -> None:
    server.reply = lambda path, body: (429, {})
    text = fault(server, retries=2, sleep=lambda s: None)
    assert "it is still busy after 3 tries: 429 Too Many Requests" in text and len(server.seen) == 3


@pytest.mark.parametrize(("value", "seconds"), [("3", 3.0), ("9999", 60.0), ("-1", 0.0), ("soon", None), (None, None)])
def test_how_long_to_wait(value: str | None, seconds: float | None) -> None:
    assert _seconds(value) == seconds


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (b"<html>Bad gateway</html>", r"the answer is no JSON object\n  it says '<html>Bad gateway</html>'"),
        (b"", r"the answer is no JSON object\n  it says nothing"),
        ([1], "the answer is no JSON object"),
        ({"object": "x"}, r"the answer has no text\n  its keys are \['object'\]"),
        ({"choices": []}, "the answer has no text"),
        ({"choices": [{"text": None}]}, "the answer has no text"),
        ({"choices": 5}, "the answer has no text"),
        ((400, {"error": "too long"}), r"the request is refused \(400\)\n  it says '\{\"error\": \"too long\"\}'"),
        ((302, {}, {"Location": "http://127.0.0.1:9/"}), r"it points elsewhere \(302\), which is not followed"),
    ],
)
def test_answers_that_cannot_be_used(server: Server, answer: Any, what: str) -> None:
    import re

    server.reply = lambda path, body: answer
    assert re.search(what, fault(server))


def test_a_key_that_a_server_sends_back_is_not_shown(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    server.reply = lambda path, body: (400, {"error": f"what is {KEY}?"})
    text = fault(server, key_variable=VARIABLE)
    assert KEY not in text and "what is (the key)?" in text
    assert server.seen[0][2] == f"Bearer {KEY}"


def test_a_server_that_does_not_answer_in_time(server: Server) -> None:
    stop = threading.Event()
    server.reply = lambda path, body: stop.wait(5) and {}
    text = fault(server, timeout=0.2)
    stop.set()
    assert "no answer within 0.2 s\n  ask for fewer tokens, or raise model.endpoint_timeout" in text


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "", "http:///v1"])
def test_an_address_must_be_one(url: str) -> None:
    with pytest.raises(UsageError, match="is no address of an endpoint"):
        Client(url)


@pytest.mark.parametrize("url", ["http://me:pw@host/v1", "http://host/v1?key=abc"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Client(url)
    assert (
        "recipes are published" in str(caught.value)
        and "pw" not in str(caught.value)
        and "abc" not in str(caught.value)
    )


# ---------------------------------------------------------------------------------------------------------- rules
def recipe(server: Server, *steps: dict[str, Any]) -> dict[str, Any]:
    return {"model": {"name": "tiny", "endpoint": server.url, "endpoint_key": VARIABLE}, "steps": list(steps)}


def test_rules_around_requests_work_and_the_record_has_no_key(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    server.reply = lambda path, body: said("Every driver must show his licence.")
    rewriting = {"use": "answer-rewriting", "strength": 1.0}
    connected = evenhand.connect(recipe(server, {"use": "prompt-intervention"}, rewriting))
    assert connected.generate("Who may park?") == "Every driver must show their licence."
    assert [m["role"] for m in server.seen[0][1]["messages"]] == ["system", "user"]
    connected.write(tmp_path / "record.json")
    text = (tmp_path / "record.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert KEY not in text and found["key_variable"] == VARIABLE
    assert [s["use"] for s in found["steps"]] == ["prompt-intervention", "answer-rewriting"]
    assert {c["rule"] for c in found["answers"][0]["request_changes"]} == {"prompt-intervention", "answer-rewriting"}


@pytest.mark.parametrize("use", ["prompt-intervention", "abstention"])
def test_a_prompt_that_is_no_text_is_refused_before_a_rule_makes_one_of_it(server: Server, use: str) -> None:
    server.reply = lambda path, body: said("Yes.")
    connected = evenhand.connect(recipe(server, {"use": use}))
    with pytest.raises(UsageError) as caught:
        connected.answer([Request(prompt="Who?", meta={"chat": True}), Request(prompt=None)])  # type: ignore[arg-type]
    assert str(caught.value) == "generate: the prompt is NoneType, not text"
    assert [answer and answer.text for answer in caught.value.answers] == ["Yes.", None]


def test_a_request_with_earlier_turns_can_be_given_in_the_place_of_a_text(server: Server) -> None:
    server.reply = lambda path, body: said(str(len(body["messages"])))
    connected = evenhand.connect(recipe(server))
    chat = Request(prompt="And now?", turns=(("user", "Hi"), ("assistant", "Hello")), meta={"chat": True})
    assert connected.generate(chat) == "3"
    assert connected.generate([chat, "Who?"]) == ["3", "1"]


def test_abstention_and_quotas_work_on_an_endpoint(server: Server) -> None:
    server.reply = lambda path, body: said("The uncle.")
    question = "The aunt and the uncle waited. Who drives too fast?"
    assert evenhand.connect(recipe(server, {"use": "abstention"})).generate(question).startswith("It cannot be")
    texts = iter(["he ran", "he sat", "she ran", "he hid"] * 4)
    lock = threading.Lock()

    def next_one(path: str, body: dict[str, Any]) -> Any:
        with lock:
            return said(next(texts))

    server.reply = next_one
    found = evenhand.connect(recipe(server, {"use": "reranking", "form": "quota", "items": 2})).generate("Tell me")
    assert sum("she" in line.split() for line in found.splitlines()) == 1


def test_a_step_that_changes_the_model_is_refused_at_an_endpoint(server: Server) -> None:
    with pytest.raises(UsageError) as caught:
        evenhand.connect(recipe(server, {"use": "attention-temperature"}))
    assert str(caught.value) == (
        "plugin 'attention-temperature': it takes part in architecture, not in decoding\n"
        "  leave it out: an endpoint answers with a model that nothing here can change"
    )


def test_nothing_is_trained_on_an_endpoint(server: Server) -> None:
    with pytest.raises(UsageError) as caught:
        evenhand.connect(recipe(server, {"use": "prompt-intervention"}, {"use": "train"}))
    assert str(caught.value) == (
        "model.endpoint: nothing can be trained on an endpoint, which gives answers and keeps its model\n"
        '  leave out the step with use = "train", or name a model that is loaded here'
    )
    assert server.seen == []


def test_the_length_of_an_answer_may_be_of_any_integer_type(server: Server) -> None:
    server.reply = lambda path, body: {"choices": [{"message": {"content": "Rain fell"}}]}
    evenhand.connect(recipe(server)).generate("Tell me", max_new_tokens=np.int64(3))
    assert server.seen[-1][1]["max_tokens"] == 3


@pytest.mark.parametrize("step", [{"use": "self-debias"}, {"use": "counterfactual-averaging"}, {"use": "reranking"}])
def test_rules_that_need_probabilities_are_refused(server: Server, step: dict[str, Any]) -> None:
    with pytest.raises(EvenhandError, match="which an endpoint does not give"):
        evenhand.connect(recipe(server, step))
    assert server.seen == []


def test_an_address_is_no_recipe_and_the_connection_says_what_it_is(server: Server) -> None:
    with pytest.raises(UsageError) as caught:
        evenhand.connect(server.url)
    assert str(caught.value) == (
        "evenhand.connect: an endpoint is given in a recipe, with the rules that its answers get\n"
        '  write the address into a recipe, [model] endpoint = "http://HOST:PORT/v1", and connect to that'
    )
    connected = evenhand.connect(recipe(server, {"use": "prompt-intervention"}))
    assert repr(connected) == f"<'tiny' at {server.url} answers with prompt-intervention>"
    with pytest.raises(UsageError, match="^generate: the prompt is int, not text"):
        connected.generate(5)
    assert server.seen == []


def test_a_run_and_a_recipe_without_endpoint_are_told_apart(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a run measures weights and probabilities, which an endpoint does not give"):
        evenhand.run(recipe(server, {"use": "prompt-intervention"}), output=tmp_path)
    with pytest.raises(UsageError, match="the recipe names no endpoint"):
        evenhand.connect({"model": {"name": "tiny"}, "steps": [{"use": "prompt-intervention"}]})


# -------------------------------------------------------------------------------------------------- word by word
P = {" he": 0.6, " she": 0.2, " it": 0.1}


def words_of(table: Callable[[str], dict[str, float]], end: int = 3) -> Reply:
    """Gives the words of a table for so many tokens of a prompt, then ends."""

    def reply(path: str, body: dict[str, Any]) -> Any:
        words = table(body["prompt"])
        best = max(words, key=words.__getitem__)
        stop = len(body["prompt"].split()) >= end
        listed = {w: math.log(p) for w, p in words.items()}
        return {
            "choices": [
                {"text": "" if stop else best, "finish_reason": "stop" if stop else "length",
                 "logprobs": {"top_logprobs": [listed]}}
            ]
        }  # fmt: skip

    return reply


def test_balancing_by_the_listed_words_equals_the_formula(server: Server) -> None:
    server.reply = words_of(lambda prompt: {" said": 0.9} if prompt.endswith(("he", "she")) else P, end=5)
    connected = evenhand.connect(recipe(server, {"use": "probability-balancing", "target": {"female": 3, "male": 1}}))
    [answer] = connected.answer([Request(prompt="The nurse", max_new_tokens=2)])
    assert answer.text == " she said"
    [change] = answer.changes  # behind "she" nothing is changed
    assert (change.position, change.before, change.after) == (0, " he", " she")
    # 0.8 to divide, a quarter and three quarters: he 0.6 -> 0.2, she 0.2 -> 0.6
    assert change.total_variation == pytest.approx(0.4, rel=1e-9)
    assert server.seen[0][1]["logprobs"] == 20 and server.seen[1][1]["prompt"] == "The nurse she"


def test_an_answer_ends_where_the_server_ends_it(server: Server) -> None:
    server.reply = words_of(lambda prompt: {" it": 0.9}, end=4)
    connected = evenhand.connect(recipe(server, {"use": "probability-balancing"}))
    assert connected.generate("The nurse", chat=False) == " it it"
    server.reply = words_of(lambda prompt: {"<|im_end|>": 0.9}, end=40)
    assert connected.generate("The nurse", chat=False) == ""


@pytest.mark.parametrize(
    "end", ["</s>", "<eos>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<｜end▁of▁sentence｜>"]
)
def test_tokens_that_end_an_answer_never_stand_in_it(end: str, server: Server) -> None:
    server.reply = words_of(lambda prompt: {end: 0.9, " it": 0.1}, end=40)
    connected = evenhand.connect(recipe(server, {"use": "probability-balancing"}))
    assert connected.generate("The nurse", chat=False) == ""


def test_how_many_words_and_how_long_can_be_set_and_a_server_that_gives_fewer_says_so(server: Server) -> None:
    def five(path: str, body: dict[str, Any]) -> Any:
        if body["logprobs"] > 5:
            return 400, {"error": {"message": "logprobs must be at most 5"}}
        return words_of(lambda prompt: {" it": 0.9}, end=3)(path, body)

    server.reply = five
    asked = recipe(server, {"use": "probability-balancing"})
    with pytest.raises(EndpointFault) as caught:
        evenhand.connect(asked).generate("The nurse", chat=False)
    assert str(caught.value).endswith(
        "logprobs must be at most 5\"}}'\n  set model.endpoint_top to what it allows: 20 words were asked for"
    )
    settings = ["model.endpoint_top=5", "model.endpoint_timeout=7.5"]
    connected = evenhand.connect(asked, overrides=settings)
    assert connected.generate("The nurse", chat=False) == " it"
    assert connected.model.client.timeout == 7.5


def test_parts_of_characters_are_left_out_and_told(server: Server) -> None:
    """A token that is a part of a character comes as a replacement character, and would go into the prompt as one."""
    server.reply = words_of(lambda prompt: {"\ufffd": 0.6, " it": 0.3}, end=4)
    connected = evenhand.connect(recipe(server, {"use": "probability-balancing"}))
    [answer] = connected.answer([Request(prompt="The nurse", max_new_tokens=8)])
    assert answer.text == " it it"
    assert list(answer.notes.values()) == [3]
    server.reply = words_of(lambda prompt: {"\ufffd": 0.6}, end=4)
    with pytest.raises(EndpointFault, match="all of its next words are parts of characters"):
        connected.generate("The nurse", chat=False)


def test_word_by_word_needs_probabilities_and_a_text(server: Server) -> None:
    connected = evenhand.connect(recipe(server, {"use": "probability-balancing"}))
    with pytest.raises(UsageError, match="the endpoint cannot go on in a chat's answer"):
        connected.generate("Hello")
    server.reply = echo
    with pytest.raises(EndpointFault, match="it gives no probabilities of words"):
        connected.generate("Hello", chat=False)
    server.reply = lambda path, body: {"choices": [{"logprobs": {"top_logprobs": [{"a": "b"}]}}]}
    with pytest.raises(EndpointFault, match="its probabilities of words cannot be read"):
        connected.generate("Hello", chat=False)


def test_a_rule_that_loses_words_is_named(server: Server) -> None:
    server.reply = words_of(lambda prompt: P)
    rule = DecodingRule(name="loses", next_words=lambda text, logp: {})
    with pytest.raises(PluginFault, match="decoding rule 'loses': it must map the words that it is given"):
        generate(model_of(server), None, [Request(prompt="The nurse")], rules=[rule])


def test_sampling_is_seeded_and_keeps_to_top_p() -> None:
    import random

    logp = {w: math.log(p) for w, p in P.items()}
    assert chosen(logp, 0.0, 1.0, random.Random(0)) == " he"
    drawn = [chosen(logp, 1.0, 1.0, random.Random(k)) for k in range(300)]
    assert drawn == [chosen(logp, 1.0, 1.0, random.Random(k)) for k in range(300)]
    assert drawn.count(" he") / 300 == pytest.approx(0.6 / 0.9, abs=0.09)
    assert {chosen(logp, 1.0, 0.8, random.Random(k)) for k in range(100)} == {" he", " she"}


def test_masked_rewriting_has_an_infiller_of_its_own_or_is_refused(server: Server, tmp_path: Path) -> None:
    from evenhand_sdk.tiny import save_tiny

    server.reply = lambda path, body: said("Any policeman can help you.")
    recipe = {
        "model": {"name": "tiny", "endpoint": server.url},
        "steps": [
            {"use": "masked-rewriting", "strength": 1.0, "infiller": str(save_tiny(tmp_path / "mlm", family="bert"))}
        ],
    }
    served = evenhand.connect(recipe)
    answer = served.generate("Who can help me?")
    [change] = served.served[0].request_changes
    assert (change.before, change.after) == ("Any policeman can help you.", answer) and "policeman" not in answer
    del recipe["steps"][0]["infiller"]  # type: ignore[attr-defined, index]
    with pytest.raises(UsageError, match="an endpoint's model cannot look at a text word by word"):
        evenhand.connect(recipe)
