"""A row of a batch that cannot be written any further ends; the error is raised when the others are done."""

from __future__ import annotations

from typing import Any

from evenhand.errors import EvenhandError


class GivenUp:
    """Which prompts of one call of `generate`, or sampled sequences of them, were given up, and why.

    `at_once` is for a caller who answers all prompts again one at a time: then nothing is finished first.
    """

    def __init__(self, *, at_once: bool = False) -> None:
        self.errors: dict[int, EvenhandError] = {}
        self.at_once = at_once

    def rows_of(self, error: EvenhandError) -> list[int]:
        """The rows whose fault an error is; raises it where it is nobody's, or nobody is to be finished first."""
        if self.at_once or not error.rows:
            raise error
        return list(error.rows)

    def add(self, prompt: int, error: EvenhandError) -> None:
        """The first error of a prompt is its reason."""
        self.errors.setdefault(prompt, error)

    def raise_with(self, output: Any, prompts: int, *, each: int = 1) -> None:
        """Raise the first error, if there is one, with what `generate` has written as its `output`.

        Its `rows` are those of the output, which has `each` sequences of every prompt, one after the other.
        """
        if not self.errors:
            return
        error = self.errors[min(self.errors)]
        error.rows = [prompt * each + k for prompt in sorted(self.errors) for k in range(each)]
        error.output = output
        if (count := prompts * each) > 1:
            error.add_note(
                f"{len(error.rows)} of {count} sequences were given up, the error's `rows`, and end in padding; what "
                "the others became is its `output`"
            )
        raise error
