"""The finished model of a run as its user has it: text, streams, a pipeline and filled masks, by its decoding rules."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.answering import Answering
from evenhand.errors import UsageError

if TYPE_CHECKING:
    from evenhand.replaced_generate import Again
    from evenhand.text_pipeline import TextGeneration


def load_result(folder: Path | str, *, dtype: str = "auto", device: str = "cpu", verify: bool = True) -> Any:
    """Model and tokenizer of a finished run (or of its `model/` folder), live steps and decoding rules in place.

    Raises as `load_finished`.
    """
    from evenhand.restoring import load_finished

    finished = load_finished(folder, dtype=dtype, device=device, verify=verify)
    loaded = finished.loaded
    return Usable(loaded.model, loaded.tokenizer, finished.rules, loaded.info.kind, again=finished.again)


class Usable(Answering):
    """A finished model: `model` and `tokenizer` (it unpacks into both), `generate` for plain text, `fill` for masks."""

    def __init__(self, model: Any, tokenizer: Any, rules: list[Any], kind: str, again: Again | None = None) -> None:
        from evenhand import filling
        from evenhand.attached_rules import attach

        self.model, self.tokenizer, self.rules, self._again = model, tokenizer, rules, again
        if rules and kind == "masked":
            filling.attach(model, tokenizer, rules, again)
        else:
            attach(model, tokenizer, rules, again)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.rules and self._again is None:
            raise UsageError(
                f"{self!r} cannot be copied: its rules are of this model, on which live steps of the run stand",
                where="copy",
                do="load the run once more with evenhand.load",
            )
        return _copied, (self.model, self.tokenizer, self._again)

    def __iter__(self) -> Any:
        return iter((self.model, self.tokenizer))

    def pipeline(self) -> TextGeneration:
        """An object with the interface of transformers' text-generation pipeline, with all decoding rules."""
        from evenhand.text_pipeline import TextGeneration

        return TextGeneration(self.model, self.tokenizer, self.rules)

    def fill(self, texts: str | list[str], *, k: int = 5) -> Any:
        """Masked models: the k likeliest words at the mask of a text, or of each of several, with the decoding rules.

        The mask is written as `tokenizer.mask_token`; each word has its `text`, `token` and `logp`. The model itself
        follows the rules, too: `transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer)` gives the same.
        """
        from evenhand.filling import fill

        return fill(self.model, self.tokenizer, texts, rules=self.rules, k=k)

    def __repr__(self) -> str:
        names = ", ".join(r.name for r in self.rules) or "none"
        return f"<{type(self.model).__name__} with decoding rules: {names}>"


def _copied(model: Any, tokenizer: Any, again: Again | None) -> Usable:
    """A copy with rules that are its own; what its model has in the place of `generate` was copied with the model."""
    copy = Usable.__new__(Usable)
    copy.model, copy.tokenizer, copy._again = model, tokenizer, again
    copy.rules = [] if again is None else list(again(model, tokenizer))
    return copy
