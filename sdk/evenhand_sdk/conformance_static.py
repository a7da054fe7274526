"""Conformance checks that read a plugin without running it: import, name, options, hooks, words."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import json
import os
import re
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from evenhand.discovery import GROUP, PluginRow, discover
from evenhand.errors import BrokenPlugin, IncompatiblePlugin
from evenhand.plugin import Mitigation, Plugin, StrengthOptions
from evenhand.plugin_contract import check_class
from evenhand_sdk.conformance_case import Case, CheckFailed, Skipped

if TYPE_CHECKING:
    from evenhand.plugin import Options

HEAVY = ("torch", "transformers", "datasets", "adapters", "numpy")
"""What importing a plugin module must not import."""
WORDS = 3
"""The fewest words that a docstring says anything with."""
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def check_light_import(case: Case) -> None:
    """Importing the module imports no heavy library, so that `toolkit plugins` and `validate` stay fast."""
    module = case.plugin.__module__
    if module == "__main__":
        raise Skipped("the class is defined in __main__, which cannot be imported a second time")
    code = f"import sys, {module}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or os.getcwd() for p in sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise CheckFailed(f"{module} cannot be imported in a fresh process: {' '.join(last)}")
    if heavy := done.stdout.split():
        raise CheckFailed(f"importing {module} imports {', '.join(heavy)}: import inside the hooks instead")


def check_entry_point(case: Case) -> None:
    """An installed distribution declares the class under the name that the class has."""
    plugin = case.plugin
    if not NAME.fullmatch(plugin.name):
        raise CheckFailed(f"name is {plugin.name!r}, it must be lower-case words joined by hyphens")
    row = declared(plugin)
    if row is None:
        line = f'{plugin.name} = "{_target(plugin)}"'
        raise CheckFailed(f'no installed distribution declares it: put {line} under [project.entry-points."{GROUP}"]')
    if row.name != plugin.name:
        raise CheckFailed(f"the entry point is called {row.name!r}, the class {plugin.name!r}")
    if row.status != "ok":
        raise CheckFailed(f"{row.provider} is {row.status}: {row.reason}")


def declared(plugin: type[Plugin]) -> PluginRow | None:
    """The row of the installed distribution that declares a class, also where it is re-exported."""
    rows = [row for row in discover().rows if row.name]
    exact = [row for row in rows if row.target == _target(plugin)]
    same = [row for row in rows if row.name == plugin.name and _resolves_to(row, plugin)]
    return next(iter([*exact, *same]), None)


def _target(plugin: type[Plugin]) -> str:
    return f"{plugin.__module__}:{plugin.__qualname__}"


def _resolves_to(row: PluginRow, plugin: type[Plugin]) -> bool:
    module, _, attribute = row.target.partition(":")
    return getattr(sys.modules.get(module), attribute, None) is plugin


def check_configuration(case: Case) -> None:
    """Defaults make a valid instance; unknown options are refused; every option says what it does."""
    plugin, given = case.plugin, dict(case.options)
    try:
        made = plugin(plugin.Options(**given)).options
    except ValidationError as error:
        missing = ", ".join(str(e["loc"][0]) for e in error.errors() if e["type"] == "missing")
        hint = f": option {missing} has no default; set `example_options` on the class" if missing else f": {error}"
        raise CheckFailed("it cannot be made with its default options" + hint) from None
    if _accepts(plugin.Options, {**given, "no_such_option": 1}):
        raise CheckFailed("an option that it does not declare is accepted: Options must forbid extra fields")
    silent = [n for n, f in plugin.Options.model_fields.items() if not f.description]
    if silent := [name for name in silent if name not in _documented(plugin.Options)]:
        raise CheckFailed(f"option {silent[0]!r} has neither a description nor a docstring under it")
    if plugin.Options(**json.loads(made.model_dump_json())) != made:
        raise CheckFailed("its options do not survive being written to JSON and read again")
    if issubclass(plugin, Mitigation):
        if "strength" not in plugin.Options.model_fields:
            raise CheckFailed("a Mitigation needs an option `strength`: derive Options from StrengthOptions")
        for value, good in ((-0.01, False), (0.0, True), (1.0, True), (1.01, False)):
            if _accepts(plugin.Options, {**given, "strength": value}) != good:
                raise CheckFailed(f"strength = {value} is {'refused' if good else 'accepted'}; it must lie in [0, 1]")


def _accepts(options: type[Options], values: dict[str, Any]) -> bool:
    try:
        options(**values)
    except ValidationError:
        return False
    return True


def _documented(options: type[Options]) -> set[str]:
    """Fields with a string under their declaration, in the class or in one that it derives from."""
    found = {"strength"} if issubclass(options, StrengthOptions) else set()
    for part in options.__mro__:
        if part.__module__.partition(".")[0] in ("pydantic", "builtins"):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(part)))
        except (OSError, TypeError, SyntaxError):
            continue  # made without a source file: only descriptions count
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for field, text in zip(body, body[1:], strict=False):
            is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                found.add(field.target.id)
    return found


def check_hooks_known_and_marked(case: Case) -> None:
    """Every marked method is a hook of this interface, every hook is marked, and asks for known arguments."""
    try:
        check_class(case.plugin, where="")
    except (BrokenPlugin, IncompatiblePlugin) as error:
        raise CheckFailed(" ".join(part.strip() for part in str(error).splitlines())) from None


def check_explains_itself(case: Case) -> None:
    """Docstring, one-sentence summary, source, and a README that names it."""
    plugin = case.plugin
    text = (plugin.__dict__.get("__doc__") or "").strip()
    if (words := len(text.split())) < WORDS:
        few = "has one word" if words == 1 else f"has {words} words"
        has = f"the docstring of the class {few}" if words else "the class has no docstring"
        raise CheckFailed(f"{has}: say in at least {WORDS} words what it does")
    if not plugin.summary.strip() or "\n" in plugin.summary.strip() or not plugin.summary.strip().endswith("."):
        raise CheckFailed("summary must be one sentence on one line that ends with a full stop")
    if not plugin.source.strip():
        raise CheckFailed("source is empty: name the paper that the method comes from, or say it is your own")
    row = declared(plugin)
    if row is None:
        return  # `entry_point` has said so already
    about = importlib.metadata.metadata(row.distribution)
    readme = about.get("Description") or about.get_payload() or ""  # type: ignore[attr-defined]
    if plugin.name not in str(readme):
        raise CheckFailed(f"the README of {row.distribution} does not mention {plugin.name!r}")
