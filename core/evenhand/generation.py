"""Answers to requests, with decoding rules in recipe order; the only way in which the toolkit generates text."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from evenhand.around_requests import answered
from evenhand.closing import closing
from evenhand.contributions import DecodingRule, Request, Response
from evenhand.errors import UsageError, WrongModelKind
from evenhand.evaluation_mode import evaluation_mode
from evenhand.failing_requests import Outcome, demand_answers, hopeless, outcomes
from evenhand.given_up import GivenUp
from evenhand.own_way import OWN_CACHE, own_way
from evenhand.processes import gathered, own_part
from evenhand.progress import progress
from evenhand.prompt_texts import prompt_text
from evenhand.remote import RemoteModel, demand_remote, generate_remotely
from evenhand.request_settings import in_force, settable, wanted
from evenhand.rule_application import Change, token_changes
from evenhand.scored_text import demand_embedded, token_ids
from evenhand.sound_requests import (
    demand_batches,
    demand_beams,
    demand_sampling,
    searchable,
    sound,
)
from evenhand.special_tokens import answer_ends, end_tokens, pad_token
from evenhand.stop_strings import all_stops, ended, stop_texts, stopping

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def generate(
    model: PreTrainedModel,
    tokenizer: Any,
    requests: Sequence[Request],
    *,
    rules: Sequence[DecodingRule] = (),
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch_size: int = 8,
    num_beams: int = 1,
    stop_strings: str | Sequence[str] = (),
    title: str | None = "Generating",
) -> list[Response]:
    """Answer each request; the same request and seed give the same answer whatever else is in the batch.

    `temperature` 0 is greedy, or with `num_beams` the likeliest answer that as many beams find; sampling keeps the
    likeliest tokens that make up `top_p` of the probability, and has no beams: what a rule around a request draws is
    drawn as without them. An answer ends before the first of `stop_strings`, and of those that the model has. `title`
    None shows no progress.

    Raises `WrongModelKind` for models that cannot continue a text. A request that cannot be answered does not keep the
    others from their answers: these are the `answers` of the error that is raised at the end.
    """
    demand_sampling(temperature, top_p, seed)
    demand_batches(batch_size)
    num_beams = demand_beams(num_beams, temperature)
    stops = stop_texts(stop_strings)
    if isinstance(model, RemoteModel):
        demand_remote(num_beams, stops)
        return generate_remotely(model, requests, rules, temperature, top_p, seed, batch_size)
    demand_continuing(model)
    around = [_as_asked(r, model) for r in rules if r.around is not None]
    inner = [r for r in rules if r.around is None]

    def plain(batch: Sequence[Request], given: Sequence[Request]) -> list[Response]:
        """Requests of one temperature and setting of the model are answered together, `batch_size` at a time.

        They are what the rules around requests have made of those that were given.
        """
        kinds = [(temperature if r.temperature is None else r.temperature, wanted(model, r)) for r in batch]
        found: dict[int, Response] = {}
        for warmth, settings in [kind for k, kind in enumerate(kinds) if kind not in kinds[:k]]:
            mine = [k for k, own in enumerate(kinds) if own == (warmth, settings)]
            for start in range(0, len(mine), batch_size):
                part = mine[start : start + batch_size]
                asked = [batch[k] for k in part]

                def write(asked: list[Request] = asked, warmth: float = warmth, set_to: Any = settings) -> Any:
                    with in_force(model, set_to):
                        beams = num_beams if warmth == 0 else 1
                        return _written(
                            model, tokenizer, asked, inner, warmth, top_p, seed, given, beams=beams, stops=stops
                        )

                # Not as a rule around has it that asks this: what is asked has settings of its own.
                found |= dict(zip(part, here.copy().run(write), strict=True))
        return [found[k] for k in range(len(batch))]

    done: dict[int, Outcome] = {}
    rank, count = own_part()
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(progress(title, total=len(requests), unit="texts")) if title else None
        here = contextvars.copy_context()
        for start in range(0, len(requests), batch_size):
            chunk = requests[start : start + batch_size]
            if start // batch_size % count == rank:
                found = outcomes(
                    chunk,
                    lambda asked: answered(
                        settable(searchable(sound(asked), num_beams), rules, model), around, partial(plain, given=asked)
                    ),
                )
                done |= {start + k: outcome for k, outcome in enumerate(found)}
                if hopeless(list(done.values())):
                    break
            if bar:
                bar.advance(len(chunk))
    return demand_answers(gathered(done), len(requests))


def _as_asked(rule: DecodingRule, model: PreTrainedModel) -> DecodingRule:
    """The rule around a request, which finds the model as the request wants it, whatever it reads from it."""
    around = rule.around
    assert around is not None

    def within(request: Request, ask: Any) -> Response:
        with in_force(model, wanted(model, request)):
            return around(request, ask)

    return replace(rule, around=within)


def demand_continuing(model: Any) -> None:
    """Raises WrongModelKind for models that cannot continue a text."""
    if not model.can_generate():
        raise WrongModelKind(
            "this model fills gaps, it does not continue text",
            where="generate",
            do="use a causal model, or leave out the steps that need generated text",
        )


def _written(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    rules: Sequence[DecodingRule],
    temperature: float,
    top_p: float,
    seed: int,
    given: Sequence[Request],
    *,
    beams: int,
    stops: Sequence[str],
) -> list[Response]:
    """As `write_batch`; requests of different lengths apart, where together the longest would not fit.

    A batch goes on until its longest answer is there, and a long prompt with a short answer has no room for that. The
    likeliest answer of some length, which beams search for, is not the beginning of the likeliest longer one.
    """
    write = partial(write_batch, given=given, beams=beams, stops=stops)
    sizes = sorted({r.max_new_tokens for r in requests})
    prompts = [len(token_ids(tokenizer, prompt_text(tokenizer, r))) for r in requests] if len(sizes) > 1 else []
    if not prompts or (beams == 1 and max(prompts) + sizes[-1] - 1 <= positions_of(model)):
        return write(model, tokenizer, requests, rules, temperature, top_p, seed)
    found: dict[int, Response] = {}
    for size in sizes:
        mine = [k for k, r in enumerate(requests) if r.max_new_tokens == size]
        part = [requests[k] for k in mine]
        made = write(model, tokenizer, part, rules, temperature, top_p, seed)
        found |= dict(zip(mine, made, strict=True))
    return [found[k] for k in range(len(requests))]


def write_batch(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    rules: Sequence[DecodingRule],
    temperature: float,
    top_p: float,
    seed: int,
    *,
    streamer: Any = None,
    given: Sequence[Request] | None = None,
    beams: int = 1,
    stops: Sequence[str] = (),
) -> list[Response]:
    """Answers of one batch, by rules that act while text is written; a `streamer` gets the tokens of a single one.

    `given` are the requests that rules around them have made these of. With `beams`, all are of one length.
    """
    import torch
    from transformers import StoppingCriteriaList

    from evenhand.attached_rules import by_beams
    from evenhand.decoding_loop import Decoder
    from evenhand.finite_logits import numbers_only

    inputs = _inputs(model, tokenizer, requests)
    longest = max(r.max_new_tokens for r in requests)
    generators = [torch.Generator().manual_seed(seed_of(r, seed)) for r in requests]
    # Who is answered in a batch that fails is answered again alone (`failing_requests`).
    given_up = GivenUp(at_once=True)
    changes: list[list[Change]] = []
    decoder = Decoder(rules, generators if temperature > 0 else None, streamer, changes, given_up)
    options: dict[str, Any] = {"max_new_tokens": longest, "do_sample": temperature > 0, "num_beams": beams}
    if temperature > 0:
        options |= {"temperature": temperature, "top_k": 0, "top_p": top_p}
    else:
        options |= {"temperature": None, "top_k": None, "top_p": None}
    options |= own_way(model.generation_config)
    start = inputs["input_ids"].shape[1]
    stops = all_stops(model.generation_config, stops)
    if criteria := [*stopping(tokenizer, stops, start), *closing()]:
        options["stopping_criteria"] = StoppingCriteriaList(criteria)
    searched = beams > 1 and bool(rules)
    if (rules or temperature > 0) and not searched:
        options |= {"custom_generate": decoder, **OWN_CACHE}
    elif not searched:
        options["logits_processor"] = numbers_only()
        if streamer is not None:
            options["streamer"] = streamer
    ends = answer_ends(tokenizer, model.generation_config)
    if ends != end_tokens(model.generation_config):
        options["eos_token_id"] = ends
    demand_embedded(model, inputs["input_ids"].flatten().tolist())
    _demand_room(model, tokenizer, requests, given, inputs["attention_mask"].sum(-1).tolist(), longest)
    options |= inputs | {"pad_token_id": pad_token(tokenizer)}
    with evaluation_mode(model), torch.no_grad():
        if searched:
            out = by_beams(model.generate, model, tokenizer, rules, options, changes, given_up)
        else:
            out = model.generate(**options)
    changes = changes or [[] for _ in requests]
    return [
        _response(tokenizer, request, row[start : start + request.max_new_tokens].tolist(), ends, stops, changed)
        for request, row, changed in zip(requests, out, changes, strict=True)
    ]


def _inputs(model: Any, tokenizer: Any, requests: Sequence[Request]) -> Any:
    """The prompts of a batch as token ids [B, T], padded on the left, also by a tokenizer without a padding token."""
    import torch

    texts = [prompt_text(tokenizer, r) for r in requests]
    rows = tokenizer(texts, verbose=False)["input_ids"]
    width, pad = max(map(len, rows)), pad_token(tokenizer)
    ids = torch.tensor([[pad] * (width - len(row)) + row for row in rows], dtype=torch.long, device=model.device)
    seen = torch.tensor(
        [[0] * (width - len(row)) + [1] * len(row) for row in rows], dtype=torch.long, device=model.device
    )
    return {"input_ids": ids, "attention_mask": seen}


def _response(
    tokenizer: Any, request: Request, ids: list[int], last: Collection[int], stops: Sequence[str],
    changed: Sequence[Change],
) -> Response:  # fmt: skip
    """An answer up to the first token or text that ends one, with what the rules moved in it."""
    end = next((k for k, token in enumerate(ids) if token in last), None)
    found = ended(tokenizer, ids[:end], stops)
    changes = token_changes(changed, tokenizer)
    counted = found.written + (end is not None and not found.stopped)  # ending is a choice, too
    return Response(
        request=request,
        text=found.text,
        token_ids=tuple(found.ids),
        changes=tuple(c for c in changes if c.position < counted),
    )


def positions_of(model: Any) -> int:
    """How many tokens a text of the model may have; a very great number where it does not say."""
    return int(getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2**31)


def _demand_room(
    model: Any, tokenizer: Any, requests: Sequence[Request], given: Sequence[Request] | None,
    lengths: Sequence[int], new: int,
) -> None:  # fmt: skip
    """Before anything is written, a prompt without room for its answer is refused; the last token is not read."""
    most, length = positions_of(model), max(lengths)
    if length + new - 1 <= most:
        return
    longest = requests[lengths.index(length)]
    if given is None or (longest.prompt, longest.turns) in [(each.prompt, each.turns) for each in given]:
        raise UsageError(
            f"a prompt has {length:,} tokens and up to {new:,} more are to be written, but the model takes at "
            f"most {most:,}",
            where="generate",
            do="give a shorter prompt, or ask for fewer new tokens",
        )
    before = len(token_ids(tokenizer, prompt_text(tokenizer, given[0]))) if len(given) == 1 else None
    raise UsageError(
        f"rules around requests have made the prompt one of {length:,} tokens, and up to {new:,} more are to be "
        f"written, but the model takes at most {most:,}",
        where="generate",
        known="" if before is None else f"as it was given it has {before:,}",
        do="give a shorter prompt, ask for fewer new tokens, or leave out the rule",
    )


def seed_of(request: Request, seed: int) -> int:
    """The seed of a request: its own one, or one that its prompt and the seed of the whole call decide."""
    if request.seed is not None:
        return request.seed
    digest = hashlib.sha256(f"{seed}\n{request.prompt}".encode()).digest()
    return int.from_bytes(digest[:6], "big")
