"""Decoding rules that travel with a saved model: `AutoModelForCausalLM.from_pretrained(run/model)` decodes with them.

Transformers takes `custom_generate/generate.py` of a model's folder for the model's `generate`. The file that is
written there calls this module; rules around whole requests, which `generate` cannot have, are left to `evenhand.load`.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from evenhand.contributions import DecodingRule
from evenhand.errors import RunNotFound

FILE = "custom_generate/generate.py"
SOURCE = '''"""Decodes with the rules in this folder's evenhand.json; transformers makes it the model's `generate`."""


def generate(*inputs, model, **arguments):
    try:
        from evenhand.carried_rules import generate_with_rules
    except ImportError as error:
        raise ImportError(
            "this model decodes with rules of the package evenhand, which is not installed; "
            "type(model).generate(model, ...) decodes without them"
        ) from error
    return generate_with_rules(model, inputs, arguments)
'''

_RULES: weakref.WeakKeyDictionary[Any, tuple[Any, list[DecodingRule]]] = weakref.WeakKeyDictionary()


def write(folder: Path, rules: Sequence[DecodingRule]) -> None:
    """Put the file into a model's folder, if `generate` can have any of the rules."""
    if any(rule.around is None for rule in rules):
        path = folder / FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(SOURCE, encoding="utf-8")


def generate_with_rules(model: Any, inputs: Sequence[Any], arguments: dict[str, Any]) -> Any:
    """`model.generate` with the rules of the folder that the model was loaded from; the model stays as it is."""
    from evenhand.attached_rules import attach

    given = {name: value for name, value in arguments.items() if value is not None}
    given |= given.pop("kwargs", {})
    if model not in _RULES:
        _RULES[model] = _rules_of(model)
    tokenizer, rules = _RULES[model]
    before = vars(model).pop("generate", None)
    try:
        attach(model, tokenizer, rules)
        return model.generate(*inputs, **given)
    finally:
        vars(model).pop("generate", None)
        if before is not None:
            model.generate = before


def _rules_of(model: Any) -> tuple[Any, list[DecodingRule]]:
    from evenhand.restoring import NAME, restore
    from evenhand.tokenizer_loading import load_tokenizer

    folder = Path(getattr(model.config, "_name_or_path", "") or model.name_or_path)
    path = folder / NAME
    if not path.is_file():
        raise RunNotFound(
            f"the model's folder has no {NAME}, so its decoding rules are not known", where=str(folder),
            do="load it from the run's folder with evenhand.load",
        )  # fmt: skip
    tokenizer = load_tokenizer(folder, where=str(folder), trust_remote_code=False)
    if tokenizer.pad_token_id is None and tokenizer.eos_token_id is not None:
        tokenizer.pad_token = tokenizer.eos_token
    facts = json.loads(path.read_text(encoding="utf-8"))
    rules = restore(SimpleNamespace(model=model, tokenizer=tokenizer), facts, folder)
    return tokenizer, [rule for rule in rules if rule.around is None]
