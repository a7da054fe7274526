"""A model behind an OpenAI-compatible endpoint (vLLM and others), for decoding rules that need no logits.

Rules around requests work as on a local model. A rule on the likeliest next words (`DecodingRule.next_words`) is
applied word by word, each with a request of its own, to texts that are continued; see `remote_words`. Nothing of a chat
template or a tokenizer is known here: the endpoint has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.around_requests import answered
from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import EndpointFault, EvenhandError, UsageError
from evenhand.failing_requests import Outcome, demand_answers, hopeless, outcomes
from evenhand.request_settings import settable
from evenhand.sound_requests import demand_sampling, demand_sound, requests_of, sound

if TYPE_CHECKING:
    from evenhand.recipe_model import Recipe
    from evenhand.remote_client import Client


def _refusal() -> UsageError:
    return UsageError(
        "this step works with weights, tokens or their probabilities, which an endpoint does not give",
        where="model.endpoint",
        do="take rules around requests (prompt-intervention, reranking, answer-rewriting, masked-rewriting, "
        "abstention), or probability-balancing for texts that go on",
    )


class NoTokenizer:
    """Stands where a local model has its tokenizer: chats have a template, everything else is unknown."""

    chat_template = "that of the endpoint"

    def apply_chat_template(self, turns: Sequence[Mapping[str, str]], **how: Any) -> str:
        """The words of all turns: whatever the endpoint's template is, it is given all of them."""
        return "\n".join(turn["content"] for turn in turns)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise _refusal()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _refusal()


@dataclass(frozen=True)
class RemoteModel:
    """What an endpoint calls `name`."""

    client: Client
    name: str
    top: int = 20
    """How many of the likeliest next words to ask for, where a rule maps them."""
    device: str = "endpoint"

    def __getattr__(self, name: str) -> Any:
        """What a model that is loaded here has, and this one has not."""
        if name.startswith("__"):
            raise AttributeError(name)
        raise _refusal()

    def attempts(
        self, requests: Sequence[Request], rules: Sequence[DecodingRule], temperature: float, top_p: float, seed: int
    ) -> list[Outcome]:
        """For each request its answer or what went wrong, all asked for at the same time; rules map next words."""
        from concurrent.futures import ThreadPoolExecutor

        from evenhand.generation import seed_of
        from evenhand.remote_words import written

        def one(request: Request) -> Outcome:
            warmth = temperature if request.temperature is None else request.temperature
            try:
                settable([request], rules)
                if rules:
                    return written(self, request, rules, warmth, top_p, seed_of(request, seed))
                return self.answer(request, warmth, top_p, seed_of(request, seed))
            except EvenhandError as error:
                return error

        with ThreadPoolExecutor(max_workers=max(1, len(requests))) as pool:
            return list(pool.map(one, requests))

    def answer(self, request: Request, temperature: float, top_p: float, seed: int) -> Response:
        """One answer in one request."""
        path = "chat/completions" if request.meta.get("chat") else "completions"
        found = self.client.post(path, {**self.body(request), **sampling(temperature, top_p, seed)})
        try:
            choice = found["choices"][0]
            text = choice["message"]["content"] if request.meta.get("chat") else choice["text"]
        except (KeyError, IndexError, TypeError):
            text = None
        if not isinstance(text, str):
            raise EndpointFault(
                "the answer has no text", where=f"endpoint {self.client.url}", known=f"its keys are {sorted(found)}"
            )
        return Response(request=request, text=text)

    def body(self, request: Request) -> dict[str, Any]:
        """What is asked, without how to sample."""
        from evenhand.prompt_texts import ROLES

        demand_sound(request)
        whole: dict[str, Any] = {"model": self.name, "max_tokens": int(request.max_new_tokens)}
        if not request.meta.get("chat"):
            if request.turns:
                what = 'the request has earlier turns, and is none of a chat: set `meta={"chat": True}`'
                raise UsageError(what, where="generate")
            if not request.prompt:
                raise UsageError("the prompt is empty", where="generate")
            return {**whole, "prompt": request.prompt}
        if unknown := [role for role, _ in request.turns if role not in ROLES]:
            raise UsageError(f"there is no role {unknown[0]!r}", where="generate", known=f"roles: {', '.join(ROLES)}")
        turns = [*request.turns, ("user", request.prompt)]
        return {**whole, "messages": [{"role": role, "content": text} for role, text in turns]}


def sampling(temperature: float, top_p: float, seed: int) -> dict[str, Any]:
    """The fields that say how to sample; greedy is temperature 0."""
    return {"temperature": temperature, **({"top_p": top_p, "seed": seed % 2**31} if temperature > 0 else {})}


def demand_remote(beams: int, stops: Sequence[str]) -> None:
    """Raises UsageError for what is asked of the way in which a model is decoded here, and not of an endpoint."""
    if beams > 1 or stops:
        raise UsageError(
            f"{'beams' if beams > 1 else 'stop strings'} are for models that are loaded here, and this is an endpoint",
            where="generate",
            do=f"leave out {'num_beams' if beams > 1 else 'stop_strings'}, or load the model here",
        )


def generate_remotely(
    model: RemoteModel,
    requests: Sequence[Request],
    rules: Sequence[DecodingRule],
    temperature: float,
    top_p: float,
    seed: int,
    batch_size: int,
) -> list[Response]:
    """As `generation.generate`, through an endpoint."""
    demand_sampling(temperature, top_p, seed)
    around = [r for r in rules if r.around is not None]
    inner = [r for r in rules if r.around is None]
    if useless := [r.name for r in inner if r.next_words is None]:
        raise UsageError(
            f"the decoding rule {useless[0]!r} maps logits, which an endpoint does not give",
            where="model.endpoint",
            do="take rules around requests, or a model that is loaded here",
        )

    def attempts(asked: Sequence[Request]) -> list[Outcome]:
        found: list[Outcome] = []
        for start in range(0, len(asked), batch_size):
            found += model.attempts(asked[start : start + batch_size], inner, temperature, top_p, seed)
        return found

    def plain(asked: Sequence[Request]) -> list[Response]:
        return demand_answers(dict(enumerate(attempts(asked))), len(asked))

    done: list[Outcome] = []
    for start in range(0, len(requests), batch_size):
        chunk = requests[start : start + batch_size]
        done += (
            outcomes(chunk, lambda asked: answered(settable(sound(asked), rules), around, plain))
            if around
            else attempts(chunk)
        )
        if hopeless(done):
            break
    return demand_answers(dict(enumerate(done)), len(requests))


class Connected:
    """An endpoint with the decoding rules of a recipe; made by `evenhand.connect`."""

    def __init__(self, model: RemoteModel, steps: Any, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.rules: list[DecodingRule] = [rule for _, rule in steps.contributions("decoding", model=model)]
        self._steps = steps
        self.served: list[Response] = []
        """What was answered so far, with what the rules did."""

    def answer(self, requests: Sequence[Request], *, temperature: float = 0.0, top_p: float = 1.0) -> list[Response]:
        """Answers with the record of what the rules did to each."""
        seed = self.recipe.run.seed
        try:
            found = generate_remotely(self.model, requests, self.rules, temperature, top_p, seed, 8)
        except EvenhandError as error:
            self.served += [answer for answer in error.answers if answer is not None]
            raise
        self.served += found
        return found

    def generate(
        self, prompts: str | Request | Sequence[str | Request], *, max_new_tokens: int = 40, temperature: float = 0.0,
        chat: bool = True,
    ) -> Any:  # fmt: skip
        """The answer to a prompt, or a list of those to several; `chat` asks in a chat, otherwise a text goes on.

        A `Request` has settings of its own, such as earlier turns, and none of these.
        """
        asked = requests_of(prompts, max_new_tokens=max_new_tokens, chat=chat)
        texts = [r.text for r in self.answer(asked, temperature=temperature)]
        return texts[0] if isinstance(prompts, str | Request) else texts

    def __repr__(self) -> str:
        names = ", ".join(rule.name for rule in self.rules) or "no rule"
        return f"<{self.model.name!r} at {self.model.client.url} answers with {names}>"

    def write(self, path: str | Path) -> None:
        """A record as JSON: the endpoint, the steps with their options, and each answer with what was done to it.

        Of the key it has the name of the environment variable.
        """
        import json

        from evenhand.cache import write_atomic
        from evenhand.manifest import plain

        steps = [{"id": s.id, "use": s.use, "options": s.options.model_dump(mode="json")} for s, _ in self._steps.steps]
        facts = {
            "endpoint": self.model.client.url, "model": self.model.name, "key_variable": self.model.client.key_variable,
            "seed": self.recipe.run.seed,
            "steps": steps,
            "answers": [asdict(response) for response in self.served],
        }  # fmt: skip
        write_atomic(Path(path), json.dumps(plain(facts), indent=1, ensure_ascii=False))


def connect(recipe: Recipe | str | Path | Mapping[str, Any], *, overrides: Sequence[str] = ()) -> Connected:
    """The endpoint of a recipe (`model.endpoint`) with the recipe's decoding steps in force.

    Raises UsageError for a recipe without an endpoint, or with a step that needs a model that is loaded here.
    """
    from evenhand.api import recipe_of
    from evenhand.discovery import BUILT_IN
    from evenhand.own_code import OwnSteps
    from evenhand.remote_client import Client

    if isinstance(recipe, str) and recipe.startswith(("http://", "https://")):
        raise UsageError(
            "an endpoint is given in a recipe, with the rules that its answers get",
            where="evenhand.connect",
            do='write the address into a recipe, [model] endpoint = "http://HOST:PORT/v1", and connect to that',
        )
    found = recipe_of(recipe, overrides)
    section = found.model
    if section.endpoint is None:
        raise UsageError(
            "the recipe names no endpoint",
            where="evenhand.connect",
            do='add endpoint = "http://HOST:PORT/v1" to [model]',
        )
    if any(step.use == BUILT_IN and step.active is not False for step in found.steps):
        raise UsageError(
            "nothing can be trained on an endpoint, which gives answers and keeps its model",
            where="model.endpoint",
            do=f'leave out the step with use = "{BUILT_IN}", or name a model that is loaded here',
        )
    client = Client(section.endpoint, section.endpoint_key, timeout=section.endpoint_timeout)
    model = RemoteModel(client, section.name, top=section.endpoint_top)
    given = [(step.use, dict(step.options)) for step in found.steps if step.active is not False]
    steps = OwnSteps(model, NoTokenizer(), given, kind="causal", seed=found.run.seed)
    return Connected(model, steps, found)
