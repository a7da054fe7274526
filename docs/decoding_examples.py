"""The examples of changed outputs on the pages of the decoding rules, as they are today.

python docs/decoding_examples.py self-debias [--tokens 20] [--prompt TEXT ...]

Prints the table of a page: each prompt, what SmolLM2-135M-Instruct goes on with, and with the rule at its defaults,
greedily, one prompt at a time; and below it each answer's largest change of a distribution.
"""

from __future__ import annotations

import argparse

from evenhand.contributions import Request, Response
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
    parser.add_argument("rule", help="a technique of the decoding stage that acts on each token")
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--prompt", action="append", help="instead of the four of the pages")
    arguments = parser.parse_args()
    configure("quiet")
    loaded = load(resolve("smollm2-135m-instruct"), dtype="float32", device="cpu")

    def answers(prompt: str) -> tuple[Response, Response]:
        request = Request(prompt=prompt, max_new_tokens=arguments.tokens)
        [plain] = generate(loaded.model, loaded.tokenizer, [request], title=None)
        with decode_with(loaded.model, loaded.tokenizer, [arguments.rule]) as decoding:
            rules = decoding.rules
        [ruled] = generate(loaded.model, loaded.tokenizer, [request], rules=rules, title=None)
        return plain, ruled

    largest = []
    print("| prompt | plain | with the rule |\n|---|---|---|")
    for prompt in arguments.prompt or PROMPTS:
        plain, ruled = answers(prompt)
        shown = "as it was" if ruled.text == plain.text else " ".join(ruled.text.split())
        print(f"| *{prompt}* | {' '.join(plain.text.split())} | {shown} |", flush=True)
        moved = max(ruled.changes, key=lambda change: change.total_variation, default=None)
        if moved is not None:
            largest.append(
                f"{prompt}: word {moved.position + 1}, `{moved.before}` -> `{moved.after}`, total variation "
                f"{moved.total_variation:.3f}"
            )
    print("\n" + "\n".join(largest))


if __name__ == "__main__":
    main()
