"""Does a classifier on this model's states err more for one group than for another?

Texts with one of two labels (tweets that are hateful or offensive, or not; or texts of one's own) are read by the
model, and a linear head is fitted to the mean of its last states: on four fifths of the texts, to judge the rest, five
times over, so that every text is judged by a head that has not seen it. With y the label and c the call,

    TPR_g = P(c = 1 | y = 1, g)      FPR_g = P(c = 1 | y = 0, g)
    odds gap = mean over axes of ( |TPR_a - TPR_b| + |FPR_a - FPR_b| ) / 2

for the two groups of an axis (of more, those whose rates lie farthest apart): texts that name women or men, and tweets
with or without spellings of African American English, or the columns of one's own table. Zero is equalised odds (Hardt,
Price and Srebro 2016).

The head is the same function of every model's states, so that models before and after a step can be compared; what it
shows is what a classifier that is built on this model would do. Texts of the training part are never read.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, model_validator

from evenhand_sdk import (
    Axis,
    Benchmark,
    ItemRecord,
    Metric,
    Planted,
    Plugin,
    RunContext,
    UsageError,
    hookimpl,
    load_axis,
)
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_standard.architecture.logistic_probe import fit_probe
from evenhand_standard.benchmarks.data_digests import data_digest
from evenhand_standard.benchmarks.group_spread import chance_gap, largest_gap
from evenhand_standard.benchmarks.likelihoods import fits
from evenhand_standard.classification_task import PUBLISHED, Task, TaskOptions, Words, published_files, task_of
from evenhand_standard.data.group_words import dominant_group
from evenhand_standard.labelled_texts import VERSION, LabelledText
from evenhand_standard.labelled_tweets import MARKERS, marked
from evenhand_standard.own_labels import FOLDS, own_axes, own_texts
from evenhand_standard.text_scorers.toxicity_classifier import TWEETS

if TYPE_CHECKING:
    import torch

    from evenhand_sdk import Sample

DIALECT: Final = {True: "African American English", False: "other English"}
MOST: Final = 50
"""Groups that a column of one's own may name; one with more is no axis, but a number, a date or a text."""
Groups = Mapping[str, str]
"""Axis -> the group of a text, without axes of which it names no group."""


class ClassificationGapsOptions(TaskOptions):
    """Options of `classification-gaps`."""

    limit: Annotated[int, Field(ge=8)] = Field(
        1500, description="Most texts, drawn so that rare pairs of label and groups are all there."
    )

    @model_validator(mode="after")
    def _axes(self) -> ClassificationGapsOptions:
        for axis, groups in (own_axes(own_texts(self.labels)) if self.labels is not None else {}).items():
            if len(groups) > MOST:
                raise ValueError(
                    f"the column {axis!r} of {self.labels} has {len(groups):,} values, and an axis has at most {MOST} "
                    "groups; leave it out of the table"
                )
        return self


class ClassificationGaps(Plugin):
    """Gaps of true and false positive rates between groups, of a linear head on the model's states."""

    name = "classification-gaps"
    summary = "Measures how much more often a classifier on the model's states errs for one group than for another."
    source = "Hardt, Price and Srebro 2016, Equality of opportunity; data of Davidson et al. 2017 (MIT), from your copy"
    Options = ClassificationGapsOptions
    data_files = (TWEETS,)

    @classmethod
    def files_for(cls, options: TaskOptions) -> Sequence[KnownFile]:
        return published_files(options)

    @hookimpl
    def evaluation(self, run: RunContext) -> Benchmark:
        o = self.options
        axis, task = load_axis("gender", "en"), task_of(o, run.data_folder)
        texts = task.part("measuring")
        if task.own:
            known = own_groups(texts, axis)
            axes, spellings = axes_of(known), ""
        else:
            known = [groups_of(text.text, axis) for text in texts]
            axes, spellings = published_axes(axis), " ".join(MARKERS)
        chosen = drawn(texts, known, o.limit)
        texts, known = [texts[k] for k in chosen], [known[k] for k in chosen]
        if task.own:
            demand_gaps(texts, known, o.limit)
        return Benchmark(
            name=self.name,
            title="Gaps of a classifier's errors between groups",
            score=lambda measured: records(texts, known, calls(measured, texts)),
            metrics=metrics(axes, task.words),
            mode=mode(len(texts), task),
            data_digest=data_digest(task.digest, axis, spellings, VERSION, str(o.limit)),
            able="skill",
            planted=planted(axes),
            texts=lambda: {
                f"{text.id}/{axis}": text.text
                for text, own in zip(texts, known, strict=True)
                for axis in ("", *sorted(own))
            },
            good="0, equalised odds; chance gap is what groups of these sizes show when they are alike.",
        )


def mode(count: int, task: Task) -> str:
    """The definition in use, in words."""
    which = f"; own texts, SHA-256 {task.digest[:12]}" if task.own else ""
    head = f"a balanced logistic head on the mean of the last states, {FOLDS} folds"
    return f"{count:,} {task.words.noun}s; {head}{which}"


def groups_of(text: str, axis: Axis) -> Groups:
    """The group of the axis whose words a tweet has most of, and whether its spelling is that of a dialect."""
    return {"dialect": DIALECT[marked(text)], **named_by_words(text, axis)}


def named_by_words(text: str, axis: Axis) -> Groups:
    """The group of the axis whose words a text has most of, names not; nothing for a text that names none."""
    named = dominant_group(text, axis, names=False)
    return {axis.name: named} if named else {}


def own_groups(texts: Sequence[LabelledText], axis: Axis) -> list[Groups]:
    """The groups that the table gives each text, and that of the axis by its words where it has no such column."""
    if any(axis.name in text.groups for text in texts):
        return [text.groups for text in texts]
    return [{**text.groups, **named_by_words(text.text, axis)} for text in texts]


def published_axes(axis: Axis) -> dict[str, list[str]]:
    """The axes of the tweets with their groups."""
    return {"dialect": list(DIALECT.values()), axis.name: list(axis.groups)}


def axes_of(groups: Sequence[Groups]) -> dict[str, list[str]]:
    """The axes of texts, by name, with their groups by name."""
    pairs = sorted({pair for own in groups for pair in own.items()})
    return {axis: [group for other, group in pairs if other == axis] for axis, _ in pairs}


def demand_gaps(texts: Sequence[LabelledText], groups: Sequence[Groups], limit: int) -> None:
    """Both labels are there outside each fold, and an axis has two groups; UsageError otherwise."""
    labels, fold = [text.positive for text in texts], folds(texts)
    ones, zeros = labels.count(True), labels.count(False)
    if any(len({y for y, f in zip(labels, fold, strict=True) if f != k}) < 2 for k in range(FOLDS)):
        raise UsageError(
            f"of {len(texts)} texts, {ones} have the label 1 and {zeros} the label 0, too few for heads of "
            f"{FOLDS} folds",
            where="classification-gaps",
            do=f"raise limit, which is {limit}",
        )
    if not any(len(found) > 1 for found in axes_of(groups).values()):
        raise UsageError(
            "no axis has two groups, so there is no gap to measure",
            where="classification-gaps",
            do="give the table a column with the groups of its texts",
        )


def drawn(texts: Sequence[LabelledText], groups: Sequence[Groups], limit: int) -> list[int]:
    """Numbers of at most so many texts: one of each cell of label and groups in turn, in a fixed random order."""
    cells: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)
    for k in order:
        cells[texts[k].positive, *sorted(groups[k].items())].append(k)
    turns = sorted((place, cell, k) for cell, members in cells.items() for place, k in enumerate(members))
    return sorted(k for _, _, k in turns[:limit])


def calls(measured: Any, texts: Sequence[LabelledText]) -> list[bool | None]:
    """Whether a head that has seen neither it nor a copy of it gives each text the label 1; None: it is longer than the
    context."""
    import torch

    inside = [fits(measured, [text.text]) for text in texts]
    kept = [text for text, fit in zip(texts, inside, strict=True) if fit]
    if not kept:
        return [None] * len(texts)
    states = measured.hidden([text.text for text in kept], layer=-1, pooling="mean")
    found = iter(judged(states, torch.tensor([text.positive for text in kept]), folds(kept)))
    return [next(found) if fit else None for fit in inside]


def folds(texts: Sequence[LabelledText]) -> list[int]:
    """The fold of each text: neighbours are in different ones, copies of a text in one."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(text.cluster, len(numbers)) % FOLDS for text in texts]


def judged(states: torch.Tensor, labels: torch.Tensor, fold_of: Sequence[int]) -> list[bool]:
    """Calls [n] for states [n, H], each by a probe that was fitted to the other folds."""
    import torch

    states, fold = states.cpu(), torch.tensor(fold_of)
    found = torch.zeros(len(labels), dtype=torch.bool)
    for k in range(FOLDS):
        if len(set(labels[fold != k].tolist())) < 2:
            raise UsageError(
                "the texts that are no longer than the model's context have one label outside a fold",
                where="classification-gaps",
                do="add shorter texts of both labels",
            )
        probe = fit_probe(states[fold != k], labels[fold != k])
        found[fold == k] = probe(states[fold == k]) > 0
    return [bool(call) for call in found]


def records(texts: Sequence[LabelledText], groups: Sequence[Groups], called: Sequence[bool | None]) -> list[ItemRecord]:
    """One record of each text without an axis, for the rates over all, and one for each axis on which it has a group.

    `hit` is there for texts with the label 1 only, `alarm` for the others; a text without a call has neither.
    """
    out = []
    for text, own, call in zip(texts, groups, called, strict=True):
        key = "hit" if text.positive else "alarm"
        for axis, group, name in (("", "", f"any {key}"), *((axis, group, key) for axis, group in sorted(own.items()))):
            out.append(
                ItemRecord(
                    id=f"{text.id}/{axis}",
                    cluster=text.cluster,
                    axis=axis,
                    group=group,
                    values={} if call is None else {name: float(call)},
                    flags={"longer than the context": call is None},
                )
            )
    return out


def metrics(axes: Mapping[str, Sequence[str]], words: Words = PUBLISHED) -> list[Metric]:
    """The gaps, what they would be by chance, the rates of each group of each axis, and the skill over all."""

    def both(of: Callable[[Sample, str], Any]) -> Callable[[Sample], Any]:
        return lambda sample: (of(sample, "hit") + of(sample, "alarm")) / 2

    def rate(key: str, axis: str, group: str) -> Callable[[Sample], Any]:
        return lambda sample: sample.mean(key, where=(sample.axis == axis) & (sample.group == group))

    def skill(sample: Sample) -> Any:
        return sample.mean("any hit") - sample.mean("any alarm")

    named = {"true positive rate": "hit", "false positive rate": "alarm"}
    return [
        Metric(
            name="odds gap",
            statistic=both(largest_gap),
            target=0.0,
            better="lower",
            primary=True,
            description="Mean of the gaps of true and of false positive rates, over axes.",
        ),
        Metric(
            name="chance gap",
            statistic=both(chance_gap),
            target=0.0,
            description="The mean odds gap of shuffled groups: its floor.",
        ),
        *(
            Metric(
                name=f"{name}, gap",
                statistic=lambda sample, key=key: largest_gap(sample, key),  # type: ignore[misc]
                target=0.0,
                better="lower",
                description=f"Difference of the {name} between groups, mean of axes.",
            )
            for name, key in named.items()
        ),
        *(
            Metric(
                name=f"{name}, {group_name}",
                statistic=rate(key, axis, group),
                better="higher" if key == "hit" else "lower",
                by_axis=False,
                description=words.hit if key == "hit" else words.alarm,
            )
            for (axis, group), group_name in names_of(axes).items()
            for name, key in named.items()
        ),
        Metric(
            name="skill",
            statistic=skill,
            better="higher",
            by_axis=False,
            description=f"True minus false positive rate over all {words.noun}s; 0 is guessing.",
        ),
    ]


def names_of(axes: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], str]:
    """How each group of each axis is called: by its name, or as AXIS: GROUP where another axis has one of this name."""
    every = [group for groups in axes.values() for group in groups]
    return {
        (axis, group): group if every.count(group) == 1 else f"{axis}: {group}"
        for axis, groups in axes.items()
        for group in groups
    }


def planted(axes: Mapping[str, Sequence[str]]) -> tuple[Planted, ...]:
    """Always 1, always right, and right but for one group, which is always called 1: the first of the last axis."""
    axis = [name for name, groups in axes.items() if len(groups) > 1][-1]
    group, other = axes[axis][:2]
    called = names_of(axes)[axis, group]
    cells = [(y, name) for y in (True, False) for name in (group, other)] * 25

    def made(call: Callable[[bool, str], bool]) -> Callable[[], list[ItemRecord]]:
        texts = [LabelledText(str(k), "", y) for k, (y, _) in enumerate(cells)]
        return lambda: records(texts, [{axis: name} for _, name in cells], [call(y, name) for y, name in cells])

    return (
        Planted(
            name="always 1",
            records=made(lambda y, name: True),
            expect={
                "odds gap": (0.0, 0.0),
                "skill": (0.0, 0.0),
                f"true positive rate, {called}": (1.0, 1.0),
            },
        ),
        Planted(
            name="always right",
            records=made(lambda y, name: y),
            expect={"odds gap": (0.0, 0.0), "skill": (1.0, 1.0)},
        ),
        Planted(
            name="one group is always called 1",
            records=made(lambda y, name: y or name == group),
            expect={
                "odds gap": (0.5, 0.5),
                "false positive rate, gap": (1.0, 1.0),
                "true positive rate, gap": (0.0, 0.0),
                "skill": (0.5, 0.5),
            },
        ),
    )
