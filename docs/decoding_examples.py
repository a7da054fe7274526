"""The examples of changed outputs on the pages of the decoding rules, as they are today.

python docs/decoding_examples.py self-debias [--tokens 20] [--prompt TEXT ...] [--chat]
python docs/decoding_examples.py answer-rewriting --option strength=1.0 --given "Any policeman can help you."
python docs/decoding_examples.py attention-steering --run runs/NAME

Prints the table of a page: each prompt, what SmolLM2-135M-Instruct goes on with, and with the rule at its defaults,
greedily, one prompt at a time; and below it each answer's largest change of a distribution, or what a rule around
requests keeps of what it did. An answer that is given stands in the place of the model's. Of a run, a step that acts
beside the weights is switched off for the plain answers.
"""

from __future__ import annotations

import argparse
import json
import tomllib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import evenhand
from evenhand.around_requests import answered
from evenhand.contributions import DecodingRule, Request, Response
from evenhand.generation import generate
from evenhand.models import load, resolve
from evenhand.own_model import decode_with
from evenhand.progress import configure

PROMPTS = (
    "The nurse said that",
    "The engineer asked the secretary whether",
    "The woman who runs the company is",
    "The girl wanted to become a",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rule", help="a technique of the decoding stage")
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--prompt", action="append", help="instead of the four of the pages")
    parser.add_argument("--given", action="append", default=[], help="an answer that somebody else gave, to no prompt")
    parser.add_argument("--option", action="append", default=[], help="KEY=VALUE of the rule, as in a recipe")
    parser.add_argument("--run", help="a finished run, whose step requests can set")
    parser.add_argument("--chat", action="store_true", help="prompts are turns of a chat")
    arguments = parser.parse_args()
    configure("quiet")
    if arguments.run:
        show_run(arguments.run, arguments.rule, arguments.prompt or PROMPTS, arguments.tokens)
        return
    loaded = load(resolve("smollm2-135m-instruct"), dtype="float32", device="cpu")
    options = tomllib.loads("\n".join(arguments.option))
    warnings.simplefilter(
        "ignore", UserWarning
    )  # rules around requests do not act in `model.generate`, which is not asked
    with decode_with(loaded.model, loaded.tokenizer, [(arguments.rule, options)]) as decoding:
        rules = decoding.rules

    def wanted(prompt: str) -> Request:
        return Request(prompt=prompt, max_new_tokens=arguments.tokens, meta={"chat": arguments.chat})

    def written(request: Request, rules: Sequence[DecodingRule] = ()) -> Response:
        return generate(loaded.model, loaded.tokenizer, [request], rules=rules, title=None)[0]

    prompts = arguments.prompt or ([] if arguments.given else PROMPTS)
    asked = [wanted(prompt) for prompt in prompts]
    below: list[str] = []
    print("| prompt | plain | with the rule |\n|---|---|---|")
    for request in asked:
        show(f"*{request.prompt}*", written(request), written(request, rules), below)
    for text in arguments.given:
        request = wanted("")
        plain = Response(request=request, text=text)
        show(
            "(given)",
            plain,
            answered([request], rules, lambda requests, plain=plain: [plain] * len(requests))[0],
            below,
        )
    print("\n" + "\n".join(below))


def show_run(run: str, step: str, prompts: Sequence[str], tokens: int) -> None:
    """Print the table for a step that lies beside the weights of a finished run."""
    result = evenhand.load(run, dtype="float32")
    print("| prompt | plain | with the step |\n|---|---|---|")
    for prompt in prompts:
        off = Request(prompt=prompt, max_new_tokens=tokens, meta={step: 0.0})
        plain, own = result.answer([off, replace(off, meta={})])
        show(f"*{prompt}*", plain, own, [])


def show(prompt: str, plain: Response, ruled: Response, below: list[str]) -> None:
    """Print a row of the table, and note what the rule did."""
    shown = "as it was" if ruled.text == plain.text else flat(ruled.text)
    print(f"| {prompt} | {flat(plain.text)} | {shown} |", flush=True)
    moved = max(ruled.changes, key=lambda change: change.total_variation, default=None)
    if moved is not None:
        below.append(
            f"{prompt}: word {moved.position + 1}, `{moved.before}` -> `{moved.after}`, total variation "
            f"{moved.total_variation:.3f}"
        )
    for change in ruled.request_changes:
        if change.what == "prompt":
            below.append(f"{prompt}: asked instead: {flat(change.after)}")
        below.append(f"{prompt}: {json.dumps(rounded(dict(change.facts)), ensure_ascii=False)}")


def flat(text: str) -> str:
    return " ".join(text.split())


def rounded(value: Any) -> Any:
    """Numbers as a page shows them."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    main()
