"""Each class breaks the contract in one way."""

from __future__ import annotations

from pydantic import BaseModel

from evenhand.hookspecs import hookimpl
from evenhand.plugin import Options, Plugin


class Unmarked(Plugin):
    name = "unmarked"

    def objective(self, run, model):
        return None


class MistypedArgument(Plugin):
    name = "mistyped-argument"

    @hookimpl
    def data(self, run, splits):
        return None


class LetterClaims(Plugin):
    name = "letter-claims"
    claims = "weights"

    @hookimpl
    def evaluation(self, run):
        return None


class NumberClaims(Plugin):
    name = "number-claims"
    claims = (1,)

    @hookimpl
    def evaluation(self, run):
        return None


class MistypedHook(Plugin):
    name = "mistyped-hook"

    @hookimpl
    def objectives(self, run, model):
        return None


class Defaulted(Plugin):
    name = "defaulted"

    @hookimpl
    def data(self, run, split="train"):
        return None


class Misnamed(Plugin):
    name = "another-name"

    @hookimpl
    def evaluation(self, run):
        return None


class TakenOption(Plugin):
    name = "taken-option"

    class Options(Options):
        active: bool = True

    @hookimpl
    def evaluation(self, run):
        return None


class ForeignOptions(Plugin):
    name = "foreign-options"

    class Options(BaseModel):
        strength: float = 1.0

    @hookimpl
    def evaluation(self, run):
        return None


class NoPlugin:
    name = "no-plugin"


class Hookless(Plugin):
    name = "hookless"


class WrongKind(Plugin):
    name = "wrong-kind"
    kinds = ("casual",)

    @hookimpl
    def evaluation(self, run):
        return None
