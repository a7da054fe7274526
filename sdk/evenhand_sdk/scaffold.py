"""`toolkit new`: a plugin distribution that works as it stands, made from the files in `template/`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import keyword
import re
import shutil
import sys
import tempfile
import textwrap
import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from evenhand import __version__
from evenhand.cache import storing
from evenhand.discovery import BUILT_IN, normalised
from evenhand.errors import UsageError
from evenhand.known_plugins import KNOWN_PLUGINS
from evenhand.near_match import did_you_mean

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SUFFIX = ".in"
"""Ending of template files, so that nothing takes them for the toolkit's own code."""


STAGES = ("data", "objective", "decoding", "evaluation")
"""Stages of the life cycle that there is a first plugin for."""


def create(name: str, folder: str | Path = ".", *, stage: str = "data") -> Path:
    """Make the project `name` in `folder`, whole or not at all, and give its path.

    `name` is the distribution, the plugin and, with underscores, the package. Raises UsageError for a name or a stage
    that cannot be used and for a folder that is already there.
    """
    if stage not in STAGES:
        raise UsageError(
            f"there is no first plugin for the stage {stage!r}{did_you_mean(stage, STAGES)}",
            where="new",
            known=f"stages: {', '.join(STAGES)}; docs/hooks.md has a short example of every hook",
        )
    template = resources.files("evenhand_sdk").joinpath("template")
    values = _values(name)
    values |= _words(template.joinpath("stages", stage), values)
    parent = Path(folder)
    target = parent / name
    if target.exists():
        raise UsageError(
            f"{target} is already there, and nothing in it was changed",
            where="new",
            do=f"take another name, or another folder: toolkit new {name} --output DIR",
        )
    with storing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
        try:
            _fill(template, draft / name, values)
            for file, place in (("plugin.py", f"src/{values['package']}"), ("test_plugin.py", "tests")):
                (draft / name / place).mkdir(exist_ok=True)
                _write(template.joinpath("stages", stage, file + SUFFIX), draft / name / place / file, values)
            (draft / name).rename(target)
        finally:
            shutil.rmtree(draft)
    return target


def _values(name: str) -> dict[str, str]:
    package = name.replace("-", "_")
    if not NAME.fullmatch(name):
        near = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        raise UsageError(
            f"{name!r} is no plugin name",
            where="new",
            known="names are lower-case words joined by hyphens, and begin with a letter",
            do=f"toolkit new {near}" if NAME.fullmatch(near) else "",
        )
    if name == BUILT_IN or name in KNOWN_PLUGINS:
        owner = "the toolkit" if name == BUILT_IN else KNOWN_PLUGINS[name]
        raise UsageError(f"the name {name!r} belongs to {owner}", where="new", do=f"toolkit new my-{name}")
    python = keyword.iskeyword(package) or package in sys.stdlib_module_names
    if python or package.startswith("evenhand") or _is_required(name, package):
        what = f"a package called {package!r} would stand in the way of Python's or the toolkit's own"
        raise UsageError(what, where="new", do=f"toolkit new my-{name}")
    return {
        "name": name,
        "package": package,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "version": ".".join(__version__.split(".")[:2]),
    }


def _is_required(name: str, package: str) -> bool:
    """Whether the toolkit needs a distribution of this name, or one that installs a package of this name."""
    declared = importlib.metadata.requires("evenhand") or []
    needed = {normalised(found[0]) for line in declared if (found := re.match(r"[\w.-]+", line))}
    if normalised(name) in needed:
        return True
    if importlib.util.find_spec(package) is None:
        return False  # the usual case: who owns which package need not be read
    owners = importlib.metadata.packages_distributions().get(package, [])
    return not needed.isdisjoint(normalised(owner) for owner in owners)


def _words(folder: Traversable, values: dict[str, str]) -> dict[str, str]:
    """What README and recipe say about a stage's first plugin, and how a recipe uses it."""
    raw = tomllib.loads(folder.joinpath("stage.toml").read_text(encoding="utf-8"))
    words = {key: Template(text).substitute(values) for key, text in raw.items()}
    usage = textwrap.indent("\n" + (words["benchmark"] or words["step"]), "    ")
    return {**words, "usage": usage, "benchmark": words["benchmark"] and words["benchmark"] + "\n"}


def _fill(source: Traversable, target: Path, values: dict[str, str]) -> None:
    """Copy the parts that all stages share; `package` and `gitignore` get their real names, `$words` their values."""
    target.mkdir()
    for entry in sorted(source.iterdir(), key=lambda e: e.name):
        if entry.is_dir() and entry.name != "stages":
            named = values["package"] if entry.name == "package" else entry.name
            _fill(entry, target / named, values)
        elif entry.name.endswith(SUFFIX):
            name = entry.name.removesuffix(SUFFIX)
            _write(entry, target / (".gitignore" if name == "gitignore" else name), values)


def _write(source: Traversable, target: Path, values: dict[str, str]) -> None:
    target.write_text(Template(source.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
