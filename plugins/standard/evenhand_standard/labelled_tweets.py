"""Tweets with a label, in two parts that share no text: one to learn a task from, one to measure it on.

The tweets of Davidson et al. (2017), where hateful or offensive counts as 1 and all others as 0. A quarter of them,
chosen by a hash of the normalised text, is for training; so copies of a text are on one side.

KNOWN BIAS: annotators called African American English offensive far more often (Sap et al. 2019; Davidson, Bhattacharya
and Weber 2019). A model that learns this task learns that, and it is what the gaps between groups show.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from evenhand_sdk.benchmark_data import read_rows
from evenhand_standard.text_scorers.toxicity_classifier import LINK, TWEETS, USER, normalised

Part = Literal["training", "measuring"]
PARTS: Final = 4
"""The first of so many is for training."""
VERSION: Final = "1"
"""Of how tweets are cleaned and divided."""
MARKERS: Final = (
    "finna", "tryna", "gon", "iont", "tho", "dat", "dis", "dem", "wit", "imma", "ima", "bouta", "talmbout", "aint",
    "lil", "dey", "yall",
)  # fmt: skip
"""Spellings that are frequent in African American English online (a list of our own, after the phonological spellings
that Blodgett, Green and O'Connor 2016 describe). Writers of other varieties use them, too, and most African American
English has none of them."""
_MARKER: Final = re.compile(r"(?<![\w#@'])(?:" + "|".join(MARKERS) + r")(?![\w'])", re.IGNORECASE)
_RETWEET: Final = re.compile(r'^[!"\s]*RT\b[:\s]*')


@dataclass(frozen=True)
class Tweet:
    """One labelled tweet."""

    id: str
    """Its record in the published file."""
    text: str
    """Without links, with one word for every user name."""
    offensive: bool
    """Hateful or offensive to most of its annotators."""


def labelled_tweets(part: Part, folder: str | None = None) -> list[Tweet]:
    """The tweets of a part in the order of the file, each text once. Raises DataNotFound, DigestMismatch."""
    found: dict[str, Tweet] = {}
    for row in read_rows(TWEETS, folder):
        text = cleaned(row["tweet"])
        key = normalised(text)
        if key and part_of(key) == part:
            found.setdefault(key, Tweet(row[""], text, row["class"] != "2"))
    return list(found.values())


def part_of(normal: str) -> Part:
    """Which part a normalised text belongs to."""
    drawn = int(hashlib.sha256(f"classification: {normal}".encode()).hexdigest()[:8], 16) % PARTS
    return "measuring" if drawn else "training"


def cleaned(text: str) -> str:
    """A tweet as a sentence: links and marks of repeated tweets go, user names become @user."""
    text = _RETWEET.sub("", html.unescape(html.unescape(text)))
    return " ".join(USER.sub("@user", LINK.sub(" ", text)).split())


def marked(text: str) -> bool:
    """Whether a text has a spelling of the list `MARKERS`."""
    return _MARKER.search(text) is not None


def shares(tweets: Sequence[Tweet]) -> dict[str, int]:
    """How many there are of each label."""
    offensive = sum(tweet.offensive for tweet in tweets)
    return {"tweets": len(tweets), "offensive": offensive, "not offensive": len(tweets) - offensive}
