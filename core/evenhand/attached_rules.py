"""Decoding rules attached to a model: its own `generate` decodes with them, in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from evenhand.contributions import DecodingRule
from evenhand.errors import UsageError
from evenhand.rule_application import Change, finishing, token_changes

OTHER_WAYS = {
    "assistant_model": "with an assistant model",
    "prompt_lookup_num_tokens": "by looking up the prompt",
    "assistant_early_exit": "with an early exit as the assistant",
    "penalty_alpha": "by contrastive search",
    "dola_layers": "by contrasting layers (DoLa)",
    "force_words_ids": "with words that must occur",
    "constraints": "with constraints",
}
"""Ways of decoding that do not choose each token from the distribution after the text so far, by their argument."""


def _demand_known_way(asked: Callable[[str], Any]) -> None:
    """Rules act in greedy decoding, sampling and beam search; another way would be left out without a word."""
    way = next((words for name, words in OTHER_WAYS.items() if asked(name)), None)
    if way is None and (asked("num_beam_groups") or 1) > 1:
        way = "with groups of beams"
    if way is not None:
        raise UsageError(
            f"decoding rules are in force, and they cannot act where text is written {way}",
            where="generate",
            do="decode greedily, by sampling or with plain beams, or undo the rules first",
        )


def attach(model: Any, tokenizer: Any, rules: Sequence[DecodingRule]) -> None:
    """Make `model.generate` itself decode with the rules, in place.

    Beam search uses them as a logits processor, which rules on the key-value cache cannot be: then it raises
    `UsageError`, as for the ways of decoding in which rules cannot act (`OTHER_WAYS`). What the rules changed in each
    sequence of the last call is `model.generate.changes`.
    """
    plain = model.generate
    names = list(inspect.signature(plain).parameters)

    def with_rules(*args: Any, **kwargs: Any) -> Any:
        from evenhand.decoding_loop import Decoder

        if kwargs.get("custom_generate") is not None:
            return plain(*args, **kwargs)
        kwargs |= dict(zip(names, args, strict=False))
        config = kwargs.get("generation_config") or model.generation_config

        def asked(name: str) -> Any:
            found = kwargs.get(name)
            return getattr(config, name, None) if found is None else found

        _demand_known_way(asked)
        beams = asked("num_beams") or 1
        if beams > 1:
            out, found = _by_beams(plain, model, tokenizer, rules, beams, kwargs)
        else:
            decoder = Decoder(rules, streamer=kwargs.pop("streamer", None))
            out = plain(**{**kwargs, "custom_generate": decoder})
            found = decoder.changes
        with_rules.changes = [token_changes(row, tokenizer) for row in found]  # type: ignore[attr-defined]
        return out

    with_rules.evenhand_rules = tuple(rules)  # type: ignore[attr-defined]  # `measure` scores with them, too
    model.generate = with_rules


def _by_beams(
    plain: Callable[..., Any], model: Any, tokenizer: Any, rules: Sequence[DecodingRule], beams: int,
    kwargs: dict[str, Any],
) -> tuple[Any, list[list[Change]]]:  # fmt: skip
    """What the plain `generate` gives with the rules as a logits processor, and what they moved in each sequence."""
    import torch
    from transformers import LogitsProcessorList

    from evenhand.rule_processor import RuleProcessor

    if caching := [r.name for r in rules if r.step is not None]:
        raise UsageError(
            f"the decoding rule {caching[0]!r} acts on the key-value cache, which beams share",
            where="generate",
            do="generate with num_beams=1",
        )
    mask = kwargs.get("attention_mask")
    padding = None if mask is None else (mask == 0).sum(-1).repeat_interleave(beams).tolist()
    processor = RuleProcessor(model, rules, tokenizer, padding=padding)
    processors = LogitsProcessorList([*(kwargs.pop("logits_processor", None) or ()), processor])
    with finishing(rules):
        out = plain(logits_processor=processors, **kwargs)
    return out, processor.changes_of(out if isinstance(out, torch.Tensor) else out.sequences)
