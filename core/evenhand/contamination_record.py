"""A typed view of the `contamination` of `run.json`."""

from __future__ import annotations

from pydantic import Field

from evenhand.record_part import Part


class OverlapExample(Part):
    """An item that was found, and where first."""

    item: str = ""
    place: str = Field(default="", alias="in")


class Overlap(Part):
    """How many items of a benchmark were found."""

    items: int = 0
    share: float = 0.0
    examples: list[OverlapExample] = Field(default_factory=list)


class BenchmarkOverlap(Part):
    """What of a benchmark occurs in what the run learnt from, by degree."""

    id: str
    compared: bool = False
    reason: str = ""
    items: int = 0
    exact: Overlap = Overlap()
    n_gram: Overlap = Overlap()
    template: Overlap = Overlap()
    lexicon: Overlap = Overlap()


class ComparedTexts(Part):
    """A collection of texts that benchmark items were looked for in."""

    what: str = ""
    texts: int = 0


class WordList(Part):
    """A word list that steps work with."""

    name: str = ""
    words: int = 0
    steps: list[str] = Field(default_factory=list)


class ContaminationRecord(Part):
    """The comparison of training texts and word lists with the items of the benchmarks."""

    setting: str = "report"
    compared: list[ComparedTexts] = Field(default_factory=list)
    lists: list[WordList] = Field(default_factory=list)
    benchmarks: list[BenchmarkOverlap] = Field(default_factory=list)
