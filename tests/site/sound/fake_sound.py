"""Plugins that keep the contract and do nothing."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from evenhand.hookspecs import hookimpl
from evenhand.plugin import Mitigation, Options, Plugin, StrengthOptions


class ShuffleOptions(StrengthOptions):
    axes: tuple[str, ...] = ("gender",)
    """The axes that the rows
    are about."""
    order: Literal["random", "sorted"] = "random"
    rows: Annotated[int, Field(ge=1, description="How many rows to move.")] = 10


class RowShuffle(Mitigation):
    name = "row-shuffle"
    summary = "Moves rows of the training data."
    source = "Tests of the host."
    Options = ShuffleOptions

    @hookimpl
    def data(self, run, split):
        return None


class QuietDecoding(Mitigation):
    name = "quiet-decoding"
    summary = "Changes decoding of causal models."
    kinds = ("causal",)

    @hookimpl
    def decoding(self, run, model):
        return None


class ImitationOptions(StrengthOptions):
    teacher: str
    others: tuple[str, ...] = ()


class Imitation(Mitigation):
    name = "imitation"
    summary = "Learns from another step."
    Options = ImitationOptions

    @hookimpl
    def objective(self, run, model):
        return None


class WordCountOptions(Options):
    limit: Annotated[int, Field(ge=1)] | None = None


class WordCount(Plugin):
    name = "word-count"
    summary = "Counts words."
    Options = WordCountOptions

    @hookimpl
    def evaluation(self, run):
        return None
