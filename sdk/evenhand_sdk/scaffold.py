"""`toolkit new`: a plugin distribution that works as it stands, made from the files in `template/`."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from evenhand import __version__
from evenhand.cache import storing
from evenhand.discovery import BUILT_IN
from evenhand.errors import UsageError
from evenhand.known_plugins import KNOWN_PLUGINS

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SUFFIX = ".in"
"""Ending of template files, so that nothing takes them for the toolkit's own code."""


def create(name: str, folder: str | Path = ".") -> Path:
    """Make the project `name` in `folder`, whole or not at all, and give its path.

    `name` is the distribution, the plugin and, with underscores, the package. Raises UsageError for a name
    that cannot be used and for a folder that is already there.
    """
    values = _values(name)
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
            _fill(resources.files("evenhand_sdk").joinpath("template"), draft / name, values)
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
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package.startswith("evenhand"):
        what = f"a package called {package!r} would stand in the way of Python's or the toolkit's own"
        raise UsageError(what, where="new", do=f"toolkit new my-{name}")
    return {
        "name": name,
        "package": package,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "version": ".".join(__version__.split(".")[:2]),
    }


def _fill(source: Traversable, target: Path, values: dict[str, str]) -> None:
    """Copy a folder of templates; `package` and `gitignore` get their real names, `$words` their values."""
    target.mkdir()
    for entry in sorted(source.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            named = values["package"] if entry.name == "package" else entry.name
            _fill(entry, target / named, values)
        elif entry.name.endswith(SUFFIX):
            name = entry.name.removesuffix(SUFFIX)
            text = Template(entry.read_text(encoding="utf-8")).substitute(values)
            (target / (".gitignore" if name == "gitignore" else name)).write_text(text, encoding="utf-8")
