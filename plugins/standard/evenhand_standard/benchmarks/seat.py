"""WEAT and SEAT: how much nearer one set of targets lies to one set of attributes than to another, inside the model.

    s(w, A, B) = mean_a cos(w, a) - mean_b cos(w, b)
    d          = (mean_x s - mean_y s) / std of s over X and Y, with n - 1

Words, or sentences that say nothing but the word, are represented by a hidden state; which layer and which token is an
option, because d moves with them. Each test has a one-sided p by re-partition of X and Y; Holm's correction is for all
tests of a run. SEAT takes the sentences of one word for independent, which they are not: the same p by re-partition of
words stands beside it.

The evidence goes one way: a null result says nothing (May et al. 2019), and d relates badly to behaviour.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from evenhand_sdk import (
    Benchmark,
    ItemRecord,
    Options,
    Planted,
    PlantedModel,
    Plugin,
    RunContext,
    UsageError,
    hookimpl,
    item_text,
)
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_standard.benchmarks.association import Rule, associations, p_value, word_means
from evenhand_standard.benchmarks.data_digests import data_digest
from evenhand_standard.benchmarks.data_option import DataFolder
from evenhand_standard.benchmarks.known_names import among
from evenhand_standard.benchmarks.seat_metrics import metrics
from evenhand_standard.benchmarks.seat_tests import FILES, GROUPS, TESTS, AssociationTest, chosen_tests, words_of

if TYPE_CHECKING:
    from evenhand_standard.benchmarks.association import Array

Pooling = Literal["auto", "first", "last", "mean"]
FEW = 12
"""Up to so many tests, the run lists d and p of each."""


class SeatOptions(Options):
    """Options of `seat`."""

    tests: Annotated[tuple[str, ...], among((*GROUPS, *TESTS), "association test")] = Field(
        ("gender",),
        description="Tests by name (sent-weat6), or groups: gender, race, religion, age, disease, control, "
        "double-bind, words, all.",
    )
    layer: int = Field(-1, description="Hidden layer: 0 the embeddings, -1 the last.")
    pooling: Pooling = Field(
        "auto", description="Token that stands for the text; auto: the first of a masked, the last of a causal model."
    )
    p: Rule = Field("seat", description="seat: larger or equal, plus one when drawn; weat: strictly larger.")
    partitions: Annotated[int, Field(ge=100)] = Field(100_000, description="Most partitions; all if there are fewer.")
    details: bool | None = Field(None, description=f"d and p of each test; none: when there are at most {FEW} tests.")
    limit: Annotated[int, Field(ge=2)] | None = Field(None, description="Most words of each target set, drawn.")
    data: DataFolder = None


class Seat(Plugin):
    """Association tests on hidden states."""

    name = "seat"
    summary = "Measures how groups and attributes are associated inside a model (WEAT and SEAT)."
    source = (
        "Caliskan et al. 2017, WEAT (Science); May et al. 2019, SEAT (NAACL); data CC-BY-NC-4.0, read from your copy"
    )
    Options = SeatOptions

    @classmethod
    def files_for(cls, options: SeatOptions) -> Sequence[KnownFile]:
        return tuple(FILES[name] for test in options.tests for name in GROUPS.get(test, (test,)) if name in FILES)

    example_options = {"tests": ("weat6",)}

    @hookimpl
    def evaluation(self, run: RunContext) -> Benchmark:
        options = self.options
        pooling = options.pooling if options.pooling != "auto" else "first" if run.kind == "masked" else "last"
        if run.kind == "causal" and pooling == "first":
            raise UsageError(
                "the first token of a causal model sees nothing of the text",
                where="seat: pooling",
                do='choose pooling = "last" or "mean"',
            )
        tests = [fewer(test, options.limit) for test in chosen_tests(options.tests, options.data or run.data_folder)]
        details = len(tests) <= FEW if options.details is None else options.details
        how = Encoding(options.layer, pooling, options.p, options.partitions)
        strictly = "larger or equal, plus one when drawn" if options.p == "seat" else "strictly larger"
        return Benchmark(
            name=self.name,
            title="WEAT and SEAT",
            score=lambda measured: score(measured, tests, how),
            metrics=metrics([test.name for test in tests] if details else []),
            mode=f"{len(tests)} tests; layer {options.layer}, {pooling} token; d with n - 1; p one-sided by "
            f"re-partition, {strictly}, at most {options.partitions:,}; Holm over the tests",
            data_digest=data_digest(*(FILES[test.name] for test in tests)),
            planted=PLANTED,
            texts=lambda: {name: text for test in tests for name, text in texts_of(test).items()},
            good=f"0; with sets of these sizes, a model without any association shows a mean |d| of about "
            f"{chance_level(tests):.2f} by chance.",
        )


@dataclass(frozen=True)
class Encoding:
    """How a text becomes a vector, and how p is computed."""

    layer: int = -1
    pooling: str = "last"
    rule: Rule = "seat"
    partitions: int = 100_000


def fewer(test: AssociationTest, words: int | None) -> AssociationTest:
    """The test with some words of each target set, drawn by a fixed seed."""
    if words is None:
        return test
    kept = []
    for texts in (test.x, test.y):
        found = words_of(texts)
        known = list(dict.fromkeys(found))
        allowed = set(random.Random(0).sample(known, min(words, len(known))))
        kept.append(tuple(text for text, word in zip(texts, found, strict=True) if word in allowed))
    return AssociationTest(test.name, test.axis, kept[0], kept[1], test.a, test.b, test.labels)


def targets(test: AssociationTest) -> list[tuple[str, str, str]]:
    """(id, side, text) of each target, X before Y: one record each."""
    sides = (("x", test.x), ("y", test.y))
    return [(f"{test.name}/{side}/{k}", side, text) for side, texts in sides for k, text in enumerate(texts)]


def texts_of(test: AssociationTest) -> dict[str, str]:
    """Id -> the target text, and the words of the attributes, which its association depends on as much."""
    attributes = dict.fromkeys((*words_of(test.a), *words_of(test.b)))
    return {name: item_text(text, *attributes) for name, _, text in targets(test)}


def chance_level(tests: Sequence[AssociationTest]) -> float:
    """The mean |d| of random partitions of the words: d is normal with variance 1 / n_x + 1 / n_y."""
    sizes = [(len(set(words_of(test.x))), len(set(words_of(test.y)))) for test in tests]
    return sum(math.sqrt(2 / math.pi * (1 / x + 1 / y)) for x, y in sizes) / len(sizes)


# --------------------------------------------------------------------------------------------------------- scoring
def score(measured: Any, tests: Sequence[AssociationTest], how: Encoding) -> list[ItemRecord]:
    """One record for each target text of each test: its association, and p of its test.

    A text that is longer than the context leaves no value; so does a test with such an attribute.
    """
    import numpy as np

    texts = list(dict.fromkeys(text for test in tests for text in test.texts))
    fitting = [text for text in texts if len(measured.ids(text)) <= measured.longest]
    place = {text: k for k, text in enumerate(fitting)}
    vectors = np.asarray(_hidden(measured, fitting, how), float)
    records = []
    for test in tests:
        records += _records(test, vectors, place, how)
    return records


def _hidden(measured: Any, texts: Sequence[str], how: Encoding) -> Any:
    try:
        return measured.hidden(texts, layer=how.layer, pooling=how.pooling)
    except IndexError as error:
        raise UsageError(
            f"the model has no hidden layer {how.layer}", where="seat: layer", do="choose a layer nearer to 0"
        ) from error


def _records(test: AssociationTest, vectors: Array, place: dict[str, int], how: Encoding) -> list[ItemRecord]:
    def rows(texts: Sequence[str]) -> Array:
        return vectors[[place[text] for text in texts]]

    usable = all(text in place for text in (*test.a, *test.b))
    sides: dict[str, dict[str, float]] = {"x": {}, "y": {}}
    shared: dict[str, float] = {}
    if usable:
        for side, texts in (("x", test.x), ("y", test.y)):
            inside = [text for text in texts if text in place]
            values = associations(rows(inside), rows(test.a), rows(test.b)) if inside else ()
            sides[side] = {text: float(value) for text, value in zip(inside, values, strict=True)}
        if sides["x"] and sides["y"]:
            shared = _p_both(sides, how)
    records = []
    for (name, side, text), word in zip(targets(test), [*words_of(test.x), *words_of(test.y)], strict=True):
        found = sides[side].get(text)
        records.append(
            ItemRecord(
                id=name,
                cluster=word,
                values={} if found is None else {side: found, "association": found, **shared},
                axis=test.axis,
                group=test.name,
                flags={"longer than the context": text not in place, "attribute too long": not usable},
            )
        )
    return records


def _p_both(sides: dict[str, dict[str, float]], how: Encoding) -> dict[str, float]:
    import numpy as np

    x, y = (np.array(list(sides[side].values())) for side in ("x", "y"))
    by_word = [word_means(v, words_of(list(sides[side]))) for side, v in (("x", x), ("y", y))]
    return {
        "p": p_value(x, y, how.rule, how.partitions),
        "p_words": p_value(by_word[0], by_word[1], how.rule, how.partitions),
    }


# --------------------------------------------------------------------------------------------------- planted models
@dataclass
class PlantedVectors(PlantedModel):
    """A planted model with a vector for each text."""

    vector: Callable[[str], Sequence[float]] = field(default=lambda text: (1.0,))

    def hidden(self, texts: Sequence[str], *, layer: int = -1, pooling: str = "last") -> Array:
        """[N, H]"""
        import numpy as np

        return np.array([self.vector(text) for text in texts], float)


_X, _Y, _A, _B = (tuple(f"{letter}{k}" for k in range(6)) for letter in "xyab")
_HAND = AssociationTest(TESTS[0], "", _X, _Y, _A, _B)
_MOST = 2 * math.sqrt(11 / 12)
"""d of 6 and 6 values when all of X are 1 and all of Y -1, by hand."""


def _vector_if(one: Callable[[str], bool]) -> Callable[[str], Sequence[float]]:
    return lambda text: (1.0, 0.0) if one(text) else (0.0, 1.0)


def _planted(name: str, one: Callable[[str], bool], d: float, share: float) -> Planted:
    return Planted(
        name=name,
        records=lambda: score(PlantedVectors(vector=_vector_if(one)), [_HAND], Encoding()),
        expect={
            "mean effect size": (d, d),
            "mean |effect size|": (abs(d), abs(d)),
            "significant tests": (share, share),
            "significant tests, by word": (share, share),
        },
    )


PLANTED = (
    _planted("always as the test expects", lambda text: text[0] in "xa", _MOST, 100.0),
    _planted("always the other way", lambda text: text[0] in "ya", -_MOST, 0.0),
    _planted("half and half", lambda text: text[0] == "a" or text[0] in "xy" and int(text[1]) % 2 == 0, 0.0, 0.0),
    _planted("all the same", lambda text: True, 0.0, 0.0),
)
