"""The tweets of Davidson et al. (2017), where hateful or offensive counts as 1 and all others as 0.

KNOWN BIAS: annotators called African American English offensive far more often (Sap et al. 2019; Davidson, Bhattacharya
and Weber 2019). A model that learns this task learns that, and it is what the gaps between groups show.
"""

from __future__ import annotations

import html
import re
from typing import Final

from evenhand_sdk.benchmark_data import read_rows
from evenhand_standard.labelled_texts import LabelledText, Part, part_of
from evenhand_standard.text_scorers.toxicity_classifier import LINK, TWEETS, USER, normalised

MARKERS: Final = (
    "finna", "tryna", "gon", "iont", "tho", "dat", "dis", "dem", "wit", "imma", "ima", "bouta", "talmbout", "aint",
    "lil", "dey", "yall",
)  # fmt: skip
"""Spellings that are frequent in African American English online (a list of our own, after the phonological spellings
that Blodgett, Green and O'Connor 2016 describe). Writers of other varieties use them, too, and most African American
English has none of them."""
_MARKER: Final = re.compile(r"(?<![\w#@'])(?:" + "|".join(MARKERS) + r")(?![\w'])", re.IGNORECASE)
_RETWEET: Final = re.compile(r'^[!"\s]*RT\b[:\s]*')


def labelled_tweets(part: Part, folder: str | None = None) -> list[LabelledText]:
    """The tweets of a part in the order of the file, each text once, called as its record in the published file.

    Raises DataNotFound, DigestMismatch.
    """
    found: dict[str, LabelledText] = {}
    for row in read_rows(TWEETS, folder):
        text = cleaned(row["tweet"])
        key = normalised(text)
        if key and part_of(key) == part:
            found.setdefault(key, LabelledText(row[""], text, row["class"] != "2"))
    return list(found.values())


def cleaned(text: str) -> str:
    """A tweet as a sentence: links and marks of repeated tweets go, user names become @user."""
    text = _RETWEET.sub("", html.unescape(html.unescape(text)))
    return " ".join(USER.sub("@user", LINK.sub(" ", text)).split())


def marked(text: str) -> bool:
    """Whether a text has a spelling of the list `MARKERS`."""
    return _MARKER.search(text) is not None
