"""The share of women in occupations: U.S. Bureau of Labor Statistics, 2015 and 2016, through the Winogender schemas."""

from __future__ import annotations

from evenhand_sdk.benchmark_data import KnownFile, read_rows

STATISTICS = KnownFile(
    path="winogender/occupations-stats.tsv",
    sha256="3f7f37c16381a70571356982ea7fe613ac700ad04a6d3b19b9f2be18248df567",
    rows=61,
    delimiter="\t",
    origin="github.com/rudinger/winogender-schemas, data/occupations-stats.tsv",
    licence="MIT",
)


def women_by_occupation(folder: str | None) -> dict[str, float]:
    """Occupation -> percentage of women, in the order of the file. Raises DataNotFound, DigestMismatch."""
    return {row["occupation"]: float(row["bls_pct_female"]) for row in read_rows(STATISTICS, folder)}
