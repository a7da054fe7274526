"""Offers a name that fake-sound offers, too."""

from __future__ import annotations

from evenhand.hookspecs import hookimpl
from evenhand.plugin import Plugin


class RowShuffle(Plugin):
    name = "row-shuffle"
    summary = "Another row shuffle."

    @hookimpl
    def data(self, run, split, model):
        return None
