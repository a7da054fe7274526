"""Find plugins without importing them, say which of them can be used, and load the ones that a recipe names.

A plugin is an entry point of the group `evenhand.plugins` in any installed distribution. `entrypoints` parses
one distribution's file at a time, so that a malformed file hides nobody else's plugins; `importlib.metadata`
knows versions, requirements and origins. Nothing is imported before `load`, nothing is kept between calls.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from evenhand.errors import BrokenPlugin, IncompatiblePlugin, PluginClash, UnknownPlugin
from evenhand.known_plugins import KNOWN_PLUGINS
from evenhand.near_match import did_you_mean, near_match

if TYPE_CHECKING:
    from evenhand.plugin import Plugin
    from evenhand.requirements import Requirements

GROUP = "evenhand.plugins"
BUILT_IN = "train"
"""The one step that is no plugin; no distribution may offer this name."""
Status = Literal["ok", "broken", "incompatible", "clash"]


MOST_LISTED = 20
"""Most names in a message; more of them would hide what the message says."""


@dataclass(frozen=True, kw_only=True)
class PluginRow:
    """One entry point, read but not imported."""

    name: str
    """Empty when the distribution's entry points could not be read at all."""
    distribution: str
    version: str
    target: str = ""
    """`module:Class`."""
    status: Status = "ok"
    reason: str = ""
    """Why it is not `ok`, in one line."""
    origin: str = ""
    """Where the distribution came from: `index`, `editable PATH`, a URL."""

    @property
    def provider(self) -> str:
        """Distribution and version, such as `evenhand-standard 0.1.0`."""
        return f"{self.distribution} {self.version}".strip()


@dataclass(frozen=True)
class Catalogue:
    """Every plugin of the environment, sorted by name; what could not be read comes last."""

    rows: tuple[PluginRow, ...]

    def names(self) -> list[str]:
        """The names that are offered, whatever their status."""
        return sorted({row.name for row in self.rows if row.name})

    def find(self, use: str) -> PluginRow:
        """The one usable row for `name` or `distribution:name`.

        Raises UnknownPlugin, PluginClash, BrokenPlugin or IncompatiblePlugin.
        """
        distribution, _, name = use.rpartition(":")
        rows = [row for row in self.rows if row.name == name]
        if distribution:
            rows = [row for row in rows if normalised(row.distribution) == normalised(distribution)]
        if not rows:
            raise self._unknown(distribution, name)
        if len(rows) > 1:
            raise PluginClash(
                f"{name!r} is offered by {_listed([row.provider for row in rows])}",
                do="Say which: " + " or ".join(f'use = "{row.distribution}:{name}"' for row in rows),
            )
        row = rows[0]
        if row.status == "broken":
            raise BrokenPlugin(f"{name!r} of {row.provider} cannot be used: {row.reason}")
        if row.status == "incompatible":
            raise IncompatiblePlugin(
                f"{name!r} of {row.provider} cannot be used here: {row.reason}",
                do="Install versions that agree, for example in an environment of its own: "
                f"pip install {row.distribution}",
            )
        return row

    def _unknown(self, distribution: str, name: str) -> UnknownPlugin:
        unreadable = [f"{row.provider} ({row.reason})" for row in self.rows if not row.name]
        known = f"Entry points that could not be read: {'; '.join(unreadable)}" if unreadable else ""
        if distribution:
            offered = [row.name for row in self.rows if normalised(row.distribution) == normalised(distribution)]
            if offered:
                what = f"{distribution} offers no plugin {name!r}{did_you_mean(name, offered)}"
                return UnknownPlugin(what, known=known, do=f"It offers: {_named(sorted(offered))}")
            what = f"no distribution {distribution!r} with plugins is installed"
            near = did_you_mean(distribution, {row.distribution for row in self.rows})
            return UnknownPlugin(what + near, known=known, do=f"pip install {distribution}")
        if name in KNOWN_PLUGINS:
            return self._absent(name, f"plugin {name!r} is not installed", known)
        if name == BUILT_IN:
            return UnknownPlugin(
                f"{name!r} is no plugin but the toolkit's own training, a step of recipes",
                known=known,
                do="leave it out, or train with evenhand.train(model, tokenizer, dataset, plugins)",
            )
        what = f"no plugin is called {name!r}"
        match = near_match(name, [*self.names(), *KNOWN_PLUGINS, BUILT_IN])
        if match:
            what += f"; did you mean {match!r}?"
            if match in KNOWN_PLUGINS and match not in self.names():
                return self._absent(match, what, known)
        return UnknownPlugin(what, known=known, do=f"Installed: {_named(self.names()) or 'none'}")

    def _absent(self, name: str, what: str, known: str) -> UnknownPlugin:
        """Of a plugin of ours that is not there: its distribution is not, or what is installed of it is older."""
        owner = KNOWN_PLUGINS[name]
        there = next((row for row in self.rows if row.name and normalised(row.distribution) == owner), None)
        if there is None:
            return UnknownPlugin(what, known=known, do=f"pip install {owner}")
        folder = there.origin.removeprefix("editable ")
        stale = f"{there.provider} is installed, but what was installed does not offer it"
        return UnknownPlugin(
            what,
            known=f"{stale}\n  {known}" if known else stale,
            do=f"install it anew: pip install {f'-e {folder}' if folder != there.origin else f'--upgrade {owner}'}",
        )


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _named(names: Sequence[str]) -> str:
    """The names, or how many they are."""
    return ", ".join(names) if len(names) <= MOST_LISTED else f"{len(names)} plugins; `toolkit plugins` lists them"


def _listed(items: Sequence[str]) -> str:
    return " and ".join((", ".join(items[:-1]), items[-1])) if len(items) > 1 else items[0]


def discover(path: Sequence[str] | None = None) -> Catalogue:
    """Reads the entry points of every distribution on `path` (default: `sys.path`); imports none."""
    rows = _with_clashes([row for found in _distributions(path) for row in _rows(found)])
    if any(row.status in ("ok", "clash") for row in rows):
        from evenhand.requirements import Requirements  # `packaging` is only paid for when there is a plugin

        requirements = Requirements(path)
        rows = [_with_requirements(row, requirements) for row in rows]
    return Catalogue(tuple(sorted(rows, key=lambda row: (not row.name, row.name, normalised(row.distribution)))))


def plugin_packages() -> set[str]:
    """The top-level packages that hold usable plugins, by their entry points; imports none."""
    return {row.target.partition(":")[0].partition(".")[0] for row in discover().rows if row.status == "ok"}


def _distributions(path: Sequence[str] | None) -> Iterator[importlib.metadata.Distribution]:
    """Distributions whose entry points mention the group; of several copies only the first on the path."""
    folders = sys.path if path is None else list(path)
    seen: set[str] = set()
    for found in importlib.metadata.distributions(path=folders):
        if not _mentions_group(found):
            continue
        name = _header(found, "Name")
        if name is None:
            yield found
        elif normalised(name) not in seen:
            seen.add(normalised(name))
            first = next(iter(importlib.metadata.distributions(name=name, path=folders)), found)
            if _mentions_group(first):
                yield first


def _mentions_group(found: importlib.metadata.Distribution) -> bool:
    try:
        text = found.read_text("entry_points.txt")
    except UnicodeDecodeError as error:
        return GROUP.encode() in error.object
    return GROUP in (text or "")


def _header(found: importlib.metadata.Distribution, key: str) -> str | None:
    """A field of METADATA, or None when the file is missing, unreadable or without it."""
    try:
        text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    except UnicodeDecodeError:
        return None
    match = re.search(rf"^{key}:[ \t]*(\S.*?)[ \t]*$", text.partition("\n\n")[0], re.MULTILINE)
    return match[1] if match else None


def _rows(found: importlib.metadata.Distribution) -> list[PluginRow]:
    import entrypoints

    name = _header(found, "Name")
    if name is None:
        folder = str(found.locate_file(""))
        reason = f"a distribution in {folder} offers plugins, but its METADATA has no readable name"
        return [PluginRow(name="", distribution="(nameless)", version="", status="broken", reason=reason)]
    version = _header(found, "Version") or ""
    whole = PluginRow(name="", distribution=name, version=version, origin=_origin(found))
    parser = entrypoints.CaseSensitiveConfigParser(delimiters=("=",), interpolation=None, default_section="(none)")
    try:
        parser.read_string(found.read_text("entry_points.txt") or "", source="entry_points.txt")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        reason = f"entry_points.txt, line {line}: byte 0x{error.object[error.start]:02x} is not UTF-8"
        return [replace(whole, status="broken", reason=reason)]
    except configparser.Error as error:
        return [replace(whole, status="broken", reason=_malformed(error))]
    rows = []
    for key, spec in parser[GROUP].items() if parser.has_section(GROUP) else ():
        row = replace(whole, name=key, target=spec.strip())
        try:
            entry = entrypoints.EntryPoint.from_string(spec.strip(), key)
        except entrypoints.BadEntryPoint:
            rows.append(replace(row, status="broken", reason=f"{spec.strip()!r} is not of the form module:Class"))
            continue
        row = replace(row, target=f"{entry.module_name}:{entry.object_name or ''}")
        if not entry.object_name:
            row = replace(row, status="broken", reason=f"{spec.strip()!r} names a module but no class")
        elif key == BUILT_IN:
            row = replace(row, status="broken", reason=f"the name {BUILT_IN!r} belongs to the toolkit")
        rows.append(row)
    return rows


def _malformed(error: configparser.Error) -> str:
    if isinstance(error, configparser.DuplicateOptionError):
        return f"entry_points.txt, line {error.lineno}: {error.option!r} is given twice in [{error.section}]"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"entry_points.txt, line {error.lineno}: the section [{error.section}] is given twice"
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"entry_points.txt, line {error.lineno}: there is no [section] before this line"
    if isinstance(error, configparser.ParsingError) and error.errors:
        line, text = error.errors[0]
        return f"entry_points.txt, line {line}: {text} is not of the form name = module:Class"
    return "entry_points.txt: " + " ".join(str(error).split())


def _origin(found: importlib.metadata.Distribution) -> str:
    try:
        facts = json.loads(found.read_text("direct_url.json") or "{}")
        url = str(facts.get("url", ""))
        if facts.get("dir_info", {}).get("editable"):
            return f"editable {url.removeprefix('file://')}"
        commit = facts.get("vcs_info", {}).get("commit_id", "")
    except (ValueError, AttributeError):
        return "unreadable direct_url.json"
    return (f"{url}@{commit}" if commit else url) or "index"


def _with_clashes(rows: list[PluginRow]) -> list[PluginRow]:
    counts = Counter(row.name for row in rows if row.name)
    clashing = [row for row in rows if counts[row.name] > 1]
    marked = []
    for row in rows:
        others = [other.provider for other in clashing if other.name == row.name and other is not row]
        if others and row.status == "ok":
            reason = f"also offered by {_listed(others)}; use it as {row.distribution}:{row.name}"
            row = replace(row, status="clash", reason=reason)
        marked.append(row)
    return marked


def _with_requirements(row: PluginRow, requirements: Requirements) -> PluginRow:
    unmet = requirements.unmet(row.distribution) if row.status in ("ok", "clash") else None
    return replace(row, status="incompatible", reason=unmet) if unmet else row


def load(row: PluginRow) -> type[Plugin]:
    """Imports the module of one row and checks the class against the plugin contract.

    Raises BrokenPlugin (with the cause chained) or IncompatiblePlugin.
    """
    from evenhand.plugin_contract import load_class

    return load_class(row)
