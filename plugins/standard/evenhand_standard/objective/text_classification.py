"""A real task to learn, texts with one of two labels: a linear head on the model's last states, trained with it.

    loss  =  mean over rows of  -c_y log P(y | w . norm(mean_t h(t)) + b),        c_y = n / (2 n_y)

The training that follows reads labelled texts in the place of its own, and what it selects (an adapter, LoRA, all
weights) learns the task: tweets (is one hateful or offensive?), or texts of one's own. Both labels count equally, since
five in six tweets are offensive. The head is kept beside the run (`classifier_head.py`); `classification-gaps` fits one
anew to each model that it measures, so that they can be compared.

Source: the task adapter of Pfeiffer et al. 2021 and Kumar et al. 2023; data of Davidson et al. 2017.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from evenhand_sdk import (
    Batch,
    DataTransform,
    Fact,
    LossTerm,
    Needs,
    Outputs,
    Plugin,
    RunContext,
    Section,
    hookimpl,
)
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_sdk.data_rows import Fate, Made, Row, RowWork, one_by_one
from evenhand_standard.classification_task import TaskOptions, published_files, shares, task_of
from evenhand_standard.classifier_head import ClassifierHead, write_head
from evenhand_standard.labelled_texts import VERSION
from evenhand_standard.objective.adversary_heads import pooled
from evenhand_standard.text_scorers.toxicity_classifier import TWEETS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HEAD = "head"
"""The folder of the trained head, in that of the step."""
UNSEEN = 200
"""Texts of the part that no training reads on which the trained head is judged."""
COLUMN = "evenhand_label"
"""1 or 0."""


class TextClassificationOptions(TaskOptions):
    """Options of `text-classification`."""

    weight: Annotated[float, Field(gt=0.0)] = Field(1.0, description="Of the task's loss.")
    head_learning_rate: Annotated[float, Field(gt=0.0)] = Field(1e-2, description="Of the head alone.")


class TextClassification(Plugin):
    """Teaches what is trained a classification task, with a head on the last states."""

    name = "text-classification"
    summary = (
        "Learns to tell texts of two labels, with a linear head on the last states: hateful and offensive tweets, or "
        "texts of your own."
    )
    source = "Pfeiffer et al. 2021, AdapterFusion (task adapters); data of Davidson et al. 2017 (MIT)"
    Options = TextClassificationOptions
    data_files = (TWEETS,)
    example_columns: ClassVar[Mapping[str, Sequence[Any]]] = {COLUMN: [1, 0]}

    def __init__(self, options: Any = None, **values: Any) -> None:
        super().__init__(options, **values)
        self._heads: dict[tuple[str, int], Any] = {}
        """By step and seed."""

    @classmethod
    def files_for(cls, options: TaskOptions) -> Sequence[KnownFile]:
        return published_files(options)

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        if split != "train":
            return None
        task = task_of(self.options, run.data_folder)
        texts, noun = task.part("training"), task.words.noun
        random.Random(run.seed_for("tweets")).shuffle(texts)
        work = RowWork(run, self.options, title=f"Putting {noun}s in", depends=[task.digest, VERSION])

        def each(row: Row) -> Fate:
            text = texts[row.number % len(texts)]
            return Fate(text=Made(text=text.text, note=f"a labelled {noun}", columns={COLUMN: int(text.positive)}))

        return work.transform(
            lambda rows: work.rewrite(rows, one_by_one(each), columns={COLUMN: ("int64", None)}),
            facts=shares(task, texts),
        )

    @hookimpl
    def objective(self, run: RunContext, model: PreTrainedModel) -> LossTerm:
        import torch

        o = self.options
        head = torch.nn.Sequential(
            torch.nn.LayerNorm(model.config.hidden_size, elementwise_affine=False),
            torch.nn.Linear(model.config.hidden_size, 1),
        ).to(model.device)
        self._heads[run.step_id, run.seed] = head
        share: dict[str, float] = {}

        def start(begun: Any) -> None:
            labels = [label for label in begun.rows[COLUMN] if label is not None]
            share["positive"] = sum(labels) / max(1, len(labels))

        return LossTerm(
            name=f"task of {run.step_id}",
            fn=task_loss(head, lambda: share.get("positive", 0.5)),
            count=lambda batch: float(sum(label is not None for label in batch.columns[COLUMN])),
            weight=o.weight,
            needs=Needs(columns=(COLUMN,), hidden_states=True),
            parameters=head.parameters,
            optimizer=lambda parameters: torch.optim.Adam(parameters, lr=o.head_learning_rate),
            on_start=start,
        )

    @hookimpl
    def transparency(self, run: RunContext, model: PreTrainedModel, result: Any) -> Section | None:
        trained = self._heads.get((run.step_id, run.seed))
        if trained is None:
            return None
        line, settings = trained[1], run.services.settings
        head = ClassifierHead(
            weight=line.weight.detach()[0].cpu(),
            bias=float(line.bias.detach()),
            kind=run.kind,
            max_length=settings.max_length,
        )
        write_head(run.folder / HEAD, head)
        task = task_of(self.options, run.data_folder)
        texts = task.part("measuring")
        random.Random(0).shuffle(texts)
        chosen = [t for label in (True, False) for t in [t for t in texts if t.positive is label][: UNSEEN // 2]]
        called = head.probabilities(model, run.tokenizer, [t.text for t in chosen])
        rates = {
            label: sum((p > 0.5) is label for p, t in zip(called, chosen, strict=True) if t.positive is label)
            / sum(t.positive is label for t in chosen)
            for label in (True, False)
        }
        words = task.words
        return Section(
            title="The classifier that was trained",
            text=(
                f"The head of {run.step_id}, for the model of this run: `read_head` of "
                "evenhand_standard.classifier_head reads it, and its `probabilities(model, tokenizer, texts)`, with "
                f"what evenhand.load gives, are those of {words.positive}. These are its rates on {words.noun}s that "
                "no training reads; a step behind its training may have changed the states that it reads."
            ),
            facts=[
                Fact(label=f"{words.positive} that it finds", value=round(rates[True], 4)),
                Fact(label=f"{words.negative} that it lets pass", value=round(rates[False], 4)),
                Fact(label=f"{words.noun}s", value=len(chosen)),
            ],
            files=(HEAD,),
        )


def task_loss(head: Any, share: Callable[[], float]) -> Callable[[Batch, Outputs], torch.Tensor]:
    """The cross-entropy [] of the labels in nat; a label of share p among all labelled rows counts 1 / (2 p).

    Rows that other steps made have no label and do not count.
    """
    import torch

    def fn(batch: Batch, outputs: Outputs) -> torch.Tensor:
        assert outputs.hidden_states is not None
        states = pooled(outputs.hidden_states[-1], batch.attention_mask)
        given = batch.columns[COLUMN]
        places = torch.tensor([k for k, label in enumerate(given) if label is not None], device=states.device).long()
        logits = head(states[places])[:, 0].float()
        labels = torch.tensor([float(given[k]) for k in places.tolist()], device=logits.device)
        if not len(labels):
            return logits.sum()
        p = share()
        weights = torch.where(labels > 0, 0.5 / max(p, 1e-6), 0.5 / max(1.0 - p, 1e-6))
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels, weight=weights)

    return fn
