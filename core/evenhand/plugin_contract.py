"""Import one plugin and hold its class against the contract: a slip is an error, not a silent no-op."""

from __future__ import annotations

import importlib
import inspect
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand import API_VERSION
from evenhand.errors import BrokenPlugin, IncompatiblePlugin
from evenhand.hookspecs import STAGES, LifeCycle
from evenhand.near_match import did_you_mean
from evenhand.plugin import Options, Plugin
from evenhand.stopping import stopped

if TYPE_CHECKING:
    from evenhand.discovery import PluginRow

HOST_KEYS = frozenset({"use", "id", "active", "allow_no_effect"})
"""Keys of a step that belong to the host; no plugin may declare an option of these names."""
KINDS = frozenset({"causal", "masked"})


def load_class(row: PluginRow) -> type[Plugin]:
    """The class behind an entry point, imported and checked.

    Raises BrokenPlugin (with the cause chained) or IncompatiblePlugin.
    """
    where = f"plugin {row.name!r} of {row.provider}"
    found = imported(row, where=where)
    check_class(found, where=where, distribution=row.distribution)
    if found.name != row.name:
        raise BrokenPlugin(
            f"the entry point is called {row.name!r}, but {found.__name__}.name is {found.name!r}",
            where=where,
        )
    return found  # type: ignore[no-any-return]


def imported(row: PluginRow, *, where: str) -> Any:
    """What an entry point's target names; raises BrokenPlugin with the cause chained."""
    module_name, _, attributes = row.target.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except BaseException as error:  # isolation: an import may raise anything
        if stopped(error):
            raise
        what = f"{module_name} cannot be imported: {type(error).__name__}: {error}"
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            what = f"there is no module {error.name}"
        owner = f"Tell the maintainers of {row.distribution}. Recipes that do not name it are unharmed."
        raise BrokenPlugin(
            what,
            where=where,
            known=_raised_at(error),
            do=owner if row.distribution else "",
        ) from error
    return found


def check_class(found: Any, *, where: str, distribution: str = "") -> None:
    """Raises BrokenPlugin or IncompatiblePlugin when `found` is not a plugin class that the host can use."""
    if not (isinstance(found, type) and issubclass(found, Plugin)):
        raise BrokenPlugin(f"{_shown(found)} is not a subclass of evenhand_sdk.Plugin", where=where)
    if found.api != API_VERSION:
        newer = isinstance(found.api, int) and found.api > API_VERSION
        raise IncompatiblePlugin(
            f"it was written for plugin interface {found.api}, this toolkit has {API_VERSION}",
            where=where,
            do=f"pip install --upgrade {'evenhand' if newer else distribution}".rstrip(),
        )
    problems = [*_option_problems(found), *_hook_problems(found), *_claim_problems(found)]
    if unknown := [kind for kind in found.kinds if kind not in KINDS]:
        problems.append(f"kinds names {unknown[0]!r}; there are 'causal' and 'masked'")
    if problems:
        raise BrokenPlugin(problems[0], where=where, known="\n  ".join(problems[1:]))


def _option_problems(found: type[Plugin]) -> list[str]:
    if not (isinstance(found.Options, type) and issubclass(found.Options, Options)):
        return [f"{found.__name__}.Options is not a subclass of evenhand_sdk.Options"]
    taken = sorted(HOST_KEYS & set(found.Options.model_fields))
    return [f"option {name!r} has a name that belongs to the toolkit" for name in taken]


def _claim_problems(found: type[Plugin]) -> list[str]:
    claims: Any = found.claims  # a text would be compared letter by letter
    if isinstance(claims, tuple) and all(isinstance(word, str) for word in claims):
        return []
    meant = f"; write claims = {(claims,)!r}" if isinstance(claims, str) else ""
    return [f"claims is {claims!r}, it must be a tuple of strings{meant}"]


def _hook_problems(found: type[Plugin]) -> list[str]:
    problems = [
        f"{found.__name__}.{stage} overrides a hook but lacks @hookimpl, so it would never be called"
        for stage in found.unmarked()
    ]
    for name in dir(found):
        if name not in STAGES and hasattr(inspect.getattr_static(found, name), "evenhand_impl"):
            known = did_you_mean(name, STAGES) or f"; the hooks are {', '.join(STAGES)}"
            problems.append(f"{found.__name__}.{name} is marked with @hookimpl, but there is no such hook{known}")
    for stage in found.stages():
        hook = inspect.getattr_static(found, stage)
        bound = isinstance(hook, (staticmethod, classmethod))
        parameters = list(inspect.signature(getattr(found, stage)).parameters.values())[0 if bound else 1 :]
        problems += _argument_problems(f"{found.__name__}.{stage}", parameters, stage)
    if not problems and not found.stages():
        problems.append(f"{found.__name__} implements no hook")
    return problems


def _argument_problems(label: str, parameters: list[inspect.Parameter], stage: str) -> list[str]:
    """pluggy passes arguments by name, and never to a parameter that has a default."""
    specified = list(inspect.signature(getattr(LifeCycle, stage)).parameters)[1:]
    problems = []
    for parameter in parameters:
        if parameter.name not in specified:
            near = did_you_mean(parameter.name, specified) or f"; the hook has {', '.join(specified)}"
            problems.append(f"{label} has an argument {parameter.name!r} that the hook does not know{near}")
        elif parameter.default is not parameter.empty:
            problems.append(f"{label} gives {parameter.name!r} a default, so the host would never fill it")
    return problems


def _raised_at(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    inner = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
    return f"Raised at line {inner[-1].lineno} of {Path(inner[-1].filename).name}" if inner else ""


def _shown(found: Any) -> str:
    return found.__name__ if isinstance(found, type) else f"{type(found).__name__} {str(found)[:40]!r}"
