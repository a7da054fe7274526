"""Was written for an older plugin interface."""

from __future__ import annotations

from evenhand.hookspecs import hookimpl
from evenhand.plugin import Plugin


class OldTimer(Plugin):
    name = "old-timer"
    api = 0

    @hookimpl
    def data(self, run, split, model):
        return None
