"""What the audit of a corpus says in a report: facts and bars, and all numbers as tables for a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Bars, Fact, Section
from evenhand_standard.data.corpus_counts import (
    NO_GROUP,
    SEVERAL,
    AxisCounts,
    CorpusCounts,
    cooccurrence_bias,
    dirichlet_pmi,
    label_shares,
    largest_label_gap,
)

if TYPE_CHECKING:
    from evenhand_standard.data.corpus_audit import CorpusAuditOptions

PER = 1000
"""Words to which mentions are related."""
MOST = 10 * PER
"""Words of each list in the file."""
CLASSES = 6
"""Labels, the most frequent first, that a section lists."""


def corpus_section(counts: CorpusCounts, read: int, not_read: Mapping[str, int]) -> Section:
    """Size and duplicates; `not_read` are rows that were left aside, by why."""
    words = sum(counts.words.values())
    facts = [
        Fact(label="rows", value=read),
        *(Fact(label=why, value=count) for why, count in not_read.items()),
        Fact(label="texts", value=counts.documents),
        Fact(label="words", value=words),
        Fact(label="different words", value=len(counts.words)),
        Fact(label="duplicate texts", value=f"{100 * counts.duplicate_rate:.2f} %"),
    ]
    text = (
        "What the training text is made of, as it stood at this step. A text is a duplicate when an earlier one is "
        "equal to it but for case and spaces. Group words are found by the axis packs, which have limits of their own; "
        "a text that names no group may be about anyone."
    )
    return Section(title="Datasheet: training text", text=text, facts=facts)


def axis_section(axis: AxisCounts, counts: CorpusCounts, o: CorpusAuditOptions) -> Section:
    """Who is mentioned how often, beside which words, and under which labels."""
    groups, words = axis.axis.groups, max(1, sum(counts.words.values()))
    facts = []
    for group in groups:
        rate = round(PER * axis.mentions[group] / words, 3)
        facts.append(Fact(label=f"words and names of {group} in {PER:,} words", value=rate))
    for key in (*groups, SEVERAL, NO_GROUP):
        label = {SEVERAL: "texts that mention several groups", NO_GROUP: "texts that mention none"}
        facts.append(Fact(label=label.get(key, f"texts that mention {key} alone"), value=axis.sole[key]))
    facts += pronoun_facts(axis)
    facts += label_facts(axis)
    figures = [
        Bars(
            labels=groups,
            values=[float(axis.mentions[group]) for group in groups],
            caption="How often words and names of each group occur.",
        )
    ]
    for group in groups[:1] if len(groups) == 2 else groups:
        figures += bias_figures(axis, counts, group, o)
    for group in groups:
        figures += pmi_figures(axis, counts, group, o)
    if sizes := bias_size(axis, counts, groups[0], o):
        facts.append(Fact(label=f"mean size of co-occurrence bias, {groups[0]} against others, nat", value=sizes[0]))
        facts.append(Fact(label="words in that mean", value=sizes[1]))
    text = (
        f"Near a group word means at most {o.window} words before or behind it. Co-occurrence bias is the log of how "
        f"much likelier a word is near one group than near the others (Bordia and Bowman 2019); listed are words that "
        f"are near group words at least {o.min_count} times; of rare words it is large by chance. PMI says how much "
        f"likelier a word is near a group than anywhere; {o.alpha:g} pseudo-counts draw small counts towards 0."
    )
    return Section(title=f"Datasheet: {axis.axis.name} in the training text", text=text, facts=facts, figures=figures)


def pronoun_facts(axis: AxisCounts) -> list[Fact]:
    """Pronouns of each group, and the ratio of the first two groups that have any."""
    found = [Fact(label=f"pronouns of {g}", value=axis.pronouns[g]) for g in axis.axis.groups if axis.pronouns[g]]
    used = [g for g in axis.axis.groups if axis.pronouns[g]]
    if len(used) > 1:
        ratio = axis.pronouns[used[0]] / axis.pronouns[used[1]]
        found.append(Fact(label=f"pronouns of {used[0]} for each of {used[1]}", value=round(ratio, 3)))
    return found


def label_facts(axis: AxisCounts) -> list[Fact]:
    """Shares of the most frequent labels by group, and the largest difference between two groups."""
    if not axis.labels:
        return []
    shares = label_shares(axis.labels)
    total: dict[str, int] = {}
    for counts in axis.labels.values():
        for label, n in counts.items():
            total[label] = total.get(label, 0) + n
    found = []
    for label in sorted(total, key=lambda name: (-total[name], name))[:CLASSES]:
        for group in (*axis.axis.groups, NO_GROUP):
            if group in shares:
                n, size = axis.labels[group][label], sum(axis.labels[group].values())
                whose = "texts that mention none" if group == NO_GROUP else f"texts of {group}"
                share = f"{n:,} of {size:,} ({100 * n / size:.1f} %)"
                found.append(Fact(label=f"label {label!r}, {whose}", value=share))
    if gap := largest_label_gap(axis.labels):
        label, high, low, size = gap
        more = f"{label!r}: {high} {100 * size:+.1f} points against {low}"
        found.append(Fact(label="largest difference of a label", value=more))
    return found


def listed(axis: AxisCounts, o: CorpusAuditOptions, group: str, values: Mapping[str, float]) -> dict[str, float]:
    """The values of words that are near enough often enough: for PMI near the group, for bias near any."""
    near = axis.near.get(group, {})
    others = [side for name, side in axis.near.items() if name != group]
    return {w: v for w, v in values.items() if near[w] + sum(side[w] for side in others) >= o.min_count}


def bias_size(axis: AxisCounts, counts: CorpusCounts, group: str, o: CorpusAuditOptions) -> tuple[float, int] | None:
    """Mean |bias| over the listed words, and how many they are."""
    values = listed(axis, o, group, cooccurrence_bias(axis, counts.words, group))
    return (round(sum(map(abs, values.values())) / len(values), 4), len(values)) if values else None


def bias_figures(axis: AxisCounts, counts: CorpusCounts, group: str, o: CorpusAuditOptions) -> list[Bars]:
    """The words nearest to the group and the words nearest to the others."""
    values = listed(axis, o, group, cooccurrence_bias(axis, counts.words, group))
    order = sorted(values, key=lambda w: (-values[w], w))
    shown = order if len(order) <= 2 * o.words else [*order[: o.words], *order[-o.words :]]
    if not shown:
        return []
    others = [g for g in axis.axis.groups if g != group]
    other = others[0] if len(others) == 1 else "the other groups"
    caption = f"Co-occurrence bias in nat: above 0 a word is nearer to {group}, below 0 to {other}."
    return [Bars(labels=shown, values=[round(values[w], 3) for w in shown], caption=caption)]


def pmi_figures(axis: AxisCounts, counts: CorpusCounts, group: str, o: CorpusAuditOptions) -> list[Bars]:
    """The words with the highest PMI with a group."""
    near = axis.near.get(group, {})
    values = {w: v for w, v in dirichlet_pmi(axis, counts.words, group, o.alpha).items() if near[w] >= o.min_count}
    shown = sorted(values, key=lambda w: (-values[w], w))[: o.words]
    if not shown:
        return []
    caption = f"Words with the highest PMI with {group}, in nat, smoothed."
    return [Bars(labels=shown, values=[round(values[w], 3) for w in shown], caption=caption)]


def tables(counts: CorpusCounts, o: CorpusAuditOptions) -> dict[str, Any]:
    """Every number of the audit, as plain JSON types."""
    found: dict[str, Any] = {
        "texts": counts.documents,
        "words": sum(counts.words.values()),
        "duplicate rate": counts.duplicate_rate,
        "options": o.model_dump(mode="json"),
        "axes": {},
    }
    for axis in counts.axes:
        found["axes"][axis.axis.name] = {
            "pack": f"{axis.axis.name}.{axis.axis.locale}",
            "mentions": dict(axis.mentions),
            "pronouns": {group: n for group, n in axis.pronouns.items() if n},
            "texts that mention": dict(axis.texts),
            "texts by sole group": dict(axis.sole),
            "labels": {group: dict(c) for group, c in axis.labels.items()},
            "co-occurrence bias": {
                group: _most(listed(axis, o, group, cooccurrence_bias(axis, counts.words, group)))
                for group in axis.axis.groups
            },
            "PMI": {group: _most(dirichlet_pmi(axis, counts.words, group, o.alpha)) for group in axis.axis.groups},
        }
    return found


def _most(values: Mapping[str, float]) -> dict[str, float]:
    """The largest in size, at most `MOST`."""
    order = sorted(values, key=lambda w: (-abs(values[w]), w))[:MOST]
    return {word: round(values[word], 6) for word in order}
