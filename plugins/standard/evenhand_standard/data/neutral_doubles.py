"""he or she, his/her, s/he -> they, their, them: generic by themselves, whoever else is named."""

from __future__ import annotations

import re

from evenhand_sdk import Axis
from evenhand_standard.data.plural_agreement import agreeing, applied

DOUBLE = re.compile(
    r"(?<!\w)(?:(he|she|him|her|his|hers|himself|herself)(?: or |/)(he|she|him|her|his|hers|himself|herself)"
    r"|s/he|\(s\)he)(?!\w)",
    re.IGNORECASE,
)


def without_doubles(sentence: str, axis: Axis) -> tuple[str, int]:
    """The sentence with its doubles made neutral, verbs included, and how many there were."""
    changes: list[tuple[int, int, str]] = []
    count = 0
    for match in DOUBLE.finditer(sentence):
        words = {(match[1] or "he").lower(), (match[2] or "she").lower()}
        if len(words) < 2:
            continue
        if words <= {"he", "she"}:
            case = "subject"
        elif words <= {"himself", "herself"}:
            case = "reflexive"
        elif words == {"his", "hers"}:
            case = "possessive"
        elif words == {"his", "her"}:
            case = "determiner"
        elif words == {"him", "her"}:
            case = "object"
        else:
            continue
        row = next((r for r in axis.tuples if r.case == case and r.neutral), None)
        verbs = agreeing(sentence, match.start(), match.end()) if case == "subject" else []
        if row is None or verbs is None:
            continue
        new = row.neutral or ""
        new = new[:1].upper() + new[1:] if match[0][:1].isupper() or match[0] == "S/he" else new
        changes += [(match.start(), match.end(), new), *verbs]
        count += 1
    return applied(sentence, changes), count
