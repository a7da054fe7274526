"""How well a model reads text: what a change costs, to choose one by.

    loss = mean over tokens of  -log p(token | context)

The text is `builtin:everyday`, which a run is not measured with, sentence by sentence or in passages; or what a causal
model writes itself, drawn from its whole distribution: how much the loss rises on that is the divergence of the changed
model from it, in nat per token. Of a masked model a few tokens of each text are masked in turn. Differentiable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evenhand_sdk import RunContext, positions_of, progress
from evenhand_sdk.benchmark_data import builtin_lines
from evenhand_standard.architecture.asked_rows import Asked, Ids, batches, hidden, logits_at

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

TEXT = "everyday"
MASKED_POSITIONS = 4
"""Of each text, how many tokens a masked model is asked for; of a passage, one for each of its texts if more."""
PASSAGE = 20
"""Plain texts that a masked model reads as one, so that quality is also measured where there is much to attend to."""
WRITTEN = 192
"""Tokens of a text that a model writes itself, fewer where it reads fewer."""
AT_ONCE = 16
"""Texts that a model writes side by side."""


@dataclass(frozen=True)
class TextProbe:
    """Texts, ready to be read by models of one tokenizer."""

    texts: tuple[tuple[Asked, ...], ...]
    wanted: tuple[Ids, ...]
    """The tokens that stand at the places of each text."""
    pad: int

    @classmethod
    def of(cls, run: RunContext, model: PreTrainedModel, texts: int, *, together: int = 1) -> TextProbe:
        """So many texts, so many of them `together` in a passage, as far as the model reads."""
        tokenizer, kind = run.tokenizer, run.kind
        lines = builtin_lines(TEXT)
        picked = [lines[k * len(lines) // texts] for k in range(min(texts, len(lines)))]
        passages = [" ".join(picked[k : k + together]) for k in range(0, len(picked), together)]
        longest = positions_of(model)
        chosen = [tuple(tokenizer(text, truncation=True, max_length=longest)["input_ids"]) for text in passages]
        asked, wanted = [], []
        for row in chosen:
            special = set(tokenizer.all_special_ids)
            if kind == "causal":
                places = tuple(t for t in range(1, len(row)) if row[t] not in special)
                asked.append((Asked(row, tuple(t - 1 for t in places)),))
            else:
                plain = [t for t in range(len(row)) if row[t] not in special]
                places = tuple(plain[:: max(1, -(-len(plain) // max(MASKED_POSITIONS, together)))])
                asked.append(tuple(Asked(hidden(row, t, tokenizer), (t,)) for t in places))
            wanted.append(tuple(row[t] for t in places))
        return cls(tuple(asked), tuple(wanted), int(tokenizer.pad_token_id or 0))

    @classmethod
    def written(cls, run: RunContext, model: PreTrainedModel, samples: int) -> TextProbe:
        """So many texts that this causal model writes from the beginning of a text on, with the run's seed."""
        rows = written_rows(run, model, samples)
        asked = tuple((Asked(row, tuple(range(len(row) - 1))),) for row in rows)
        return cls(asked, tuple(row[1:] for row in rows), int(run.tokenizer.pad_token_id or 0))

    @property
    def tokens(self) -> int:
        """How many tokens are asked for."""
        return sum(len(tokens) for tokens in self.wanted)

    def loss(self, model: PreTrainedModel) -> float:
        """The mean loss in nat per token over the texts."""
        return float(self.text_losses(model).sum()) / self.tokens

    def text_losses(self, model: PreTrainedModel) -> torch.Tensor:
        """The summed loss [texts] in nat of each text."""
        import torch

        with torch.no_grad():
            losses = torch.cat([values.double().cpu() for values in self.losses(model)])
        return torch.stack([part.sum() for part in losses.split([len(tokens) for tokens in self.wanted])])

    def losses(self, model: PreTrainedModel) -> Iterator[torch.Tensor]:
        """The losses in nat of the tokens of a few texts, with their gradient."""
        import torch

        both = list(zip(self.texts, self.wanted, strict=True))
        for few in batches(both, lambda text: text[0]):
            logits = logits_at(model, [row for rows, _ in few for row in rows], self.pad)
            tokens = torch.tensor([token for _, row in few for token in row], device=logits.device)
            yield torch.nn.functional.cross_entropy(logits.float(), tokens, reduction="none")


def written_rows(run: RunContext, model: PreTrainedModel, samples: int) -> list[Ids]:
    """Texts drawn from the whole distribution of a causal model, token by token; where one ends the next begins."""
    import torch

    tokenizer = run.tokenizer
    begin = next((k for k in (tokenizer.bos_token_id, tokenizer.eos_token_id) if k is not None), 0)
    length = min(WRITTEN, positions_of(model) - 1)
    generator = torch.Generator().manual_seed(run.seed_for("texts of the model"))
    rows: list[Ids] = []
    model.eval()
    with torch.no_grad(), progress("Writing texts to measure quality on", total=samples, unit="texts") as bar:
        while len(rows) < samples:
            count = min(AT_ONCE, samples - len(rows))
            drawn = torch.full((count, 1), begin)
            past = None
            for _ in range(length):
                out = model(input_ids=drawn[:, -1:].to(model.device), past_key_values=past, use_cache=True)
                chances = out.logits[:, -1].float().softmax(-1).cpu()
                drawn = torch.cat([drawn, torch.multinomial(chances, 1, generator=generator)], dim=1)
                past = out.past_key_values
            rows += [tuple(row) for row in drawn.tolist()]
            bar.advance(count)
    return rows
