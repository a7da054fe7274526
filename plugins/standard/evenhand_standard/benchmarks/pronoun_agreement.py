"""Pronoun agreement: does a model still say "she ... herself" and "he ... himself"?

Where a pronoun can only mean the subject, its gender is grammar and no stereotype: reflexives ("The woman taught
herself"), and what one can only do with one's own ("shook her head"). For a subject of each gender,

    margin  = log p(rest with the agreeing pronoun | subject and verb) - log p(rest with the other pronoun | the same)
    right   = 1 where margin > 0, a tie counts half

A mitigation that makes a model deaf to gender closes the gap between counterfactual texts and loses this: it is the
control beside `pair-gap`. A benchmark of language quality: less than one point may be lost.

Source: the agreement control of this project's reporting protocol; anaphor agreement after Warstadt et al. 2020
(BLiMP), with sentences of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Benchmark,
    ItemRecord,
    Metric,
    Options,
    Planted,
    PlantedModel,
    Plugin,
    RunContext,
    hookimpl,
    item_text,
)
from evenhand_standard.benchmarks.data_digests import data_digest
from evenhand_standard.benchmarks.drawn_items import drawn

SUBJECTS = (
    ("She", "He"),
    ("The woman", "The man"),
    ("The girl", "The boy"),
    ("My sister", "My brother"),
    ("My daughter", "My son"),
    ("The queen", "The king"),
    ("An old lady", "An old gentleman"),
    ("The waitress", "The waiter"),
    ("Mary", "John"),
    ("Anna", "Peter"),
)
"""The same subject as a woman and as a man."""
REFLEXIVE, POSSESSIVE = ("herself", "himself"), ("her", "his")
PREDICATES = (
    ("looked at", REFLEXIVE, "in the mirror."),
    ("introduced", REFLEXIVE, "to the new neighbours."),
    ("made", REFLEXIVE, "a cup of tea."),
    ("taught", REFLEXIVE, "to play the piano."),
    ("blamed", REFLEXIVE, "for the mistake."),
    ("was talking to", REFLEXIVE, "again."),
    ("wrapped", REFLEXIVE, "in a warm blanket."),
    ("cut", REFLEXIVE, "while slicing the bread."),
    ("had to force", REFLEXIVE, "to smile."),
    ("pulled", REFLEXIVE, "out of the water."),
    ("suddenly found", REFLEXIVE, "alone at the station."),
    ("did not want to repeat", REFLEXIVE, "all evening."),
    ("shook", POSSESSIVE, "head and went on reading."),
    ("held", POSSESSIVE, "breath for a minute."),
    ("cleared", POSSESSIVE, "throat before the speech."),
    ("closed", POSSESSIVE, "eyes and counted to ten."),
    ("raised", POSSESSIVE, "eyebrows at the price."),
    ("shrugged", POSSESSIVE, "shoulders and left."),
    ("changed", POSSESSIVE, "mind at the last moment."),
    ("lost", POSSESSIVE, "balance on the ice."),
    ("clapped", POSSESSIVE, "hands twice."),
    ("bit", POSSESSIVE, "lip and said nothing."),
    ("crossed", POSSESSIVE, "arms and waited."),
    ("could not believe", POSSESSIVE, "eyes that morning."),
)
"""Verb, the forms of the pronoun, and what stands behind it; written for this project."""
MARGIN = 1.0
"""Points of agreement that may be lost."""


class PronounAgreementOptions(Options):
    """Options of `pronoun-agreement`."""

    limit: Annotated[int, Field(ge=1)] | None = Field(None, description="Most sentences, drawn from all 240.")


class PronounAgreement(Plugin):
    """Pronouns that can only mean the subject."""

    name = "pronoun-agreement"
    summary = "Measures language quality: whether pronouns still agree with their subject, she with herself."
    source = "The agreement control of pair-gap (this project), after Warstadt et al. 2020, BLiMP; own sentences"
    Options = PronounAgreementOptions

    @hookimpl
    def evaluation(self, run: RunContext) -> Benchmark:
        items = drawn(sentences(), self.options.limit)
        likelihood = "pseudo-log-likelihood" if run.kind == "masked" else "log-likelihood"
        return Benchmark(
            name=self.name,
            title="Pronoun agreement",
            score=lambda measured: score(measured, items),
            metrics=METRICS,
            quality=True,
            mode=f"{len(items)} of {len(sentences())} own sentences, as a woman and as a man; {likelihood} of pronoun "
            "and rest behind subject and verb",
            data_digest=data_digest(repr(items)),
            planted=planted(run.kind),
            texts=lambda: {item.id: item_text(*(item.whole(k, k) for k in (0, 1))) for item in items},
            good=f"As high as before and near 100, 50 being guessing: the whole interval of the loss must lie within "
            f"{MARGIN:g} point.",
        )


@dataclass(frozen=True)
class Sentence:
    """A subject as a woman and as a man, a verb, both forms of the pronoun, and the rest."""

    id: str
    cluster: str
    subjects: tuple[str, str]
    verb: str
    pronouns: tuple[str, str]
    rest: str

    def parts(self, subject: int, pronoun: int) -> tuple[str, str]:
        """Subject and verb, and what stands behind them with a space in front; 0 is female, 1 is male."""
        return f"{self.subjects[subject]} {self.verb}", f" {self.pronouns[pronoun]} {self.rest}"

    def whole(self, subject: int, pronoun: int) -> str:
        """The sentence."""
        return "".join(self.parts(subject, pronoun))


def sentences() -> list[Sentence]:
    """Every predicate with every subject."""
    return [
        Sentence(f"{p}/{s}", str(p), subjects, verb, pronouns, rest)
        for p, (verb, pronouns, rest) in enumerate(PREDICATES)
        for s, subjects in enumerate(SUBJECTS)
    ]


def score(measured: Any, items: Sequence[Sentence]) -> list[ItemRecord]:
    """One record for each sentence; one that is longer than the context has no values."""
    forms = [(k, other) for k in (0, 1) for other in (k, 1 - k)]
    fits = [all(len(measured.ids(item.whole(*form))) <= measured.longest for form in forms) for item in items]
    asked = [item.parts(*form) for item, fit in zip(items, fits, strict=True) if fit for form in forms]
    scores = iter(measured.continuations(asked))
    return [
        _record(item, [next(scores).total for _ in forms] if fit else None)
        for item, fit in zip(items, fits, strict=True)
    ]


def _record(item: Sentence, found: Sequence[float] | None) -> ItemRecord:
    values: dict[str, float] = {}
    margins = (found[0] - found[1], found[2] - found[3]) if found else ()
    if margins:
        right = [0.5 if m == 0 else float(m > 0) for m in margins]
        values = {
            "right": sum(right) / 2,
            "right_female": right[0],
            "right_male": right[1],
            "margin": sum(margins) / 2,
        }
    return ItemRecord(
        id=item.id,
        cluster=item.cluster,
        values=values,
        group="reflexive" if item.pronouns == REFLEXIVE else "possessive",
        flags={"tie": 0.0 in margins, "longer than the context": found is None},
    )


def _share(name: str, value: str, description: str, **others: Any) -> Metric:
    return Metric(name=name, value=value, scale=100.0, better="higher", unit="%", description=description, **others)


METRICS = (
    _share(
        "agreement",
        "right",
        "Share of sentences in which the pronoun that agrees with the subject is the likelier one.",
        primary=True,
        margin=MARGIN,
    ),
    _share("agreement, she", "right_female", "The share with a woman as the subject."),
    _share("agreement, he", "right_male", "The share with a man as the subject."),
    Metric(
        name="log-odds of the agreeing pronoun",
        value="margin",
        better="higher",
        unit="nat",
        description="How much likelier the agreeing pronoun is on average, the magnitude behind the share.",
    ),
)


# --------------------------------------------------------------------------------------------------------- self-test
def planted(kind: Literal["causal", "masked"]) -> tuple[Planted, ...]:
    """Models that always agree, never, always write of men, and do not care."""
    items = sentences()[:: len(SUBJECTS) + 1]
    level = {}
    for item in items:
        for k in (0, 1):
            for form in (0, 1):
                level[item.parts(k, form)] = (k, form)

    def of(prefers: Callable[[int, int], float], name: str, she: float, he: float, odds: float) -> Planted:
        model = PlantedModel(continuation=lambda c, s: -5.0 + prefers(*level[c, s]), kind=kind)
        near = 1e-6
        return Planted(
            name=name,
            records=lambda: score(model, items),
            expect={
                "agreement": ((she + he) / 2, (she + he) / 2),
                "agreement, she": (she, she),
                "agreement, he": (he, he),
                "log-odds of the agreeing pronoun": (odds - near, odds + near),
            },
        )

    return (
        of(lambda subject, form: float(subject == form), "always agrees", 100.0, 100.0, 1.0),
        of(lambda subject, form: float(subject != form), "never agrees", 0.0, 0.0, -1.0),
        of(lambda subject, form: float(form), "always a man", 0.0, 100.0, 0.0),
        of(lambda subject, form: 0.0, "indifferent", 50.0, 50.0, 0.0),
    )
