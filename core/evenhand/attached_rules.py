"""Decoding rules attached to a model: its own `generate` decodes with them, in place."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenhand.contributions import DecodingRule
from evenhand.errors import UsageError
from evenhand.given_up import GivenUp
from evenhand.own_way import OWN_CACHE
from evenhand.replaced_generate import Again, ReplacedGenerate, replaced, rules_inside
from evenhand.rule_application import Change, finishing, token_changes
from evenhand.saved_without import CAUSAL, tell_when_saved

OTHER_WAYS = {
    "assistant_model": "with an assistant model",
    "prompt_lookup_num_tokens": "by looking up the prompt",
    "assistant_early_exit": "with an early exit as the assistant",
    "penalty_alpha": "by contrastive search",
    "dola_layers": "by contrasting layers (DoLa)",
    "force_words_ids": "with words that must occur",
    "constraints": "with constraints",
    "inputs_embeds": "behind embeddings instead of tokens",
    "custom_generate": "by a `custom_generate` of your own",
    "token_healing": "with the last token of the prompt healed",
}
"""Ways of decoding that do not choose each token from the distribution after the text so far, by their argument."""
NOT_KEPT = {"output_attentions": "attentions", "output_hidden_states": "hidden states"}
"""What plain `generate` can give of each forward pass, and the loop with rules does not keep, by its argument."""


def _demand_known_way(asked: Callable[[str], Any]) -> None:
    """Rules act in greedy decoding, sampling and beam search; another way would be left out without a word."""
    given = {name: asked(name) for name in OTHER_WAYS}
    way = next((words for name, words in OTHER_WAYS.items() if hasattr(given[name], "shape") or given[name]), None)
    if way is None and (asked("num_beam_groups") or 1) > 1:
        way = "with groups of beams"
    if way is not None:
        raise UsageError(
            f"decoding rules are in force, and they cannot act where text is written {way}",
            where="generate",
            do="decode greedily, by sampling or with plain beams, or undo the rules first",
        )


def _settings(model: Any, kwargs: Mapping[str, Any]) -> Callable[[str], Any]:
    """name -> what `generate` will take for it: its argument, the configuration it is given, or the model's own.

    A configuration that leaves a setting at the library's default gets the model's; models saved by transformers before
    4.50 do that only when they are told to.
    """
    from packaging.version import parse
    from transformers import GenerationConfig

    own, given = model.generation_config, kwargs.get("generation_config")
    told = kwargs.get("use_model_defaults")
    modern = parse(getattr(own, "transformers_version", None) or "0") >= parse("4.50.0.dev0")
    falls_back = given is not None and (modern if told is None else bool(told))
    default = GenerationConfig()

    def asked(name: str) -> Any:
        if kwargs.get(name) is not None:
            return kwargs[name]
        found = getattr(own if given is None else given, name, None)
        return getattr(own, name, found) if falls_back and found == getattr(default, name, None) else found

    return asked


def _demand_kept(asked: Callable[[str], Any]) -> None:
    """What is asked for is not left empty without a word."""
    wanted = [words for name, words in NOT_KEPT.items() if asked(name)] if asked("return_dict_in_generate") else []
    if wanted:
        raise UsageError(
            f"decoding rules are in force, and the {' and '.join(wanted)} of their loop are not kept",
            where="generate",
            do="read what was written once more, in one forward pass of the model",
        )


def _demand_own_cache(kwargs: Mapping[str, Any]) -> None:
    """A cache that is handed in, to be read or to be filled, is not left as it is without a word."""
    if kwargs.get("past_key_values") is not None:
        raise UsageError(
            "decoding rules are in force, and their loop neither reads nor fills a key-value cache that it is given",
            where="generate",
            do="leave out past_key_values: the loop keeps a cache of its own",
        )


def _stop_by_strings(tokenizer: Any, asked: Callable[[str], Any], kwargs: dict[str, Any]) -> None:
    """Makes the criterion for `stop_strings` here: transformers loses the tokenizer on its way to a loop of ours."""
    from transformers import StoppingCriteriaList, StopStringCriteria

    given = kwargs.pop("tokenizer", None)
    if asked("stop_strings"):
        criterion = StopStringCriteria(
            tokenizer=tokenizer if given is None else given, stop_strings=asked("stop_strings")
        )
        kwargs["stopping_criteria"] = StoppingCriteriaList([*(kwargs.get("stopping_criteria") or ()), criterion])
        kwargs["stop_strings"] = None


def attach(model: Any, tokenizer: Any, rules: Sequence[DecodingRule], again: Again | None = None) -> None:
    """Make `model.generate` itself decode with the rules, in place; what it is then, `Ruled` says.

    Without a rule that acts while text is written (`rules_inside`) the model keeps its own `generate`. `again` makes
    the rules for a copy of the model.
    """
    if inside := rules_inside(rules):
        model.generate = Ruled(model, model.generate, inside, tokenizer=tokenizer, again=again)
        tell_when_saved(model, ", ".join(rule.name for rule in inside), replaced, CAUSAL)


class Ruled(ReplacedGenerate):
    """A model's own `generate`, `plain`, with rules; nothing of the model is changed.

    Beam search uses them as a logits processor, which rules on the key-value cache cannot be: then it raises
    `UsageError`, as for the ways of decoding in which rules cannot act (`OTHER_WAYS`). What the rules changed in each
    sequence of the last call is the attribute `changes`. A prompt that cannot be written any further ends in padding,
    and its error is raised when the others are done, with what they became as its `output`.
    """

    changes: Sequence[Any] = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from evenhand.decoding_loop import Decoder
        from evenhand.rule_processor import RuleProcessor

        model, tokenizer, plain = self.model, self.tokenizer, self.plain
        kwargs |= dict(zip(inspect.signature(plain).parameters, args, strict=False))
        processors = kwargs.get("logits_processor") or ()
        if isinstance(kwargs.get("custom_generate"), Decoder) or any(
            isinstance(each, RuleProcessor) and each.instead for each in processors
        ):
            return plain(**kwargs)
        if _is_own_folder(model, kwargs.get("custom_generate")):  # whose code has led here, or would
            kwargs = {
                name: value for name, value in kwargs.items() if name not in ("custom_generate", "trust_remote_code")
            }
        asked = _settings(model, kwargs)
        _demand_known_way(asked)
        beams, rules = asked("num_beams") or 1, rules_inside(self.evenhand_rules)
        found: list[list[Change]] = []
        try:
            _stop_by_strings(tokenizer, asked, kwargs)
            if beams > 1:
                return by_beams(plain, model, tokenizer, rules, kwargs, found)
            _demand_kept(asked)
            _demand_own_cache(kwargs)
            if asked("cache_implementation") or getattr(model.generation_config, "cache_implementation", None):
                kwargs |= OWN_CACHE
            decoder = Decoder(rules, streamer=kwargs.pop("streamer", None), changes=found)
            return plain(**{**kwargs, "custom_generate": decoder})
        finally:
            self.changes = [token_changes(row, tokenizer) for row in found]


def _is_own_folder(model: Any, given: Any) -> bool:
    """Whether a `custom_generate` names the folder, or the hub's repository, that the model was loaded from."""
    own = getattr(model.config, "_name_or_path", "") or getattr(model, "name_or_path", "")
    if not own or not isinstance(given, str | Path):
        return False
    return str(given) == own or Path(given).absolute() == Path(own).absolute()


def by_beams(
    plain: Callable[..., Any], model: Any, tokenizer: Any, rules: Sequence[DecodingRule], kwargs: dict[str, Any],
    changes: list[list[Change]], given_up: GivenUp | None = None,
) -> Any:  # fmt: skip
    """What the plain `generate` gives for its arguments `kwargs` with the rules as a logits processor; `changes` gets
    what they moved in each sequence. A rule on the key-value cache raises UsageError."""
    import torch
    from transformers import LogitsProcessorList

    from evenhand.rule_processor import RuleProcessor

    if caching := [r.name for r in rules if r.step is not None]:
        raise UsageError(
            f"the decoding rule {caching[0]!r} acts on the key-value cache, which beams share",
            where="generate",
            do="generate with num_beams=1",
        )
    asked = _settings(model, kwargs)
    beams, mask, ids = asked("num_beams"), asked("attention_mask"), asked("input_ids")
    ids = asked("inputs") if ids is None else ids
    width = 1 if ids is None else ids.shape[1]
    padding = None if mask is None else (mask == 0).sum(-1).tolist()
    with RuleProcessor(
        model, rules, tokenizer, padding=padding, beams=beams, given_up=given_up or GivenUp(),
        end=asked("eos_token_id"), room=asked("max_new_tokens") or max(1, (asked("max_length") or 0) - width),
        instead=True,
    ) as processor, finishing(rules):  # fmt: skip
        processors = LogitsProcessorList([*(kwargs.pop("logits_processor", None) or ()), processor])
        out = plain(logits_processor=processors, **kwargs)
    changes += processor.changes_of(out if isinstance(out, torch.Tensor) else out.sequences)
    each = asked("num_return_sequences") or 1
    processor.given_up.raise_with(out, 1 if ids is None else len(ids), each=each)
    return out
