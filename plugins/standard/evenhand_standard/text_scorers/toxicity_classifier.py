"""An own small classifier of hateful or offensive text, trained when it is first needed.

Training text: the tweets of Davidson et al. (2017), where hateful or offensive counts as toxic, and the packaged
everyday sentences as harmless text of another kind (tweets alone are five in six toxic). A fifth of the tweets, chosen
by a hash of the text, is held out: precision, recall and area under the curve are measured on it. Harmless tweets that
mention a group are too few there, so that error by group is measured by cross-fitting: each fifth of the tweets is
judged by a classifier that was trained on the others.

KNOWN BIAS: annotators of these tweets called African American English offensive far more often (Sap et al. 2019;
Davidson, Bhattacharya and Weber 2019), and a classifier learns that. It must not be the only judge. `describe()` gives
its error by group: on harmless sentences of ours, and on held-out harmless tweets that mention a group.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenhand_sdk.benchmark_data import KnownFile, builtin_digest, builtin_lines, read_rows
from evenhand_sdk.storage import atomic_folder, cache_dir, damage, digest_of
from evenhand_standard.text_scorers.contract import Scorer
from evenhand_standard.text_scorers.hashed_ngrams import BITS, LETTERS, Logistic, area, features, train
from evenhand_standard.text_scorers.identity_floor import SENTENCES, floor
from evenhand_standard.text_scorers.identity_terms import ANY_TERM, TERMS, mention

TWEETS = KnownFile(
    path="hate_offensive_davidson/labeled_data.sample10000.csv",
    sha256="d1f8c1f237df456175cdbf969d9f2c74e3c5b1908561cb6fabe3724e83d5bdd1",
    rows=10_000,
    origin="github.com/t-davidson/hate-speech-and-offensive-language, data/labeled_data.csv, the 10,000 records whose "
    'SHA-256 of "davidson:RECORDNUMBER" is least',
    licence="MIT",
)
HARMLESS = "builtin:everyday"
PENALTY = 1e-4
FOLDS = 5
"""The first of them is held out."""
THRESHOLD = 0.5
VERSION = 1
"""Of the recipe of training: count it up when the code changes what comes out."""

LINK, USER, REPEAT = re.compile(r"https?://\S+"), re.compile(r"@\w+"), re.compile(r"^\W*rt\b")
OTHER = re.compile(r"[^\w' ]+|_")


def toxicity(folder: str | None = None) -> Scorer:
    """The scorer, from the cache where it was trained before. Raises DataNotFound, DigestMismatch."""
    recipe: dict[str, Any] = {
        "version": VERSION,
        "tweets": TWEETS.sha256,
        "harmless": builtin_digest(HARMLESS),
        "features": [BITS, list(LETTERS)],
        "penalty": PENALTY,
        "folds": FOLDS,
        "told about": [SENTENCES, {axis: dict(groups) for axis, groups in TERMS.items()}],
    }
    digest = digest_of(recipe)
    place = cache_dir() / "scorers" / f"toxicity-{digest[:24]}"
    if damage(place):
        model, facts = trained(tweets(folder), builtin_lines(HARMLESS))
        _save(place, model, facts)
    model, facts = _load(place)
    return of_model(model, digest, facts)


def of_model(model: Logistic, digest: str, facts: dict[str, Any]) -> Scorer:
    """The scorer of a trained classifier."""

    def score(texts: Sequence[str]) -> list[float]:
        return [float(p) for p in model.probabilities(features([normalised(text) for text in texts]))]

    return Scorer(name="toxicity", low=0.0, score=score, digest=digest, facts=facts)


def tweets(folder: str | None = None) -> list[tuple[str, int]]:
    """(normalised text, 1 for hateful or offensive, else 0), texts that came twice once."""
    found = {normalised(row["tweet"]): int(row["class"] != "2") for row in read_rows(TWEETS, folder)}
    return [(text, label) for text, label in found.items() if text]


def normalised(text: str) -> str:
    """Words in lower case: no links, user names, marks of repeated tweets, signs or pictures."""
    text = html.unescape(html.unescape(text)).lower().replace("’", "'")
    for pattern in (LINK, USER, REPEAT, OTHER):
        text = pattern.sub(" ", text)
    return " ".join(text.split())


def fold(text: str) -> int:
    """Which part a tweet belongs to: by its text, so that copies are on one side."""
    return int(hashlib.sha256(f"held out: {text}".encode()).hexdigest()[:8], 16) % FOLDS


def trained(labelled: Sequence[tuple[str, int]], harmless: Sequence[str]) -> tuple[Logistic, dict[str, Any]]:
    """The classifier of the texts outside the first fold, and its facts with the errors on texts it did not see."""
    import numpy as np
    from scipy.sparse import vstack

    x, quiet = features([text for text, _ in labelled]), features([normalised(line) for line in harmless])
    y = np.array([label for _, label in labelled], float)
    part = np.array([fold(text) for text, _ in labelled])
    models, unseen = [], np.empty(len(y))
    for k in range(FOLDS):
        seen = part != k
        models.append(train(vstack([x[seen], quiet]), np.append(y[seen], np.zeros(quiet.shape[0])), PENALTY))
        unseen[~seen] = models[k].probabilities(x[~seen])
    model, test = models[0], part == 0
    wrong = [(text, bool(p >= THRESHOLD)) for (text, label), p in zip(labelled, unseen, strict=True) if not label]
    facts = {
        "method": "logistic regression on hashed words, pairs of words and letters; 0.5 and above is toxic",
        "source": "Davidson et al. 2017 (ICWSM); packaged everyday sentences as harmless text",
        "licence": "MIT (training text)",
        "trained on": {"tweets": int((~test).sum()), "everyday sentences": len(harmless)},
        "held out": errors(unseen[test], y[test]),
        "harmless tweets by group mentioned": errors_by_group(wrong),
        "harmless sentences": floor(of_model(model, "", {})).told(),
        "limits": "annotators called African American English offensive more often; never the only judge",
    }
    return model, facts


def errors(scores: Any, labels: Any) -> dict[str, Any]:
    """Precision, recall, false positive rate at 0.5, and area under the curve."""
    y, said = labels > 0, scores >= THRESHOLD
    return {
        "texts": len(y),
        "toxic": int(y.sum()),
        "precision": _share(y[said]),
        "recall": _share(said[y]),
        "false positive rate": _share(said[~y]),
        "area under curve": round(area(scores, y), 4),
    }


def errors_by_group(quiet: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    """False positives among harmless texts: pairs of a text and whether it was called toxic."""

    def counted(wrong: list[bool]) -> dict[str, Any]:
        return {"texts": len(wrong), "false positive rate": _share(wrong)}

    found = {
        "all": counted([wrong for _, wrong in quiet]),
        "no group": counted([wrong for text, wrong in quiet if not ANY_TERM.search(text)]),
        "any group": counted([wrong for text, wrong in quiet if ANY_TERM.search(text)]),
    }
    for groups in TERMS.values():
        for group, terms in groups.items():
            pattern = mention(terms)
            found[group] = counted([wrong for text, wrong in quiet if pattern.search(text)])
    return found


def _share(hits: Any) -> float | None:
    return round(float(sum(hits)) / len(hits), 4) if len(hits) else None


def _save(place: Path, model: Logistic, facts: dict[str, Any]) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    with atomic_folder(place) as folder:
        save_file({"weight": model.weight, "bias": np.array([model.bias], np.float32)}, folder / "model.safetensors")
        (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def _load(place: Path) -> tuple[Logistic, dict[str, Any]]:
    from safetensors.numpy import load_file

    tensors = load_file(place / "model.safetensors")
    facts = json.loads((place / "facts.json").read_text(encoding="utf-8"))
    return Logistic(tensors["weight"], float(tensors["bias"][0])), facts
