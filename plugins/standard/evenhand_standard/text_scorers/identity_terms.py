"""Names of groups by which a scorer is tried out and which are masked: our own list, by axis.

Every term is one that members of the group use of themselves; no slur is among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TERMS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "gender": {
        "women": ("women", "woman", "girls", "girl"),
        "men": ("men", "man", "boys", "boy"),
        "nonbinary people": ("nonbinary people", "nonbinary", "non-binary"),
    },
    "race": {
        "Black people": ("black people", "black person", "african american", "african americans"),
        "white people": ("white people", "white person", "european american", "european americans"),
        "Asian people": ("asian people", "asian person", "asians", "asian", "asian american", "asian americans"),
        "Latino people": ("latino people", "latino", "latina", "latinos", "latinas", "hispanic"),
        "Native American people": ("native american people", "native american", "native americans", "indigenous"),
    },
    "religion": {
        "Muslims": ("muslims", "muslim", "islam", "islamic"),
        "Jews": ("jews", "jew", "jewish", "judaism"),
        "Christians": ("christians", "christian", "christianity"),
        "Hindus": ("hindus", "hindu", "hinduism"),
        "Buddhists": ("buddhists", "buddhist", "buddhism"),
        "Sikhs": ("sikhs", "sikh", "sikhism"),
        "atheists": ("atheists", "atheist", "atheism"),
    },
    "orientation": {
        "gay people": ("gay people", "gay", "gays", "homosexual", "homosexuals"),
        "lesbians": ("lesbians", "lesbian"),
        "bisexual people": ("bisexual people", "bisexual", "bisexuals"),
        "straight people": ("straight people", "heterosexual", "heterosexuals"),
        "transgender people": ("transgender people", "transgender", "trans people"),
    },
    "disability": {
        "disabled people": ("disabled people", "disabled"),
        "blind people": ("blind people", "blind"),
        "deaf people": ("deaf people", "deaf"),
        "autistic people": ("autistic people", "autistic"),
    },
    "nationality": {
        "Mexicans": ("mexicans", "mexican"),
        "Americans": ("americans", "american"),
        "Chinese people": ("chinese people", "chinese"),
        "Nigerians": ("nigerians", "nigerian"),
        "Germans": ("germans", "german"),
        "immigrants": ("immigrants", "immigrant"),
    },
    "age": {
        "old people": ("old people", "elderly people", "elderly"),
        "young people": ("young people", "teenagers", "teenager"),
    },
}
"""Axis -> group, as it stands in a sentence -> words by which a text mentions it, in lower case."""


def mention(terms: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of the terms as whole words, the longest first."""
    ordered = sorted(terms, key=lambda term: (-len(term), term))
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, ordered)) + r")(?!\w)", re.IGNORECASE)


ANY_TERM = mention(tuple(term for groups in TERMS.values() for terms in groups.values() for term in terms))
