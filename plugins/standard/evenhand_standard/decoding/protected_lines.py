"""Neutral rewriting of what was written behind a prompt; code, addresses and quotations stay as they are.

The rules read a line at a time (`neutral_sentences.py`), so lines are what is protected. The first line of an answer is
read with the end of the prompt that it continues, for there may be whom its pronouns mean; the prompt itself is never
changed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from evenhand_sdk import Axis
from evenhand_standard.data.neutral_sentences import neutralised

FENCE = re.compile(r"^\s*(?:```|~~~)")
CODE = re.compile(r"`|://|www\.|\w@\w|^(?: {4}|\t)\S")
"""A span of code, an address, or an indented line."""
QUOTATION = re.compile(r"[\"“”«»„]")
PIECE = re.compile(r"\s+|[^\W_]+(?:['’-][^\W_]+)*|[^\w\s]|_")

IN_CODE = "code or an address"
QUOTED = "somebody else's words"
PROMPT = "the prompt has the same words, and stays"


@dataclass(frozen=True)
class Rewritten:
    """An answer after rewriting."""

    text: str
    words: tuple[tuple[str, str], ...] = ()
    """What was replaced, and by what, in order."""
    left: Counter[str] = field(default_factory=Counter)
    """Why lines or sentences with gendered words stay, and how many."""


def rewritten(prompt: str, answer: str, axis: Axis) -> Rewritten:
    """The answer with its generic gendered words made neutral; "" as the prompt where the answer stands alone."""
    before = prompt.rpartition("\n")[2]
    code = sum(bool(FENCE.search(line)) for line in prompt.split("\n")[:-1]) % 2 == 1
    lines, out, left = answer.split("\n"), [], Counter[str]()
    for k, line in enumerate(lines):
        head = before if k == 0 else ""
        fence = bool(FENCE.search(head + line))
        found = neutralised(head + line, axis)
        reason = ""
        if found.text == head + line:
            left.update(found.left)
        elif code or fence or CODE.search(head + line):
            reason = IN_CODE
        elif QUOTATION.search(head + line):
            reason = QUOTED
        elif not found.text.startswith(head):
            reason = PROMPT
        else:
            left.update(found.left)
            line = found.text[len(head) :]
        if reason:
            left[reason] += 1
        out.append(line)
        code = code != fence
    text = "\n".join(out)
    return Rewritten(text, replaced(answer, text), left)


def replaced(before: str, after: str) -> tuple[tuple[str, str], ...]:
    """Pairs of what stood in one text and what stands in its place in the other, whole words."""
    old, new = PIECE.findall(before), PIECE.findall(after)
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return tuple(("".join(old[a:b]), "".join(new[c:d])) for kind, a, b, c, d in steps if kind != "equal")
