"""Do the items of the benchmarks occur in what a run learns from?

Four degrees, from the strictest to the loosest:

- exact: a text of an item stands in a training text word for word (case, punctuation and white space aside);
- 13 words: so many words of an item stand in a training text in a row;
- template: one of both, when all group words count as the same word (he finished his shift, she finished her shift);
- lexicon: an item has a word of a list that a step works with.

The first three are contamination. The fourth is none, but a result on such items holds by construction: their records
get the flag `in_lexicon`. Texts are streamed: only hashes of the benchmarks' items are held.

Source: Brown et al. 2020, appendix C (runs of 13 words); the contamination matrix of this project's reporting protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from evenhand import item_counts
from evenhand.contributions import Benchmark, ItemRecord
from evenhand.errors import Contaminated, PluginFault
from evenhand.plan import stages_of
from evenhand.progress import progress
from evenhand.word_lists import ListedWords, WordFinder, lists_of, packaged_words, texts_of

if TYPE_CHECKING:
    from datasets import Dataset

    from evenhand.plan import Plan
    from evenhand.plugin import Plugin
    from evenhand.recipe import ResolvedStep

KINDS = ("exact", "n_gram", "template")
"""The degrees that are contamination, as `run.json` calls them."""
EXAMPLES = 5
"""Items that are named for each degree, by id."""
UNCHECKED = "not checked: the benchmark gives no texts"

Setting = Literal["report", "fail", "off"]


class Contamination:
    """Compares what a run learns from with the items of its benchmarks, and marks items with words of its steps."""

    def __init__(
        self,
        benchmarks: Mapping[str, Benchmark],
        steps: Sequence[tuple[ResolvedStep, Plugin]],
        setting: Setting = "report",
        *,
        keep: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        """`keep` gets `as_dict` before a contaminated run is refused."""
        self.setting = setting
        self._keep = keep
        off = setting == "off"
        self.lists: list[ListedWords] = [] if off else lists_of(steps)
        self._texts = {} if off else {name: dict(b.texts()) for name, b in benchmarks.items() if b.texts}
        self._names = list(benchmarks)
        self._compared: list[dict[str, Any]] = []
        self._last: Any = None
        self._lexicon = self._with_listed_words()
        self._search = self._index()
        for name, texts in () if off else texts_of(steps):
            self._stream(name, texts)

    def _with_listed_words(self) -> dict[str, set[str]]:
        """By benchmark, the items with a word that a step works with."""
        if not self.lists:
            return {}
        finder = WordFinder(word for listed in self.lists for word in listed.words)
        return {
            name: {item for item, text in texts.items() if finder.occurs(text)} for name, texts in self._texts.items()
        }

    def _index(self) -> Any:
        if not any(self._texts.values()):
            return None
        from evenhand.word_windows import Search

        search = Search([*packaged_words(), *(word for listed in self.lists for word in listed.words)])
        for texts in self._texts.values():
            search.add(texts.values())
        return search

    # ---------------------------------------------------------------------------------------------- what is learnt
    def training(self, rows: Dataset, name: str) -> None:
        """Compare the texts of a training, as it gets them. Raises Contaminated if the recipe asks so."""
        if rows is self._last:
            return  # the same rows, looked at before anything was measured
        self._last = rows
        self._stream(f"training text of {name}", (str(row["text"]) for row in rows), len(rows))
        self.demand()

    def demand_early(self, work: Plan, rows: Any) -> None:
        """As `demand`, before anything is measured; data steps may take texts out, so where there are any, later.

        `rows` is the training data, None where nothing trains.
        """
        self.demand()
        changed = any(s.active and "data" in stages_of(s) for s in work.steps)
        if self.setting == "fail" and work.trains and not changed:
            self.training(rows, next(s.id for s in work.steps if s.plugin is None and s.active))

    def _stream(self, what: str, texts: Iterable[str], total: int | None = None) -> None:
        if self._search is None:
            return
        label = f"Comparing {what} with benchmark items"
        with progress(label, total=total, unit="texts") as bar:
            number = self._search.stream(what, texts, bar.advance)
        self._compared.append({"what": what, "texts": number})

    def demand(self) -> None:
        """Raises Contaminated when items were found and `evaluation.contamination` is "fail"."""
        if self.setting != "fail":
            return
        hits = [(name, overlap) for name in self._texts if any((overlap := self._overlap(name)).values())]
        if not hits:
            return
        if self._keep is not None:
            self._keep(self.as_dict())
        name, overlap = hits[0]
        item, place = next(iter(next(found for found in overlap.values() if found).items()))
        raise Contaminated(
            "items of a benchmark occur in what the run learns from",
            where="evaluation.contamination",
            known="\n  ".join(
                [
                    *(f"{name}: {_counts(overlap, len(self._texts[name]))}" for name, overlap in hits),
                    f"the first is item {item!r} of {name}, in {place}",
                ]
            ),
            do='take these texts out of the data, or write contamination = "report" under [evaluation]',
        )

    # ------------------------------------------------------------------------------------------------- the findings
    def _overlap(self, name: str) -> dict[str, dict[str, str]]:
        """By degree, the items that were found, each with its first place."""
        found: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
        texts = self._texts[name]
        for item, hit in zip(texts, self._search.hits(list(texts.values())), strict=True):
            for kind, place in zip(KINDS, (hit.exact, hit.grams, hit.template), strict=True):
                if place is not None:
                    found[kind][item] = f"{place.what}, text {place.row:,}"
        return found

    def as_dict(self) -> dict[str, Any]:
        """The `contamination` of `run.json`."""
        entries = []
        for name in self._names if self.setting != "off" else ():
            if name not in self._texts:
                entries.append({"id": name, "compared": False, "reason": UNCHECKED})
                continue
            items, overlap = len(self._texts[name]), self._overlap(name)
            entry: dict[str, Any] = {"id": name, "compared": True, "reason": "", "items": items}
            for kind, found in overlap.items():
                examples = [{"item": i, "in": place} for i, place in list(found.items())[:EXAMPLES]]
                entry[kind] = {"items": len(found), "share": _share(len(found), items), "examples": examples}
            listed = self._lexicon.get(name, set())
            examples = [{"item": i, "in": ""} for i in self._texts[name] if i in listed][:EXAMPLES]
            entry["lexicon"] = {"items": len(listed), "share": _share(len(listed), items), "examples": examples}
            entries.append(entry)
        lists = [{"name": x.name, "words": len(x.words), "steps": list(x.steps)} for x in self.lists]
        return {"setting": self.setting, "compared": self._compared, "lists": lists, "benchmarks": entries}

    def marked(self, records: Mapping[str, Sequence[ItemRecord]]) -> dict[str, list[ItemRecord]]:
        """The records, by benchmark id, flagged `in_lexicon` where their items have words that a step works with.

        Raises PluginFault for a record whose item has no text, though the benchmark gives texts.
        """
        return {name: self._marked(name, found) for name, found in records.items()}

    def _marked(self, name: str, records: Sequence[ItemRecord]) -> list[ItemRecord]:
        if name not in self._texts:
            return list(records)
        unknown = next((r.id for r in records if r.id not in self._texts[name]), None)
        if unknown is not None:
            raise PluginFault(
                f"`texts` has no text for item {unknown!r}", where=f"benchmark {name!r}", do="it must have all items"
            )
        if not self.lists:
            return list(records)
        listed = self._lexicon[name]
        return item_counts.marked(records, listed)


def _share(some: int, of: int) -> float:
    return some / of if of else 0.0


def _counts(overlap: Mapping[str, Mapping[str, str]], items: int) -> str:
    words = {"exact": "word for word", "n_gram": "by 13 words in a row", "template": "but for group words"}
    parts = [f"{len(overlap[kind]):,} {words[kind]}" for kind in KINDS]
    return f"of {items:,} items {', '.join(parts)}"
