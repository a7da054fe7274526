"""The text of a row without its group words, and the group that they named: what an adversary reads and must not find.

An adversary that saw "she" would read the word and not the trace that a group leaves in the rest of the text. So each
group word and first name is replaced by one placeholder, the same for all groups, and the group whose words occur most
often is the label.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Axis, DataTransform, Needs, Pairing, RunContext, group_words
from evenhand_sdk.data_rows import Fate, Row, RowOptions, RowWork, one_by_one
from evenhand_standard.data.group_words import dominant_group

if TYPE_CHECKING:
    from datasets import Dataset

EXAMPLE: Mapping[str, Sequence[Any]] = {
    "evenhand_masked_gender": ["The nurse said that _ was tired.", "The engineer lost _ keys."],
    "evenhand_group_gender": ["female", "male"],
}
PLACEHOLDER = "_"
"""Stands for a group word in a causal model; a masked model has a token for it."""


@dataclass(frozen=True)
class Masking:
    """Where the masked text and the group of an axis are: columns of the data, and the key of a pairing."""

    axis: str

    @property
    def text(self) -> str:
        return f"evenhand_masked_{self.axis}"

    @property
    def label(self) -> str:
        return f"evenhand_group_{self.axis}"

    @property
    def needs(self) -> Needs:
        """The masked text of a row in the same forward pass, with hidden states, and its group."""
        pairing = Pairing(
            key=self.text,
            pair=lambda text: [],
            of_row=lambda row: [row[self.text]] if row[self.text] else [],
            aligned=False,
        )
        return Needs(columns=(self.text, self.label), counterfactual=pairing, hidden_states=True)


def masked(text: str, axis: Axis, placeholder: str, *, names: bool = True) -> str:
    """The text with the placeholder for every group word, and for first names where `names` is set."""
    first = set() if names else {name.lower() for row in axis.names for name in row if name}
    out, end = "", 0
    for word in group_words(text, axis):
        if text[word.start : word.end].lower() not in first:
            out, end = out + text[end : word.start] + placeholder, word.end
    return out + text[end:]


def labelled(run: RunContext, options: RowOptions, axis: Axis, *, names: bool) -> DataTransform:
    """A transform that gives each row that names a group its masked text and its group, in two columns."""
    work = RowWork(run, options, depends=axis.digest)
    facts: dict[str, Any] = {}
    placeholder, place = placeholder_of(run), Masking(axis.name)

    def each(row: Row) -> Fate:
        group = dominant_group(row.text, axis, names=names)
        if not group:
            return Fate()
        return Fate(columns={place.text: masked(row.text, axis, placeholder, names=names), place.label: group})

    def fn(rows: Dataset) -> Dataset:
        if options.strength == 0:
            return work.untouched(rows)
        out = work.rewrite(rows, one_by_one(each), columns=dict.fromkeys((place.text, place.label), ("string", "")))
        if hasattr(out, "select"):
            counts = dict.fromkeys(axis.groups, 0)
            for label in out[place.label]:
                if label:
                    counts[label] += 1
            facts.update({f"rows that name {group}": number for group, number in counts.items()})
        return out

    return DataTransform(fn=fn, facts=facts, account=work.account)


def placeholder_of(run: RunContext) -> str:
    return str(run.tokenizer.mask_token) if run.kind == "masked" else PLACEHOLDER
