"""Axes: a protected attribute as data, and how one is found by name.

An axis is one readable TOML file per axis and locale (`docs/axis-packs.md`). `load_axis("gender")` finds the
packs that travel with this package and those that other distributions announce under the entry-point group
`evenhand.axes`. Nothing here knows grammar: `counterfactual.py` applies an axis to text.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from pathlib import Path

from evenhand.errors import BrokenPlugin, UsageError
from evenhand.stopping import stopped

ENTRY_POINT_GROUP = "evenhand.axes"
"""An entry point `NAME.LOCALE` in this group loads to an `Axis`, or to the path of a TOML file."""

NAME_CERTAINTY = 0.9
"""Of a first name, where a pack says nothing else: most belong to one group, none surely so."""


@dataclass(frozen=True)
class WordTuple:
    """One aligned row: the word of each group in the order of `Axis.groups`, empty where the row has none."""

    words: tuple[str, ...]
    neutral: str | None = None
    """The group-free word of the same meaning, for reference; never a target of a swap."""
    pos: str = "noun"
    number: str | None = None
    case: str | None = None
    """For pronouns: subject, object, determiner, possessive or reflexive."""
    sources: tuple[str, ...] = ()
    """Groups whose word in this row is recognised in text; a row with one source is a one-way swap."""
    capitalised: bool = False
    """The words are recognised only with a capital first letter (Miss, not miss)."""
    certainty: float = 1.0
    """How sure it is that a match is meant as a group word, in (0, 1]."""
    theme: str = ""
    """What the row is about; templates name it."""
    context: str | None = None
    """`person`: a match counts only where it describes or names a person, as the grammar of the locale sees it."""


@dataclass(frozen=True)
class Exemption:
    """Phrases that must not be changed: facts of biology, history, titles and fixed expressions."""

    reason: str
    scope: str
    """What a match protects: the `phrase`, its `sentence` or `paragraph`, or the `person` named: the phrase, the
    pronouns that refer to it and the relatives whom these mention."""
    phrases: tuple[str, ...]
    """`{Name}` stands for a capitalised word; a trailing `*` for any ending; capitals in a phrase are
    required."""


@dataclass(frozen=True)
class Template:
    """A sentence with slots for group words: `The {worker} sat by the window.`"""

    text: str
    slots: tuple[tuple[str, str], ...]
    """What stands in braces, and the theme of the rows that may fill it; the theme `name` is the first names."""
    pos: str | None = None
    """Only rows of this part of speech fill the slots."""
    number: str | None = None
    """Only rows of this number do."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One protected attribute in one locale; equal when the content is equal."""

    name: str
    locale: str
    groups: tuple[str, ...]
    tuples: tuple[WordTuple, ...]
    names: tuple[tuple[str, ...], ...]
    """First names aligned by rough frequency, one per group; empty where a row has none for a group."""
    do_not_flip: tuple[Exemption, ...]
    licence: str
    provenance: str
    limits: tuple[str, ...]
    templates: tuple[Template, ...] = ()
    variety: str | None = None
    """The variety or dialect that words and names are from, as a BCP 47 tag (en-GB); none when it is not special."""
    name_certainty: float = NAME_CERTAINTY
    """How sure it is that who bears a first name is of its group, in (0, 1]."""
    less_certain_names: Mapping[str, float] = field(default_factory=dict)
    """First names for which it is another value."""

    def certainty_of_name(self, name: str) -> float:
        """How sure it is that who bears this listed name is of its group, in (0, 1]."""
        return self.less_certain_names.get(name, self.name_certainty)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal: independent of comments and layout of the file."""
        content = [
            self.name,
            self.locale,
            self.groups,
            [list(vars(row).values()) for row in self.tuples],
            self.names,
            [list(vars(entry).values()) for entry in self.do_not_flip],
            self.licence,
            self.provenance,
            self.limits,
            [list(vars(template).values()) for template in self.templates],
            self.variety,
            self.name_certainty,
            sorted(self.less_certain_names.items()),
        ]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axis) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def group_index(self, group: str) -> int:
        """Position of a group; UsageError with a near match when the axis has no such group."""
        if group not in self.groups:
            raise UsageError(
                f"axis {self.name!r} has no group {group!r}",
                known=f"its groups are {', '.join(self.groups)}{near_match(group, self.groups)}",
            )
        return self.groups.index(group)

    def is_source(self, word: str) -> bool:
        """Whether the lower-case word is recognised in text as a word of one of the groups."""
        return word in self._source_words

    @cached_property
    def _source_words(self) -> frozenset[str]:
        return frozenset(
            word.lower()
            for row in self.tuples
            for group, word in zip(self.groups, row.words, strict=True)
            if word and group in row.sources
        )

    def words(self, *, names: bool = True) -> tuple[str, ...]:
        """Every word that is recognised in text, as the pack writes it; with the first names, unless told otherwise."""
        listed = [
            word
            for row in self.tuples
            for group, word in zip(self.groups, row.words, strict=True)
            if word and group in row.sources
        ]
        return tuple(dict.fromkeys([*listed, *(name for row in self.names if names for name in row if name)]))

    def bins(self, *, names: bool = False) -> tuple[tuple[str, ...], ...]:
        """Words whose probabilities must be folded together, in the case in which the pack writes them.

        The connected components of the aligned rows: she/he are one bin; her/him, her/his and hers/his share
        words and are therefore one bin. Words that are only ever a target (`count`, for `countess`) are left
        out, because in text they mostly mean something else. `names=True` adds one bin for each row of names.
        Consumers add the capitalised and the space-prefixed forms that their tokenizer needs. Source: pair
        folding, techniques 2.3.
        """
        if not names:
            return self._bins
        listed = (tuple(name for name in row if name) for row in self.names)
        return self._bins + tuple(row for row in listed if len(row) > 1)

    @cached_property
    def _bins(self) -> tuple[tuple[str, ...], ...]:
        component: dict[str, list[str]] = {}
        for row in self.tuples:
            words = [word for word in dict.fromkeys(row.words) if self.is_source(word.lower())]
            merged: list[str] = []
            for word in words:
                merged += [known for known in component.get(word, [word]) if known not in merged]
            for word in merged:
                component[word] = merged
        unique = {id(words): words for words in component.values() if len(words) > 1}
        return tuple(tuple(words) for words in unique.values())


def load_axis(name: str, locale: str = "en") -> Axis:
    """The axis of this name and locale, or the one in a TOML file when `name` is a path that ends in `.toml`.

    A locale may name a variety (en-IN): without a pack of its own, the pack of the wider one (en) is used, and a
    warning of the logger `evenhand.axes` says so. Packs of this package win over entry points, so a broken third-party
    pack cannot hide them; a warning says which one is not used. Raises UsageError for an unknown axis (with the near
    match and the list) or an invalid pack (with file and key), BrokenPlugin for an entry point that cannot be loaded.
    """
    from evenhand_sdk.axis_packs import read_axis

    if name.endswith(".toml"):
        return read_axis(Path(name))
    return _load_installed(name, used_locale(name, locale))


def used_locale(name: str, locale: str) -> str:
    """The locale whose pack stands in for this one: itself, or the nearest wider one that has a pack (en-IN: en)."""
    wider = locale
    while f"{name}.{wider}" not in packaged() and f"{name}.{wider}" not in axis_names():
        wider, parted, _ = wider.rpartition("-")
        if not parted:
            return locale
    if wider != locale:
        _say_once(f"axis {name!r} has no pack for {locale!r}: {name}.{wider} is used")
    return wider


@lru_cache(maxsize=256)
def _say_once(what: str) -> None:
    logging.getLogger("evenhand.axes").warning(what)


@lru_cache(maxsize=64)
def _load_installed(name: str, locale: str) -> Axis:
    from evenhand_sdk.axis_packs import parse_axis

    wanted = f"{name}.{locale}"
    pack = resources.files("evenhand_sdk") / "packs" / f"{wanted}.toml"
    if pack.is_file():
        _tell_of_hidden(wanted)
        return parse_axis(pack.read_text(encoding="utf-8"), where=f"{wanted}.toml")
    offers = [entry for entry in _entry_points() if entry.name == wanted]
    if len(offers) > 1:
        raise UsageError(
            f"axis {wanted!r} is offered by {len(offers)} distributions",
            known=", ".join(sorted(_origin(entry) for entry in offers)),
            do="uninstall one of them, or name the TOML file of the one that you mean",
        )
    if offers:
        axis = _load_offer(offers[0], wanted)
        if (axis.name, axis.locale.split("-")[0]) != (name, locale.split("-")[0]):
            raise BrokenPlugin(
                f"axis {wanted!r} is offered, and its pack says that it is '{axis.name}.{axis.locale}'",
                where=_origin(offers[0]), do="give the entry point and the pack the same axis and language",
            )  # fmt: skip
        return axis
    known = axis_names()
    raise UsageError(
        f"unknown axis {name!r} for locale {locale!r}",
        known=f"known axes: {', '.join(known)}{near_match(wanted, known)}",
        do="install a distribution that offers it, or name a TOML file",
    )


def _tell_of_hidden(wanted: str) -> None:
    """Say that other distributions offer an axis that comes with this package."""
    try:
        offers = [entry for entry in _entry_points() if entry.name == wanted]
    except UnicodeDecodeError:  # of any distribution, which `toolkit plugins` names: a broken one hides no pack of ours
        return
    if offers:
        origins = " and ".join(sorted(_origin(entry) for entry in offers))
        _say_once(
            f"axis {wanted!r} is offered by {origins}, too, and is not taken from there: a pack that comes with the "
            "toolkit goes first. Name the TOML file of the other one instead, or give it a name of its own"
        )


def _load_offer(entry: importlib.metadata.EntryPoint, wanted: str) -> Axis:
    try:
        loaded = entry.load()
    except BaseException as problem:  # a third party's module may raise anything
        if stopped(problem):
            raise
        raise BrokenPlugin(
            f"axis {wanted!r} cannot be loaded: {type(problem).__name__}: {problem}", where=_origin(entry)
        ) from problem
    if isinstance(loaded, Axis):
        return loaded
    if isinstance(loaded, str | Path):
        from evenhand_sdk.axis_packs import read_axis

        return read_axis(Path(loaded))
    raise BrokenPlugin(
        f"axis {wanted!r} is of type {type(loaded).__name__}, not an Axis or the path of a TOML file",
        where=_origin(entry),
    )


def axis_names() -> list[str]:
    """Every axis that can be loaded, as `NAME.LOCALE`, sorted; nothing is imported to find out."""
    return sorted(packaged() | {entry.name for entry in _entry_points()})


def packaged() -> frozenset[str]:
    """The axes that come with this package, as `NAME.LOCALE`."""
    names = (entry.name for entry in (resources.files("evenhand_sdk") / "packs").iterdir())
    return frozenset(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def packaged_axes() -> list[Axis]:
    """The axes that come with this package."""
    files = sorted(entry.name for entry in (resources.files("evenhand_sdk") / "packs").iterdir())
    found = [name.removesuffix(".toml").partition(".") for name in files if name.endswith(".toml")]
    return [_load_installed(name, locale) for name, _, locale in found]


def near_match(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` when one of the known words is close, in letters of any case, and nothing otherwise."""
    candidates = {candidate.lower(): candidate for candidate in known}
    stems = {candidate.split(".")[0]: candidate for candidate in candidates}
    word = word.lower()
    close = [
        candidates[found]
        for found in difflib.get_close_matches(word, candidates, n=1)
        or [stems[stem] for stem in difflib.get_close_matches(word.split(".")[0], stems, n=1)]
    ]
    return f"; did you mean {close[0]!r}?" if close else ""


def _entry_points() -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))


def _origin(entry: importlib.metadata.EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
