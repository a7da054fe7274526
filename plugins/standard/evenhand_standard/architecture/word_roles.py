"""Which tokens are group words, of which role, as far as a token tells it by itself.

Words that are one token have a role: `pronouns`, or other `words`. A token is taken for its word where it begins one,
as the tokenizer writes it behind another word, and at the very beginning of a text, where many tokenizers write it
without a space. What stands behind it is not asked, since it is not known while a text is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Axis, RunContext, UsageError, single_token
from evenhand_standard.architecture.passes import positions, token_ids

if TYPE_CHECKING:
    import torch

PRONOUNS, WORDS = "pronouns", "words"
_INSIDE, _FIRST, _BEGINS = "role.", "first.", "begins"


@dataclass(frozen=True)
class Roles:
    """Token ids [n] of each role: those that begin a word anywhere, and those that do so at the beginning of a text."""

    inside: Mapping[str, torch.Tensor]
    first: Mapping[str, torch.Tensor]
    begins: int = 0
    """How many special tokens the tokenizer writes in front of a text."""

    @property
    def names(self) -> list[str]:
        return list(self.inside)

    def tensors(self) -> dict[str, torch.Tensor]:
        """For an artifact."""
        import torch

        named = ((prefix, ids) for prefix, ids in ((_INSIDE, self.inside), (_FIRST, self.first)))
        found = {prefix + name: ids for prefix, of_role in named for name, ids in of_role.items()}
        return {**found, _BEGINS: torch.tensor([self.begins])}

    @classmethod
    def read(cls, tensors: Mapping[str, torch.Tensor]) -> Roles:
        """The counterpart of `tensors`."""

        def named(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): ids for k, ids in sorted(tensors.items()) if k.startswith(prefix)}

        return cls(named(_INSIDE), named(_FIRST), int(tensors[_BEGINS]))

    @classmethod
    def of(cls, run: RunContext, axis: Axis) -> Roles:
        """The words of an axis that are one token; a role without any is left out.

        Words that name a person only in some contexts (black, old) have none. Raises UsageError where the tokenizer has
        no word as one token.
        """
        import torch

        inside: dict[str, set[int]] = {PRONOUNS: set(), WORDS: set()}
        first: dict[str, set[int]] = {PRONOUNS: set(), WORDS: set()}
        for role, form in _forms(axis):
            behind = _behind_a_word(run.tokenizer, form)
            alone = single_token(run.tokenizer, form)
            inside[role] |= {behind} - {None}
            first[role] |= {alone} - {None, behind}
        everywhere = inside[PRONOUNS] | inside[WORDS]
        if not everywhere:
            raise UsageError(
                f"no word of the axis {axis.name!r} in {axis.locale!r} is one token of this tokenizer",
                where=f"step {run.step_id!r}",
                known="words that name a person only in some contexts do not count",
                do="take another axis or locale; words of several tokens are not told from others",
            )
        names = [name for name in (PRONOUNS, WORDS) if inside[name]]
        begins = next((k for k, i in enumerate(run.tokenizer("x")["input_ids"]) if i == _last(run.tokenizer, "x")), 0)
        return cls(
            {name: torch.tensor(sorted(inside[name]), dtype=torch.long) for name in names},
            {name: torch.tensor(sorted(first[name] - everywhere), dtype=torch.long) for name in names},
            begins,
        )

    def of_pass(self, args: Any, kwargs: dict[str, Any]) -> torch.Tensor | None:
        """The role [B, T] of each token that a model's body is given, counted from 1, 0 for none; None without any."""
        import torch

        ids = token_ids(args, kwargs)
        if ids is None:
            return None
        roles = torch.zeros_like(ids)
        for number, name in enumerate(self.names, start=1):
            roles[torch.isin(ids, self.inside[name].to(ids.device))] = number
            at_start = torch.isin(ids, self.first[name].to(ids.device))
            if bool(at_start.any()):
                roles[at_start & (positions(ids, kwargs) == self.begins)] = number
        return roles if bool(roles.any()) else None


def _forms(axis: Axis) -> list[tuple[str, str]]:
    """(role, form) of every form of a word that is recognised in text."""
    found: dict[tuple[str, str], None] = {}
    for row in axis.tuples:
        if row.context is not None:
            continue
        role = PRONOUNS if row.pos == "pronoun" else WORDS
        for group, word in zip(axis.groups, row.words, strict=True):
            if not word or group not in row.sources:
                continue
            for form in (word, word.lower(), word.capitalize(), word.upper()):
                if form[0].isupper() or not row.capitalised:
                    found.setdefault((role, form))
    return list(found)


def _behind_a_word(tokenizer: Any, form: str) -> int | None:
    """The one token that is written for a form behind another word."""
    alone = tokenizer("x", add_special_tokens=False)["input_ids"]
    both = tokenizer(f"x {form}", add_special_tokens=False)["input_ids"]
    if len(both) != len(alone) + 1 or both[:-1] != alone or both[-1] == tokenizer.unk_token_id:
        return None
    return int(both[-1])


def _last(tokenizer: Any, text: str) -> int:
    return int(tokenizer(text, add_special_tokens=False)["input_ids"][0])
