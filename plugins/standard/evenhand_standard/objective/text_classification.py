"""A real task to learn: is a tweet hateful or offensive? A linear head on the model's last states, trained with it.

    loss  =  mean over rows of  -c_y log P(y | w . norm(mean_t h(t)) + b),        c_y = n / (2 n_y)

The training that follows reads labelled tweets in the place of its text, and what it selects (an adapter, LoRA, all
weights) learns the task. Both labels count equally, since five in six tweets are offensive. The head is kept beside the
run (`tweet_head.py`); `classification-gaps` fits one anew to each model that it measures, so that they can be compared.

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
    Options,
    Outputs,
    Plugin,
    RunContext,
    Section,
    hookimpl,
)
from evenhand_sdk.data_rows import Fate, Made, Row, RowWork, one_by_one
from evenhand_standard.benchmarks.data_option import DataFolder
from evenhand_standard.labelled_tweets import VERSION, labelled_tweets, shares
from evenhand_standard.objective.adversary_heads import pooled
from evenhand_standard.text_scorers.toxicity_classifier import TWEETS
from evenhand_standard.tweet_head import TweetHead, write_head

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

HEAD = "head"
"""The folder of the trained head, in that of the step."""
UNSEEN = 200
"""Tweets of the part that no training reads on which the trained head is judged."""
COLUMN = "evenhand_offensive"
"""1 for a hateful or offensive text, else 0."""


class TextClassificationOptions(Options):
    """Options of `text-classification`."""

    weight: Annotated[float, Field(gt=0.0)] = Field(1.0, description="Of the task's loss.")
    head_learning_rate: Annotated[float, Field(gt=0.0)] = Field(1e-2, description="Of the head alone.")
    data: DataFolder = None


class TextClassification(Plugin):
    """Teaches what is trained a classification task, with a head on the last states."""

    name = "text-classification"
    summary = "Trains on labelled tweets to tell hateful and offensive ones, with a linear head on the last states."
    source = "Pfeiffer et al. 2021, AdapterFusion (task adapters); data of Davidson et al. 2017 (MIT)"
    Options = TextClassificationOptions
    data_files = (TWEETS,)
    example_columns: ClassVar[Mapping[str, Sequence[Any]]] = {COLUMN: [1, 0]}

    def __init__(self, options: Any = None, **values: Any) -> None:
        super().__init__(options, **values)
        self._heads: dict[tuple[str, int], Any] = {}
        """By step and seed."""

    @hookimpl
    def data(self, run: RunContext, split: str, model: PreTrainedModel) -> DataTransform | None:
        if split != "train":
            return None
        tweets = labelled_tweets("training", self.options.data or run.data_folder)
        random.Random(run.seed_for("tweets")).shuffle(tweets)
        work = RowWork(run, self.options, title="Putting tweets in", depends=[TWEETS.sha256, VERSION])

        def each(row: Row) -> Fate:
            tweet = tweets[row.number % len(tweets)]
            return Fate(text=Made(text=tweet.text, note="a labelled tweet", columns={COLUMN: int(tweet.offensive)}))

        return work.transform(
            lambda rows: work.rewrite(rows, one_by_one(each), columns={COLUMN: ("int64", None)}), facts=shares(tweets)
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
            share["offensive"] = sum(labels) / max(1, len(labels))

        return LossTerm(
            name=f"task of {run.step_id}",
            fn=task_loss(head, lambda: share.get("offensive", 0.5)),
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
        head = TweetHead(
            weight=line.weight.detach()[0].cpu(),
            bias=float(line.bias.detach()),
            kind=run.kind,
            max_length=settings.max_length,
        )
        write_head(run.folder / HEAD, head)
        tweets = labelled_tweets("measuring", self.options.data or run.data_folder)
        random.Random(0).shuffle(tweets)
        chosen = [t for label in (True, False) for t in [t for t in tweets if t.offensive is label][: UNSEEN // 2]]
        called = head.offensive(model, run.tokenizer, [t.text for t in chosen])
        rates = {
            label: sum((p > 0.5) is label for p, t in zip(called, chosen, strict=True) if t.offensive is label)
            / sum(t.offensive is label for t in chosen)
            for label in (True, False)
        }
        return Section(
            title="The classifier that was trained",
            text=(
                f"The head of {run.step_id} lies in .state/steps/{run.step_id}/{HEAD}, for the model of this run: "
                "evenhand_standard.tweet_head reads it. These are its rates on tweets that no training reads, both "
                "labels alike; a step behind its training may have changed the states that it reads."
            ),
            facts=[
                Fact(label="hateful or offensive tweets that it finds", value=round(rates[True], 4)),
                Fact(label="other tweets that it lets pass", value=round(rates[False], 4)),
                Fact(label="tweets", value=len(chosen)),
            ],
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
