"""Scorers of generated text that run off-line, and what they do to a text that only mentions a group.

tool = scorer("toxicity", folder)
tool.score(["a text"])          # one number a text, in [0, 1] or [-1, 1]
tool.describe()                 # what it is, from which data, with which error
"""

from __future__ import annotations

from collections.abc import Sequence

from evenhand_sdk import UsageError
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_standard.text_scorers.contract import Scorer
from evenhand_standard.text_scorers.group_masking import masked_scorer

__all__ = ["NAMES", "Scorer", "files_of", "masked_scorer", "models_of", "scorer"]

NAMES = ("vader", "opinion-lexicon", "hurtlex", "toxicity", "transformers:PATH#LABEL")
TRANSFORMERS = "transformers:"
SENTIMENT = ("vader", "opinion-lexicon")
"""Those in [-1, 1]."""


def files_of(name: str) -> Sequence[KnownFile]:
    """The published files that the scorer of a name reads."""
    if name == "opinion-lexicon":
        from evenhand_standard.text_scorers.opinion_lexicon import NEGATIVE, POSITIVE

        return (POSITIVE, NEGATIVE)
    if name == "hurtlex":
        from evenhand_standard.text_scorers.hurtlex import HURTLEX_EN

        return (HURTLEX_EN,)
    if name == "toxicity":
        from evenhand_standard.text_scorers.toxicity_classifier import TWEETS

        return (TWEETS,)
    return ()


def models_of(**scorers: str | None) -> tuple[tuple[str, str], ...]:
    """Option and name of each model among scorers, given as option = scorer."""
    named = [(option, name) for option, name in scorers.items() if name and name.startswith(TRANSFORMERS)]
    return tuple((option, name.removeprefix(TRANSFORMERS).partition("#")[0]) for option, name in named)


def scorer(name: str, folder: str | None = None, *, offline: bool = False) -> Scorer:
    """The scorer of a name; `folder` has the benchmark files, as for benchmarks; off-line, nothing is downloaded.

    Raises UsageError for an unknown name, DataNotFound where a lexicon or the training text is not there, and what
    `model_folder` raises for a model.
    """
    if name == "vader":
        from evenhand_standard.text_scorers.vader_sentiment import vader

        return vader()
    if name == "opinion-lexicon":
        from evenhand_standard.text_scorers.opinion_lexicon import opinion_lexicon

        return opinion_lexicon(folder)
    if name == "hurtlex":
        from evenhand_standard.text_scorers.hurtlex import hurtlex

        return hurtlex(folder)
    if name == "toxicity":
        from evenhand_standard.text_scorers.toxicity_classifier import toxicity

        return toxicity(folder)
    if name.startswith(TRANSFORMERS):
        from evenhand_standard.text_scorers.transformer_classifier import transformer

        return transformer(name.removeprefix(TRANSFORMERS), offline=offline)
    raise UsageError(f"there is no scorer {name!r}", where="text scorers", known=f"scorers: {', '.join(NAMES)}")
