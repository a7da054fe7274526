"""Decoding rules that travel with a saved model: `AutoModelForCausalLM.from_pretrained(run/model)` decodes with them.

Transformers takes `custom_generate/generate.py` of a model's folder for the model's `generate`. The file that is
written there calls this module; rules around whole requests, which `generate` cannot have, are left to `evenhand.load`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import MethodType, SimpleNamespace
from typing import Any

from evenhand import restoring
from evenhand.contributions import DecodingRule
from evenhand.errors import RunNotFound
from evenhand.filling import RULES
from evenhand.replaced_generate import WithoutRules, rules_inside

FILE = "custom_generate/generate.py"
LOOKED_UP = '''
import functools
import os


def __getattr__(name):
    """Transformers asks for `generate` whenever it loads a model: its path may be relative to the folder of then."""
    if name != "generate":
        raise AttributeError(name)
    try:
        here = os.getcwd()
    except FileNotFoundError:  # deleted, so the path is not relative to it
        here = ""
    return functools.partial(_generate, here)


'''
"""What the file of `custom_generate` begins with: its `_generate` is told in which folder the model was loaded."""
SOURCE = f'''"""Decodes with the rules in this folder's evenhand.json; transformers makes it the model's `generate`."""
{LOOKED_UP}def _generate(here, *inputs, model, **arguments):
    try:
        from evenhand.carried_rules import generate_with_rules
    except ImportError as error:
        raise ImportError(
            "this model decodes with rules of the package evenhand, which is not installed; "
            "type(model).generate(model, ...) decodes without them"
        ) from error
    return generate_with_rules(model, inputs, arguments, here)
'''

KEPT = "evenhand_carried_rules"
"""Attribute of a model: its `generate` with the rules of its folder, from the first call on."""


def write(folder: Path, rules: Sequence[DecodingRule]) -> None:
    """Put the file into a model's folder, if `generate` can have any of the rules."""
    if any(rule.around is None for rule in rules):
        path = folder / FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(SOURCE, encoding="utf-8")


def generate_with_rules(model: Any, inputs: Sequence[Any], arguments: dict[str, Any], here: str = "") -> Any:
    """`model.generate` with the rules of the folder that the model was loaded from, relative to `here`.

    What the rules changed is `model.generate.changes` where transformers has made this the model's `generate`.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    given |= given.pop("kwargs", {})
    with_rules = vars(model).setdefault(KEPT, _Kept()).of(model, here)
    try:
        return with_rules(*inputs, **given)
    finally:
        own = vars(model).get("generate")
        if isinstance(own, partial) and own.keywords.get("model") is model:
            own.changes = getattr(with_rules, "changes", [])  # type: ignore[attr-defined]


def rules_of(model: Any) -> tuple[DecodingRule, ...]:
    """The rules of a model whose `generate` is that of its folder: none where it is another, or the plain one.

    As with the first call of `generate`, steps that weights cannot hold are put in place.
    """
    own = vars(model).get("generate")
    code = getattr(own.func, "__code__", None) if isinstance(own, partial) else None
    if code is None:
        return ()
    here = next(iter(own.args), "")
    if "evenhand.carried_rules" in code.co_names:
        own = vars(model).setdefault(KEPT, _Kept()).of(model, here)
        if isinstance(own, WithoutRules):
            own.tell()
    elif "evenhand.restoring" in code.co_names:  # of an export
        restoring.complete(model, here)
        own = vars(model)["generate"]
    rules: tuple[DecodingRule, ...] = getattr(own, RULES, ())
    return rules


class _Kept:
    """The `generate` with rules of one model, made once, whichever threads ask for it.

    Rules hold the model that they were made for, so a copy of it, or one that is read from a pickle, begins anew;
    `without` are the rules of a model that it is a copy of and on which live steps stand: none can be made for it.
    """

    def __init__(self, without: str = "") -> None:
        self._lock = threading.Lock()
        self._made: Callable[..., Any] | None = None
        self._without = without

    def __reduce__(self) -> tuple[type[_Kept], tuple[str]]:
        return _Kept, (self._without,)

    def of(self, model: Any, here: str) -> Callable[..., Any]:
        with self._lock:
            if self._made is None:
                self._made = self._plain(model) if self._without else self._ruled(model, here)
            return self._made

    def _ruled(self, model: Any, here: str) -> Callable[..., Any]:
        from evenhand.attached_rules import Ruled

        tokenizer, facts, folder = _facts_of(model, here)
        inside = rules_inside(restoring.restore(SimpleNamespace(model=model, tokenizer=tokenizer), facts, folder))
        if any(step["live"] for step in facts["steps"]):  # which a copy has already
            self._without = ", ".join(rule.name for rule in inside)
        return Ruled(model, MethodType(type(model).generate, model), inside, tokenizer=tokenizer)

    def _plain(self, model: Any) -> Callable[..., Any]:
        plain = WithoutRules(model, self._without, None)
        model.generate = plain  # in the place of the code that has called this
        return plain


def _facts_of(model: Any, here: str) -> tuple[Any, dict[str, Any], Path]:
    """The tokenizer of the folder that a model was loaded from, what its steps are, and where it lies."""
    from evenhand.tokenizer_loading import load_tokenizer

    folder = Path(here, getattr(model.config, "_name_or_path", "") or model.name_or_path)
    path = folder / restoring.NAME
    if not path.is_file():
        raise RunNotFound(
            f"the model's folder has no {restoring.NAME}, so its decoding rules are not known", where=str(folder),
            do="load it from the run's folder with evenhand.load",
        )  # fmt: skip
    tokenizer = load_tokenizer(folder, where=str(folder), trust_remote_code=False)
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer, json.loads(path.read_text(encoding="utf-8")), folder
