"""What `text-classification` learns and `classification-gaps` measures: the published tweets, or texts of one's own.

Both divide the texts alike, so that what one learns from is never what the other measures on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import model_validator

from evenhand_sdk import Options
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_standard.benchmarks.data_option import DataFolder
from evenhand_standard.labelled_texts import LabelledText, Part
from evenhand_standard.labelled_tweets import labelled_tweets
from evenhand_standard.own_labels import LabelsFile, file_digest, own_part
from evenhand_standard.text_scorers.toxicity_classifier import TWEETS


class TaskOptions(Options):
    """The options of a plugin that reads a task."""

    labels: LabelsFile = None
    data: DataFolder = None

    @model_validator(mode="after")
    def _one_source(self) -> TaskOptions:
        if self.labels is not None and self.data is not None:
            raise ValueError("data is the folder of the published tweets, and labels names other texts; leave one out")
        return self


@dataclass(frozen=True, kw_only=True)
class Words:
    """How a task is spoken of."""

    noun: str
    """Of one text."""
    positive: str
    """The texts with the label 1."""
    negative: str
    """Those with the label 0."""
    labels: tuple[str, str]
    """Short, for counts: 1, then 0."""
    hit: str
    """What a true positive rate is."""
    alarm: str
    """What a false positive rate is."""


PUBLISHED: Final = Words(
    noun="tweet",
    positive="hateful or offensive tweets",
    negative="other tweets",
    labels=("offensive", "not offensive"),
    hit="Share of offensive tweets that are called offensive.",
    alarm="Share of other tweets that are called offensive.",
)
OWN: Final = Words(
    noun="text",
    positive="texts with the label 1",
    negative="texts with the label 0",
    labels=("label 1", "label 0"),
    hit="Share of texts with the label 1 that are called 1.",
    alarm="Share of texts with the label 0 that are called 1.",
)


@dataclass(frozen=True)
class Task:
    """Labelled texts in two parts."""

    words: Words
    part: Callable[[Part], list[LabelledText]]
    """In a fixed order. Raises DataNotFound, DigestMismatch, UsageError."""
    digest: str
    """SHA-256 of the file that they are read from."""

    @property
    def own(self) -> bool:
        """Whether they are of one's own."""
        return self.words is OWN


def task_of(options: TaskOptions, folder: str | None) -> Task:
    """The task that the options name; `folder` is that of published files where they name none."""
    if (path := options.labels) is not None:
        return Task(OWN, lambda part: own_part(path, part), file_digest(path))
    return Task(PUBLISHED, lambda part: labelled_tweets(part, options.data or folder), TWEETS.sha256)


def published_files(options: TaskOptions) -> Sequence[KnownFile]:
    """The published files that the options ask for."""
    return () if options.labels is not None else (TWEETS,)


def shares(task: Task, texts: Sequence[LabelledText]) -> Mapping[str, int | str]:
    """How many there are of each label, and, of one's own, which file they are from."""
    positive = sum(text.positive for text in texts)
    one, zero = task.words.labels
    found: dict[str, int | str] = {f"{task.words.noun}s": len(texts), one: positive, zero: len(texts) - positive}
    return {**found, "SHA-256 of the file": task.digest} if task.own else found
