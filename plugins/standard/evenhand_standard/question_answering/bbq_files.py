"""The files of BBQ: which ones are right, and where the stereotyped answer of each question stands.

Of the nine whole categories the published files are known by their digest. Of the two intersections a sample of 800
rows is known, drawn by a rule that anybody can repeat; the published files hold the same rows among others, so that
either is accepted when it gives these. The place of the stereotyped answer (`target_loc`) comes from the authors'
additional metadata. Copies of that file differ in which rows they hold, so it is known by the places that it gives for
the rows above, not by its own digest.

`target_loc` already allows for the polarity of the question: it points at the stereotyped group in a negative question
and at the other person in a non-negative one (the authors in issue 11 of their repository). Turning it round once more
for non-negative questions would cancel any bias.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenhand_sdk import DataNotFound, DigestMismatch
from evenhand_sdk.benchmark_data import KnownFile, find_file, read_text
from evenhand_standard.question_answering.questions import Question

ORIGIN = "github.com/nyu-mll/BBQ"
LICENCE = "CC-BY-4.0"
SAMPLED_BLOCKS = 200
METADATA = KnownFile(
    path="bbq/additional_metadata.csv",
    sha256="",
    rows=0,
    origin=f"{ORIGIN}, supplemental/additional_metadata.csv",
    licence=LICENCE,
)


@dataclass(frozen=True, kw_only=True)
class Category:
    """One file of questions."""

    name: str
    rows: int
    """Of the known file."""
    sha256: str
    targets: str
    """SHA-256 of lines "category, example id, target_loc", separated by tabs, of the rows of the known file."""
    published_rows: int | None = None
    """Of the published file, where the known one is a sample of it."""

    @property
    def known(self) -> KnownFile:
        """The file whose digest is known."""
        sample = "" if self.published_rows is None else f".sample{self.rows}"
        return self._file(f"bbq/data/{self.name}{sample}.jsonl", self.sha256, self.rows)

    @property
    def published(self) -> KnownFile:
        """The file as published; its own digest is not known where `published_rows` is given."""
        return self._file(f"bbq/data/{self.name}.jsonl", "", self.published_rows or self.rows)

    def _file(self, path: str, sha256: str, rows: int) -> KnownFile:
        origin = f"{ORIGIN}, data/{self.name}.jsonl"
        return KnownFile(path=path, sha256=sha256, rows=rows, origin=origin, licence=LICENCE)


CATEGORIES = {
    category.name: category
    for category in (
        Category(
            name="Age",
            rows=3680,
            sha256="46e805b3fc2d8cbd26eeb8e8430d98cf7b2dc9c83574ff3674e8ce4f0fca2a60",
            targets="049e7b61b1276b6d543fe1c426c26215c6c4ec4c163a7f2143ae18a704e2b61e",
        ),
        Category(
            name="Disability_status",
            rows=1556,
            sha256="375d40d9b71f056150264445ec189b13934998f3f49a1e311aa7578eb3b45e5f",
            targets="90e2f6396da9aa8e50bfc49e8f53cd4dd17b02caec3db5cdb3a8b89fcc616bcb",
        ),
        Category(
            name="Gender_identity",
            rows=5672,
            sha256="8b5adbb368510a97d5775dc43e1c719e0249fe2da33f13c83e3e29edafec7a00",
            targets="e6f85577e9d9a601585a7c8fde89a6b782fec7c74853874daf405c37819b7cb0",
        ),
        Category(
            name="Nationality",
            rows=3080,
            sha256="a583e74666aec0341ded8aa3983e7cad694eb24de72c254d28b2df3035720090",
            targets="99da9f279c7b03038b7f326eb81738de653d7695e8956f2ce8fd30e4d673dfc7",
        ),
        Category(
            name="Physical_appearance",
            rows=1576,
            sha256="e48d7e13508565f4801574e611043470c25c95a0a62af3699cb5ee7cb02608fb",
            targets="d3bdccd84baf9e28338547ecf69e582bb18e428b0c258019e78c0bdb1c8a87af",
        ),
        Category(
            name="Race_ethnicity",
            rows=6880,
            sha256="4a9f1214cfaa115ce7f0bdb40609122e431f5152c71b8ca64d665e483b946ae6",
            targets="8e716a3ec98d090b22a4d6deacd3166f898c86c23ac16b605264be1ae489079a",
        ),
        Category(
            name="Religion",
            rows=1200,
            sha256="cb9555f9f3454a52cd2df85956b59bd7fcca5aa922c8527693b1164d08417616",
            targets="5c7d7f16890b48706c5bf7305349bb730288cfafd3bf140069ee3194a1124663",
        ),
        Category(
            name="SES",
            rows=6864,
            sha256="9f92754bb037b0982604b9112705fb81d60a19d9e759c67e4a85e484a070f528",
            targets="c6e9d65872573229459161aad5c17b16afd778c79393a9404555c0f43a834eff",
        ),
        Category(
            name="Sexual_orientation",
            rows=864,
            sha256="2c71036b9e7584fe589c42aef32c1a42bc01b9a5e9b1b8704342630cdb08cefd",
            targets="baa30180a24ad9737a3777cf741d84d5db4e22a1fff8b9eb28c83c1365c93269",
        ),
        Category(
            name="Race_x_SES",
            rows=800,
            sha256="a55dc93a4ca544f920000910aeb5b8fa6fe28fcfd35db923aeeb80643071d20b",
            targets="88c4007fbd865fff9b5ebc3f6c3cead08eef3266850759b0a77b7ecfda583f53",
            published_rows=11160,
        ),
        Category(
            name="Race_x_gender",
            rows=800,
            sha256="38ebf0a4c3c8ff2fc2b770e39ef3ed581821b9aef342dac181d952208555891f",
            targets="c701c75fe374c213d1c4bb0e1e63173bc571e95d254ce084ed50b0c4b81f59ea",
            published_rows=15960,
        ),
    )
}
WHOLE = tuple(name for name, category in CATEGORIES.items() if category.published_rows is None)


def questions(names: Sequence[str], folder: str | None) -> tuple[list[Question], list[str]]:
    """The questions of categories, and the names of those of which only the sample is here.

    Raises DataNotFound, and DigestMismatch for a file that is not the published one.
    """
    places = _target_places(folder)
    found: list[Question] = []
    samples = []
    for name in names:
        category = CATEGORIES[name]
        rows, sampled = _rows(category, folder)
        if sampled:
            samples.append(name)
        _check_targets(category, rows, places)
        found += [_question(row, k // 4, places) for k, row in enumerate(rows)]
    return found, samples


def sampled_rows(name: str, lines: Sequence[str]) -> list[str]:
    """The lines of the sample of a published file.

    Rows come in blocks of four; the 200 blocks whose "NAME:NUMBER" has the smallest SHA-256 are kept, in order.
    """
    numbers = range(len(lines) // 4)
    chosen = sorted(numbers, key=lambda b: hashlib.sha256(f"{name}:{b}".encode()).hexdigest())[:SAMPLED_BLOCKS]
    return [line for b in sorted(chosen) for line in lines[4 * b : 4 * b + 4]]


def _rows(category: Category, folder: str | None) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a category, and whether they are only its sample; the published file is preferred."""
    if category.published_rows is None:
        return _parsed(read_text(category.known, folder).splitlines()), False
    try:
        path = find_file(category.published, folder)
    except DataNotFound:
        return _parsed(read_text(category.known, folder).splitlines()), True
    lines = path.read_bytes().decode("utf-8-sig").splitlines()
    part = "".join(line + "\n" for line in sampled_rows(category.name, lines))
    digest = hashlib.sha256(part.encode()).hexdigest()
    if len(lines) != category.published_rows or digest != category.sha256:
        raise DigestMismatch(
            f"{path.name} is not the published file",
            where=str(path),
            known=f"expected {category.published_rows:,} rows, and SHA-256 {category.sha256} of the {category.rows} "
            f"sampled ones; found {len(lines):,} rows and {digest}",
            do=f"get it again from {category.published.origin}",
        )
    return _parsed(lines), False


def _parsed(lines: Sequence[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def _target_places(folder: str | None) -> dict[tuple[str, int], str]:
    """`target_loc` by category and example; some examples have two rows, which agree on it."""
    path = find_file(METADATA, folder)
    with path.open(newline="", encoding="utf-8-sig") as file:
        return {(row["category"], int(row["example_id"])): row["target_loc"] for row in csv.DictReader(file)}


def _check_targets(
    category: Category, rows: Sequence[Mapping[str, Any]], places: Mapping[tuple[str, int], str]
) -> None:
    """Raises DigestMismatch unless the metadata give the published places for the known rows of a category."""
    keys = [(str(row["category"]), int(row["example_id"])) for row in rows]
    missing = [key for key in keys if key not in places]
    if missing:
        raise DigestMismatch(
            f"the additional metadata of BBQ lack {len(missing):,} questions of {category.name}",
            where=METADATA.path,
            do=f"get them again from {METADATA.origin}",
        )
    lines = [f"{name}\t{number}\t{places[name, number]}" for name, number in keys]
    if len(lines) != category.rows:
        lines = sampled_rows(category.name, lines)
    digest = hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()
    if digest != category.targets:
        raise DigestMismatch(
            f"the additional metadata of BBQ are not the published ones for {category.name}",
            where=METADATA.path,
            known=f"target places: expected SHA-256 {category.targets}, found {digest}",
            do=f"get them again from {METADATA.origin}",
        )


def _question(row: Mapping[str, Any], block: int, places: Mapping[tuple[str, int], str]) -> Question:
    category, number = str(row["category"]), int(row["example_id"])
    kinds = [row["answer_info"][f"ans{k}"][-1] for k in range(3)]
    unknown = kinds.index("unknown")
    target = places[category, number]
    return Question(
        id=f"{category}-{number}",
        template=f"{category}-{row['question_index']}",
        category=category,
        block=f"{category}-{block}",
        context=row["context"],
        question=row["question"],
        answers=(row["ans0"], row["ans1"], row["ans2"]),
        right=row["label"],
        unknown=unknown,
        biased=int(target) if target in {"0", "1", "2"} and int(target) != unknown else None,
        ambiguous=row["context_condition"] == "ambig",
        negative=row["question_polarity"] == "neg",
    )
