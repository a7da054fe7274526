"""How the toolkit's own calls of `generate` write, whatever the model's generation configuration would have.

What it has of lengths, penalties, tokens that are left out, times and stop strings counts as everywhere.
"""

from __future__ import annotations

from typing import Any

PLAIN = {
    "num_return_sequences": 1,
    "return_dict_in_generate": False,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "token_healing": False,
    "prompt_lookup_num_tokens": None,
    "assistant_early_exit": None,
    "dola_layers": None,
    "penalty_alpha": None,
    "constraints": None,
    "force_words_ids": None,
    "stop_strings": None,
}
"""One answer to a request, as token ids, each token chosen from the distribution behind the text so far; stop strings
are found by a criterion of the toolkit, `stop_strings.stopping`."""
OWN_CACHE = {"cache_implementation": None}
"""Of a call that the loop with rules answers: it has a cache of its own. One that transformers made would stay empty,
and a static one would stay on the model, where the next call of `generate`, with rules or without, fails on it."""


def own_way(generation_config: Any) -> dict[str, Any]:
    """The arguments that undo what a model's configuration has of other ways; what it does not have is not named, since
    versions of transformers know different ones."""
    return {name: value for name, value in PLAIN.items() if getattr(generation_config, name, None) not in (None, value)}
