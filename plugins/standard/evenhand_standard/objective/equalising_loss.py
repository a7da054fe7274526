"""The equalising loss at ungrounded person slots, and declustering.

At a slot whose context ctx names no group yet, with pairs (m_i, f_i) of group words of an axis:

    L_eq = mean over slots of  1/|W| sum_i | log p(m_i | ctx) - log p(f_i | ctx) |

With more than two groups it is the variance over groups of log p(w_g | ctx). Where a text names a group, and S_1, S_2
are clusters of words that stereotypes give to the groups,

    L_cl = mean over the predicted positions of  | log sum_{w in S_1} p(w | ctx) - log sum_{w in S_2} p(w | ctx) |

The training adds strength * (weight * L_eq + declustering * L_cl + retention * KL(p0 || p)).

Sources: Qian et al. 2019 (equalising loss, at every position); Garimella et al. 2021 (declustering). Restriction to
ungrounded slots, words of one pair summed by group, and the retention term are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from evenhand_sdk import (
    Axes,
    Batch,
    Locale,
    LossTerm,
    Material,
    Mitigation,
    Needs,
    Outputs,
    Pairing,
    RunContext,
    StrengthOptions,
    UsageError,
    hookimpl,
    load_axis,
    single_token,
)
from evenhand_standard.objective.group_word_tokens import (
    FORMS,
    Spread,
    WordTable,
    aligned_words,
    spread,
    styled,
    word_table,
    written,
)
from evenhand_standard.objective.pair_parity import log_probabilities, nothing
from evenhand_standard.objective.person_slots import Place, SlotReader, Version
from evenhand_standard.objective.retention_term import retention_terms

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ALONE = "a group word that is the only one of its row, which a masked model needs because it reads both sides"
NotNegative = Annotated[float, Field(ge=0.0)]
Cluster = Annotated[tuple[str, ...], Field(min_length=1)]


class EqualisingLossOptions(StrengthOptions):
    """Options of `equalising-loss`; `strength` scales all terms."""

    axes: Axes = ("gender",)
    locale: Locale = "en"
    names: bool = Field(False, description="First names are slots and pairs, too.")
    weight: NotNegative = Field(0.5, description="Weight of the equalising loss beside the language-modelling loss.")
    pieces: Literal["single", "first", "joint"] = Field(
        "single",
        description="Words of several tokens: left out (single), by their first token (first), or only the slot's own "
        "word and its counterparts, whole, scored in the text and in its counterfactual (joint; causal models).",
    )
    form: Literal["auto", "absolute", "variance"] = Field(
        "auto", description="Absolute difference, or variance over groups; auto: variance for more than two groups."
    )
    clusters: tuple[Cluster, ...] = Field((), description="Lists of stereotype words, one a group, for declustering.")
    declustering: NotNegative = Field(0.0, description="Weight of the declustering loss; it needs clusters.")
    retention: NotNegative = Field(0.1, description="Weight of KL(untouched || trained) on ungrouped words.")

    @model_validator(mode="after")
    def _clusters_for_declustering(self) -> EqualisingLossOptions:
        if len(self.clusters) == 1:
            raise ValueError("clusters: one list has nothing to be compared with, give one for each group")
        if self.declustering > 0 and not self.clusters:
            raise ValueError("declustering compares lists of stereotype words: give clusters = [[...], [...]]")
        return self


class EqualisingLoss(Mitigation):
    """Makes the words of all groups equally probable where a text has not yet said whom it is about."""

    name = "equalising-loss"
    summary = "Makes group words equally probable at slots for a person whom nothing before them has placed in a group."
    source = "Qian et al. 2019, Reducing gender bias in word-level language models with a gender-equalizing loss"
    Options = EqualisingLossOptions

    def material(self) -> Material:
        return Material(words={f"cluster {k}": words for k, words in enumerate(self.options.clusters, start=1)})

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> list[LossTerm]:
        o = self.options
        if o.strength == 0:
            return []
        if o.pieces == "joint" and run.kind == "masked":
            raise UsageError(
                "a masked model gives the pieces of a word no joint probability",
                where="option pieces",
                known='"single" and "first" work with masked models',
            )
        axes = [load_axis(name, o.locale) for name in o.axes]
        several = len(axes) > 1
        terms = []
        for axis in axes:
            reader = SlotReader(run.tokenizer, axis, kind=run.kind, names=o.names)
            form: Spread = ("variance" if len(axis.groups) > 2 else "absolute") if o.form == "auto" else o.form
            label = f" ({axis.name})" if several else ""
            equal, pairing = self._equal(reader, form, run)
            terms.append(
                LossTerm(
                    name=f"equalising loss{label}",
                    fn=equal,
                    count=equal.count,
                    weight=o.strength * o.weight,
                    needs=Needs(columns=("text",), counterfactual=pairing),
                )
            )
            if o.declustering > 0:
                tokens = cluster_tokens(run.tokenizer, o.clusters)
                apart = Declustering(reader, tokens, causal=run.kind == "causal")
                terms.append(
                    LossTerm(
                        name=f"declustering{label}",
                        fn=apart,
                        count=apart.count,
                        weight=o.strength * o.declustering,
                        needs=Needs(columns=("text",)),
                    )
                )
        return terms + retention_terms(run, model, axes, names=o.names, weight=o.strength * o.retention)

    def _equal(
        self, reader: SlotReader, form: Spread, run: RunContext
    ) -> tuple[Equalising | JointEqualising, Pairing | None]:
        o, axis = self.options, reader.axis
        key = f"slots/{{}}/{axis.digest}/{'names' if o.names else 'words'}"
        if o.pieces == "joint":
            other = Pairing(
                key=key.format("versions"), pair=lambda text: [v.text for v in reader.versions(text)], aligned=False
            )
            return JointEqualising(reader, other.key, form), other
        words = aligned_words(axis, names=o.names)
        tables = {form: word_table(run.tokenizer, words, form, o.pieces) for form in FORMS}
        if not any(len(table.tokens) for table in tables.values()):
            raise UsageError(
                f"no two groups of the axis {axis.name!r} have a word that is a token of this model",
                where="option pieces",
                do='pieces = "first", or "joint" (causal models)',
            )
        plain = tables["spaced plain"]
        run.logger.info("%s: %d pairs, %d left out (pieces)", axis.name, len(plain.tokens), plain.left_out)
        if run.kind == "causal":
            return Equalising(reader, tables, None, form), None
        gaps = Pairing(key=key.format("gaps"), pair=reader.with_gap, aligned=False, of=ALONE)
        return Equalising(reader, tables, gaps.key, form), gaps


# ------------------------------------------------------------------------------------------------- the terms
class Equalising:
    """The mean over slots of the mean spread of all pairs []; `gaps` is the key of texts with a mask in the slot."""

    def __init__(self, reader: SlotReader, tables: Mapping[str, WordTable], gaps: str | None, form: Spread) -> None:
        self.reader, self.tables, self.gaps, self.form = reader, tables, gaps, form

    def slots(self, batch: Batch) -> list[tuple[int, int, WordTable]]:
        """(row of the logits that fill a slot, position there, the words that may) of each slot of a batch."""
        texts: Sequence[str] = batch.columns["text"]
        found = []
        if self.gaps is None:
            lengths = batch.attention_mask.sum(-1).tolist()
            for b, text in enumerate(texts):
                slot = self.reader.slot(text)
                if slot is not None and slot.place.end <= lengths[b]:
                    found.append((b, slot.place.start - 1, self.tables[written(slot.word, slot.spaced)]))
        else:
            pairs = batch.pairs[self.gaps]
            lengths = pairs.attention_mask.sum(-1).tolist()
            for p, b in enumerate(pairs.rows.tolist()):
                slot = self.reader.slot(texts[b])
                if slot is not None and slot.place.start < lengths[p]:
                    found.append((p, slot.place.start, self.tables[written(slot.word, slot.spaced)]))
        return [item for item in found if len(item[2].tokens)]

    def count(self, batch: Batch) -> float:
        return float(len(self.slots(batch)))

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        found: list[torch.Tensor] = []
        for row, at, table in self.slots(batch):
            logits = outputs.logits if self.gaps is None else outputs.pairs[self.gaps].logits
            masses = table.log_masses(log_probabilities(logits[row, at])[None])[0]
            found.append(spread(masses, table.present.to(masses.device), self.form).mean())
        return torch.stack(found).mean() if found else nothing(outputs)


class JointEqualising:
    """The mean over slots of the spread of whole words' log-likelihoods []: the slot's word and its counterparts."""

    def __init__(self, reader: SlotReader, key: str, form: Spread) -> None:
        self.reader, self.key, self.form = reader, key, form

    def slots(self, batch: Batch) -> list[list[tuple[int, int, Version]]]:
        """(text row, its counterfactual, what differs) of those that were read whole, for each slot that has any."""
        pairs = batch.pairs[self.key]
        lengths = batch.attention_mask.sum(-1).tolist()
        p, found = 0, []
        for b, text in enumerate(batch.columns["text"]):
            whole = []
            for version in self.reader.versions(text):
                if version.here.end <= lengths[b] and version.there.end <= int(pairs.attention_mask[p].sum()):
                    whole.append((b, p, version))
                p += 1
            if whole:
                found.append(whole)
        return found

    def count(self, batch: Batch) -> float:
        return float(len(self.slots(batch)))

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        found = []
        for slot in self.slots(batch):
            b, _, first = slot[0]
            values = [likelihood(outputs.logits[b], batch.input_ids[b], first.here)]
            for _, p, version in slot:
                ids = batch.pairs[self.key].input_ids[p]
                values.append(likelihood(outputs.pairs[self.key].logits[p], ids, version.there))
            stacked = torch.stack(values)
            found.append(spread(stacked, torch.ones_like(stacked, dtype=torch.bool), self.form))
        return torch.stack(found).mean() if found else nothing(outputs)


def likelihood(logits: torch.Tensor, ids: torch.Tensor, place: Place) -> torch.Tensor:
    """The log-likelihood [] in nat of ids[place] in their context, of a causal model's logits [T, V] and ids [T]."""
    span = slice(place.start - 1, place.end - 1)
    return log_probabilities(logits[span]).gather(-1, ids[place.start : place.end, None]).sum()


class Declustering:
    """The mean spread [] of the log-masses of clusters over predicted positions in rows that name a group; of causal
    models, over those behind the first group word."""

    def __init__(self, reader: SlotReader, tokens: Sequence[torch.Tensor], *, causal: bool) -> None:
        self.reader, self.tokens, self.causal = reader, tokens, causal

    def kept(self, batch: Batch) -> torch.Tensor:
        """[B, T] the positions whose predictions are looked at."""
        import torch

        kept = batch.labels != -100
        for b, text in enumerate(batch.columns["text"]):
            named = self.reader.first_group_word(text)
            kept[b, : kept.shape[1] if named is None else named.end if self.causal else 0] = False
        # position t predicts word t + 1
        return torch.nn.functional.pad(kept[:, 1:], (0, 1)) if self.causal else kept

    def count(self, batch: Batch) -> float:
        return float(self.kept(batch).sum())

    def __call__(self, batch: Batch, outputs: Outputs) -> torch.Tensor:
        import torch

        kept = self.kept(batch)
        if not kept.any():
            return nothing(outputs)
        logp = log_probabilities(outputs.logits[kept])
        masses = torch.stack([logp[:, ids.to(logp.device)].logsumexp(-1) for ids in self.tokens], dim=-1)
        form: Spread = "absolute" if len(self.tokens) == 2 else "variance"
        return spread(masses, torch.ones_like(masses, dtype=torch.bool), form).mean()


def cluster_tokens(tokenizer: Any, clusters: Sequence[Sequence[str]]) -> list[torch.Tensor]:
    """The tokens of each cluster: of its words that are one token, in every form; UsageError when one has none."""
    import torch

    found = []
    for words in clusters:
        ids = {single_token(tokenizer, styled(word, form)) for word in words for form in FORMS} - {None}
        if not ids:
            raise UsageError(
                f"no word of the cluster {', '.join(words)!r} is one token of this model",
                where="option clusters",
                do="name more frequent words",
            )
        found.append(torch.tensor(sorted(i for i in ids if i is not None), dtype=torch.long))
    return found
