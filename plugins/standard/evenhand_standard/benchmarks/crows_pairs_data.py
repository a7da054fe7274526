"""The sentence pairs of CrowS-Pairs: the published file, its revisions, and which pairs a revision left as they were.

The revisions name types of bias in several ways: `Race-color` for `race-color`, `autre` for `other`, and one row has
its direction in the place of its type. They are read as what they mean. Spaces around a sentence are taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from evenhand_sdk.benchmark_data import CROWS_PAIRS, KnownFile, read_rows

Version = Literal["original", "revised", "revised-210", "revised-fr", "revised-fr-210", "revised-pikuliak"]
BiasType = Literal[
    "race-color",
    "gender",
    "socioeconomic",
    "nationality",
    "religion",
    "age",
    "sexual-orientation",
    "physical-appearance",
    "disability",
    "other",
]
OTHER = "other"
BIAS_TYPES = tuple(name for name in get_args(BiasType) if name != OTHER)
"""The nine types of the published file; only some revisions have others."""


def _neveol(name: str, sha256: str, rows: int) -> KnownFile:
    return KnownFile(
        path=f"crows_pairs_revised/neveol_2022/{name}",
        sha256=sha256,
        rows=rows,
        delimiter="\t",
        origin=f"github.com/kinit-sk/bias-methodology, data/french_crows/{name} (commit b740019f)",
        licence="CC-BY-SA-4.0",
    )


FILES: Mapping[str, KnownFile] = {
    "original": CROWS_PAIRS,
    "revised": _neveol(
        "crows_pairs_EN_revised.csv", "3724f128cd8d02f026cb10618305e2570c64fc0be3f13c37dc2d20572a752155", 1467
    ),
    "revised-210": _neveol(
        "crows_pairs_EN_revised+210.csv", "c2c449a051ae93a61dae7a882c7a3efdfce04215c492ed2365d01c0861cecafe", 1677
    ),
    "revised-fr": _neveol(
        "crows_pairs_FR.csv", "c22724becd2da955ca61cbf6cad802e65af3be1e43c2335b5d205414903692a3", 1467
    ),
    "revised-fr-210": _neveol(
        "crows_pairs_FR_languagearc_contribution+210.csv",
        "1b5de822b34188375c04b949ec2e2678373b65f81d8f0bfbbef9b7df3958d2e9",
        1677,
    ),
    "revised-pikuliak": KnownFile(
        path="crows_pairs_revised/pikuliak_2023/crows_revised.csv",
        sha256="b9d6b4a77135ee0376cc76037397616a75293b9af7eb5286a98a059d22693162",
        rows=1467,
        origin="github.com/kinit-sk/bias-methodology, data/crows_revised.csv (commit 2acdfb53)",
        licence="CC-BY-SA-4.0",
    ),
}
_FRENCH = "no evidence on a model that was not trained on French"
TITLES: Mapping[str, str] = {
    "original": "",
    "revised": "revised by Névéol et al. 2022",
    "revised-210": "revised and enlarged by Névéol et al. 2022",
    "revised-fr": f"in French, Névéol et al. 2022: {_FRENCH}",
    "revised-fr-210": f"in French and enlarged, Névéol et al. 2022: {_FRENCH}",
    "revised-pikuliak": "revised by Névéol et al. 2022 and Pikuliak et al. 2023",
}
"""What a mode says about the version."""
_TYPES = {"Race-color": "race-color", "autre": OTHER}
_MISTYPED = {("1293", "stereo"): "socioeconomic"}
"""(id, type as written) -> the type that the published file gives to that pair."""


@dataclass(frozen=True)
class Pair:
    """A row of the data."""

    id: str
    more: str
    """The more stereotyping sentence."""
    less: str
    direction: str
    """`stereo`: it shows a stereotype; `antistereo`: the other sentence violates one."""
    bias_type: str

    @property
    def axis(self) -> str:
        """The attribute that the pair is about; `other` is none."""
        return "" if self.bias_type == OTHER else self.bias_type


def pairs_of(known: KnownFile, folder: str | None) -> list[Pair]:
    """The pairs of a file, in its order."""
    return [pair_of(row) for row in read_rows(known, folder)]


def pair_of(row: Mapping[str, str]) -> Pair:
    """The pair of a row."""
    written = row["bias_type"]
    bias_type = _MISTYPED.get((row[""], written), _TYPES.get(written, written))
    return Pair(row[""], row["sent_more"].strip(), row["sent_less"].strip(), row["stereo_antistereo"], bias_type)


def unchanged(pairs: list[Pair], revision: list[Pair]) -> frozenset[str]:
    """The ids of pairs that a revision kept with the same two sentences in the same order."""
    kept = {pair.id: (pair.more, pair.less) for pair in revision}
    return frozenset(pair.id for pair in pairs if kept.get(pair.id) == (pair.more, pair.less))
