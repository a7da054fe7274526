"""The one decoding loop: runs inside `model.generate(custom_generate=...)` and gives rules their extra contexts.

Imported lazily: it loads torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch  # noqa: TID253 - imported inside functions of `generation` only

from evenhand.contributions import DecodingRule
from evenhand.decoding_reader import Reader, under_rule
from evenhand.errors import EvenhandError
from evenhand.given_up import GivenUp
from evenhand.rule_application import Change, finishing
from evenhand.rule_contexts import Moved, after_rules
from evenhand.special_tokens import end_tokens, pad_token


@dataclass
class Decoder:
    """Greedy or sampled decoding with rules; an instance serves one call of `generate`."""

    rules: Sequence[DecodingRule]
    generators: Sequence[torch.Generator] | None = None
    """One for each row: makes a sampled answer independent of what else is in the batch."""
    streamer: Any = None
    """Gets the prompts and each token. Given here, for transformers 4 loses it on its way to a function of ours."""
    changes: list[list[Change]] = field(default_factory=list)
    """For each row, what the rules moved."""
    given_up: GivenUp = field(default_factory=GivenUp)
    """The rows that could not be written to their end."""

    def __call__(
        self,
        model: Any,
        input_ids: torch.Tensor,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        generation_config: Any = None,
        synced_gpus: bool = False,
        streamer: Any = None,
        **kwargs: Any,
    ) -> Any:
        """[B, T] left-padded prompts -> [B, T + new]; called by transformers with its processors and criteria.

        A row that cannot be written any further is filled up, and its error is raised when the others have ended.
        """
        if self.streamer is not None:
            streamer = self.streamer
            streamer.put(input_ids.cpu())
        mask = kwargs.get("attention_mask")
        mask = torch.ones_like(input_ids) if mask is None else mask
        texts = [row[m.bool()].tolist() for row, m in zip(input_ids, mask, strict=True)]
        self.changes[:] = [[] for _ in texts]
        pad, ends = pad_token(generation_config), end_tokens(generation_config)
        room = (generation_config.max_length or input_ids.shape[1]) - input_ids.shape[1]
        open_rows = torch.ones(len(texts), dtype=torch.bool)
        whole = bool(generation_config.return_dict_in_generate)
        kept: dict[str, list[torch.Tensor]] = {
            name: [] for name in ("scores", "logits") if whole and getattr(generation_config, f"output_{name}")
        }
        with Reader(model, self.rules, pad, room) as reader, finishing(self.rules):
            for position in count():
                raw, logits = (x.to(input_ids.device) for x in self._logits(reader, texts, open_rows, position))
                if not open_rows.any():
                    break
                scores = logits_processor(input_ids, logits) if logits_processor else logits
                for name, found in kept.items():
                    found.append(scores if name == "scores" else raw)
                chosen = self._choose(scores, bool(generation_config.do_sample))
                chosen = torch.where(open_rows.to(chosen.device), chosen, pad)
                input_ids = torch.cat([input_ids, chosen[:, None]], dim=1)
                for text, token in zip(texts, chosen.tolist(), strict=True):
                    text.append(token)
                if streamer is not None:
                    streamer.put(chosen.cpu())
                if ends:
                    open_rows &= ~torch.isin(chosen.cpu(), torch.tensor(ends))
                if stopping_criteria is not None:
                    open_rows &= ~stopping_criteria(input_ids, scores).cpu()
                if not open_rows.any():
                    break
        if streamer is not None:
            streamer.end()
        out: Any = input_ids
        if whole:
            from transformers.generation.utils import GenerateDecoderOnlyOutput

            out = GenerateDecoderOnlyOutput(sequences=input_ids, **{name: tuple(found) for name, found in kept.items()})
        self.given_up.raise_with(out, len(texts))
        return out

    def _logits(
        self, reader: Reader, texts: list[list[int]], open_rows: torch.Tensor, position: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, V] of the model and [B, V] after the rules, for the new token at a position; zero in rows that have come
        to their end.

        A row that has no next token is closed, and the others are read again.
        """
        while still := open_rows.nonzero().flatten().tolist():
            try:
                raw, logits, moved = self._mapped(reader, [texts[b] for b in still])
            except EvenhandError as error:
                for row in self.given_up.rows_of(error):
                    self.given_up.add(still[row], error)
                    open_rows[still[row]] = False
                continue
            for row, change in moved:
                self.changes[still[row]].append((position, *change))
            if len(still) == len(texts):
                return raw, logits
            return _among(raw, still, len(texts)), _among(logits, still, len(texts))
        return torch.empty(0), torch.empty(0)

    def _mapped(
        self, reader: Reader, texts: list[list[int]]
    ) -> tuple[torch.Tensor, torch.Tensor, list[tuple[int, Moved]]]:
        """[B, V] behind the texts before and after all rules, and what was moved in which row."""
        plan, raw = reader.read(texts)
        logits, found = after_rules(plan, raw, under_rule)
        return raw[: len(texts)], logits, found

    def _choose(self, scores: torch.Tensor, sample: bool) -> torch.Tensor:
        if not sample:
            return scores.argmax(-1)
        chances = scores.float().softmax(-1)
        if self.generators is None:
            return torch.multinomial(chances, 1).squeeze(1)
        drawn = [torch.multinomial(c, 1, generator=g) for c, g in zip(chances.cpu(), self.generators, strict=True)]
        return torch.cat(drawn).to(scores.device)


def _among(rows: torch.Tensor, places: list[int], count: int) -> torch.Tensor:
    """Rows [n, V] at their places among `count` rows, which are zero elsewhere."""
    whole = rows.new_zeros(count, rows.shape[1])
    whole[places] = rows
    return whole
