"""Work that plugins order instead of doing it themselves: train, score, generate, look inside.

One implementation each, with the run's seed and settings. `Services` always acts on the model as it is now; another one
can be named. A training that was finished is not repeated when a stopped run is resumed; everything else is computed
each time it is asked for (decision 16).
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.cache import Json, digest_of
from evenhand.contributions import Aggregator, Criterion, DecodingRule, Kind, LossTerm, Request, Response
from evenhand.foreign_precision import copied

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from evenhand.recipe import TrainingSection
    from evenhand.reference import ReferenceModel
    from evenhand.scored_text import SequenceScore, Text
    from evenhand.scoring_precision import Precision
    from evenhand.training_result import TrainingResult


@dataclass(kw_only=True)
class Services:
    """What a plugin reaches as `run.services`."""

    model: PreTrainedModel
    tokenizer: Any
    kind: Kind
    seed: int
    folder: Path
    settings: TrainingSection
    load_base: Callable[[], PreTrainedModel]
    """Gives a fresh copy of the untouched model."""
    rules: Sequence[DecodingRule] = ()
    """The active decoding rules so far."""
    on_event: Callable[[str], None] = lambda text: None
    on_train: Callable[[Dataset, str], None] = lambda data, name: None
    """Told of the data and the name of each training before it begins."""
    keep: bool = False
    """Whether finished trainings stay in `folder`, for a run that may be resumed; whoever made it clears it away."""
    _asked: Counter[str] = field(default_factory=Counter, init=False, repr=False)
    """How often a training was asked for, by what decides its result."""

    def train(
        self,
        data: Dataset,
        terms: Sequence[LossTerm | Aggregator | Criterion] = (),
        *,
        model: PreTrainedModel | None = None,
        trainable: Iterable[str] | None = None,
        max_steps: int | None = None,
        in_place: bool = False,
        name: str = "extra",
        title: str = "Training a copy",
    ) -> tuple[PreTrainedModel, TrainingResult]:
        """Train a copy of the model (or, `in_place`, the model itself) and give it back with what happened.

        In a resumed run, a training on the same model, data, terms and settings that was finished before is read
        instead, and one that was not goes on from its last checkpoint.
        """
        from evenhand.kept_steps import read_training, write_training
        from evenhand.training import restore_terms, train

        self.on_train(data, name)
        target = model or self.model
        if not in_place:
            target = copied(target)
        settings = self.settings.model_copy(update={"max_steps": max_steps, "max_tokens": None} if max_steps else {})
        moving = None if trainable is None else set(trainable)
        place = self.folder / "services" / name
        if self.keep:
            key = self._key(target, data, terms, settings, moving)
            place = self.folder / "services" / f"{name}-{key[:24]}-{self._asked[key]}"
            self._asked[key] += 1
            finished = read_training(place, target)
            if finished is not None:
                restore_terms(terms, settings.language_modelling, place / "final")
                self.on_event(f"{title}: read from before the run was stopped")
                return target, finished
        else:
            shutil.rmtree(place, ignore_errors=True)  # what an earlier one of this name left when it failed
        result = train(
            target,
            self.tokenizer,
            data,
            terms,
            kind=self.kind,
            settings=settings,
            folder=place,
            seed=self.seed,
            trainable=moving,
            reference=self.reference,
            resume=self.keep,
            title=title,
            on_event=self.on_event,
        )
        if self.keep:
            write_training(place, target, result, moving)
        else:
            shutil.rmtree(place, ignore_errors=True)
        return target, result

    def _key(
        self,
        model: PreTrainedModel,
        data: Dataset,
        terms: Sequence[LossTerm | Aggregator | Criterion],
        settings: TrainingSection,
        moving: set[str] | None,
    ) -> str:
        """A digest of what decides a training's result; of terms, what can be told of a function without calling it."""
        from evenhand.proofs import tensor_digests

        rows = hashlib.sha256()
        for row in data:
            rows.update(repr(sorted(row.items())).encode("utf-8", "surrogatepass"))
        return digest_of(
            {
                "model": tensor_digests(model),
                "data": rows.hexdigest(),
                "terms": [_facts(term) for term in terms],
                "settings": settings.model_dump(mode="json"),
                "moving": None if moving is None else sorted(moving),
                "seed": self.seed,
            }
        )

    def kept(self) -> tuple[Counter[str], set[Path]]:
        """The trainings that were asked for and kept until now, for `forget_since`."""
        folder = self.folder / "services"
        return Counter(self._asked), set(folder.iterdir()) if folder.is_dir() else set()

    def forget_since(self, kept: tuple[Counter[str], set[Path]]) -> None:
        """The trainings since then went into something that is stored itself.

        A resumed run does not ask for them again, so they must not be taken for later ones that look alike.
        """
        now = self.kept()[1]
        self._asked = Counter(kept[0])
        for place in now - kept[1]:
            shutil.rmtree(place, ignore_errors=True)

    def score(
        self,
        texts: Sequence[Text],
        *,
        model: PreTrainedModel | None = None,
        rules: Sequence[DecodingRule] = (),
        dtype: Precision = "auto",
        ends: Sequence[int] | None = None,
    ) -> list[SequenceScore]:
        """Log-likelihood in nat of each text, per token (masked models: pseudo-log-likelihood).

        Instead of a text there may be its token ids, with every special token that the model should see. `dtype`
        "float32" is for differences of a few thousandths, which shorter formats do not resolve. Causal models: of each
        text only the last `ends` tokens are scored, where these are given; the others have no score (nan).
        """
        from evenhand.scoring import pll, score_texts

        target = model or self.model
        if self.kind == "masked":
            return pll(target, self.tokenizer, texts, rules=rules, dtype=dtype)
        return score_texts(target, self.tokenizer, texts, kind=self.kind, rules=rules, dtype=dtype, ends=ends)

    def distributions(
        self,
        ids: Sequence[Sequence[int]],
        *,
        model: PreTrainedModel | None = None,
        rules: Sequence[DecodingRule] = (),
        positions: Sequence[Sequence[int]] | None = None,
        dtype: Precision = "auto",
    ) -> list[torch.Tensor]:
        """Next-token log-probabilities [n, V] of each sequence at `positions` (None: all), decoding rules applied.

        Masked models: of each of these tokens when it is masked. `dtype` as in `score`.
        """
        from evenhand.scoring import distributions

        where = positions if positions is not None else [range(len(row)) for row in ids]
        mask = self.tokenizer.mask_token_id if self.kind == "masked" else None
        texts, places = [list(r) for r in ids], [list(p) for p in where]
        return distributions(model or self.model, texts, places, rules=rules, mask_id=mask, dtype=dtype)

    def generate(
        self,
        requests: Sequence[Request],
        *,
        model: PreTrainedModel | None = None,
        rules: Sequence[DecodingRule] | None = None,
        temperature: float = 0.0,
    ) -> list[Response]:
        """Answers to requests in the host's decoding path; `rules` None means the active rules of the run."""
        from evenhand.generation import generate

        return generate(
            model or self.model,
            self.tokenizer,
            requests,
            rules=self.rules if rules is None else rules,
            temperature=temperature,
            seed=self.seed,
        )

    def hidden_states(
        self, texts: Sequence[str], *, model: PreTrainedModel | None = None, batch_size: int = 16
    ) -> Iterator[tuple[list[str], torch.Tensor, torch.Tensor]]:
        """Stream (texts, hidden states [layers + 1, b, T, H], attention mask [b, T]); nothing is kept.

        The first entry is the embeddings; in most families the last has passed the final norm already.
        """
        import torch

        target = (model or self.model).eval()
        side, self.tokenizer.padding_side = self.tokenizer.padding_side, "right"
        try:
            for start in range(0, len(texts), batch_size):
                chunk = list(texts[start : start + batch_size])
                batch = self.tokenizer(
                    chunk, return_tensors="pt", padding=True, truncation=True, max_length=self.settings.max_length
                ).to(target.device)
                with torch.no_grad():
                    out = target(
                        input_ids=batch["input_ids"],
                        attention_mask=batch["attention_mask"],
                        output_hidden_states=True,
                    )
                yield chunk, torch.stack(out.hidden_states), batch["attention_mask"]
        finally:
            self.tokenizer.padding_side = side

    def gradients(
        self, fn: Callable[[PreTrainedModel], torch.Tensor], *, model: PreTrainedModel | None = None
    ) -> dict[str, torch.Tensor]:
        """The gradient of a scalar of the model with respect to each of its parameters, by name."""
        import torch

        target = (model or self.model).eval()
        named = dict(target.named_parameters())
        frozen = {name: p.requires_grad for name, p in named.items()}
        try:
            for p in named.values():
                p.requires_grad_(True)
            grads = torch.autograd.grad(fn(target), list(named.values()), allow_unused=True)
        finally:
            for name, p in named.items():
                p.requires_grad_(frozen[name])
        return {n: g for n, g in zip(named, grads, strict=True) if g is not None}

    def loss_gradients(
        self,
        data: Dataset,
        term: LossTerm | None = None,
        *,
        model: PreTrainedModel | None = None,
        seed: int | None = None,
        title: str = "Measuring gradients",
    ) -> dict[str, torch.Tensor]:
        """The mean gradient of a loss term over the rows of a data set, by parameter name, in evaluation mode.

        Without a term, that of the language-modelling loss. Rows are read as a training reads them; `seed` (None: the
        run's) decides which pieces are masked. Weights of terms are left out.
        """
        from evenhand.loss_gradients import loss_gradients

        return loss_gradients(
            model or self.model,
            self.tokenizer,
            data,
            term,
            kind=self.kind,
            max_length=self.settings.max_length,
            seed=self.seed if seed is None else seed,
            reference=self.reference() if term is not None and term.needs.reference else None,
            title=title,
        )

    def reference(self) -> ReferenceModel:
        """The untouched model, for terms that hold on to it; one instance serves one training."""
        from evenhand.reference import ReferenceModel

        return ReferenceModel(self.load_base().eval().requires_grad_(False), kind=self.kind)


def _facts(term: LossTerm | Aggregator | Criterion) -> Json:
    fn: Any = term.measure if isinstance(term, Criterion) else term.fn if isinstance(term, LossTerm) else term.combine
    while hasattr(fn, "__wrapped__"):
        fn = fn.__wrapped__
    made = [getattr(fn, "__module__", ""), getattr(fn, "__qualname__", type(fn).__qualname__)]
    if isinstance(term, Criterion):
        return {"name": term.name, "patience": term.patience, "fn": made}
    if isinstance(term, Aggregator):
        return {"name": term.name, "uses": term.uses, "fn": made}
    needs = term.needs
    return {
        "name": term.name,
        "weight": term.weight,
        "normalise": term.normalise,
        "anchor": term.anchor,
        "columns": list(needs.columns),
        "pairing": needs.counterfactual.key if needs.counterfactual else None,
        "fn": made,
    }
