"""The recipe as typed values: one frozen model a section, filled with defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evenhand.devices import name_problem
from evenhand.option_paths import PathOption

BUDGET = 1.02
"""The most that a measure of language quality may lose, as a ratio; that of a recipe without `[budget]`."""

Positive = Annotated[int, Field(ge=1)]
Source = Annotated[str, Field(min_length=1)]
NotNegative = Annotated[float, Field(ge=0.0)]
ReportTo = Literal[
    "azure_ml", "clearml", "codecarbon", "comet_ml", "dagshub", "dvclive", "flyte", "mlflow", "neptune", "swanlab",
    "tensorboard", "trackio", "wandb",
]  # fmt: skip
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class RecipeSection(BaseModel):
    """A table of a recipe: declared keys only, finite numbers, never changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelSection(RecipeSection):
    """`[model]`: which language model."""

    name: str = Field(min_length=1, description="The shelf, a hub id, or a folder.")
    kind: Literal["causal", "masked"] | None = Field(None, description="Found out from the model when not given.")
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = Field("auto", description="auto, cpu, cuda, mps or xpu, or one of several, such as cuda:1.")
    trust_remote_code: bool = Field(False, description="Run code that comes with the model.")
    endpoint: str | None = Field(
        None, description="An OpenAI-compatible server, such as http://localhost:8000/v1, that calls the model `name`; "
        "for `evenhand.connect`.",
    )  # fmt: skip
    endpoint_key: str | None = Field(
        None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="The environment variable that holds the server's key."
    )
    endpoint_top: Annotated[int, Field(ge=2, le=1000)] = Field(
        20, description="Likeliest next words to ask the server for, where a rule maps them; some allow 5 at most."
    )
    endpoint_timeout: Annotated[float, Field(gt=0.0)] = Field(
        120.0, description="Seconds to wait for one answer of the server."
    )

    @field_validator("device")
    @classmethod
    def _known_device(cls, name: str) -> str:
        if problem := name_problem(name):
            raise ValueError(problem)
        return name


class DataSection(RecipeSection):
    """`[data]`: what the model is trained on."""

    train: Source | Annotated[tuple[Source, ...], Field(min_length=1)] = Field(
        "builtin:everyday",
        description="builtin:NAME, mirror:NAME, a .txt, .jsonl, .json, .csv, .tsv or .parquet file, a folder of such "
        "files or of a saved data set, or a hub id; or a list of them.",
    )
    config: str | None = Field(None, description="The configuration, for hub data that has several.")
    split: str = Field("train", min_length=1, description="The split, for hub data and saved data sets.")
    column: str = Field(
        "text", description="The column with the text, or with chats: lists of turns that have a role and a content."
    )
    limit: Positive | None = Field(
        None, description="Use only so many rows, the first ones; of files no more is read, however large they are."
    )
    heldout: str | None = Field(None, description="Text for language quality; never trained on.")
    retention: Source | None = Field(
        None, description="General text that training.constraint holds language quality on; none: rows of the training "
        "text, which says little where the training text is of a kind of its own."
    )  # fmt: skip

    @property
    def sources(self) -> tuple[str, ...]:
        """What `train` names, one or several."""
        return (self.train,) if isinstance(self.train, str) else self.train


class TrainingSection(RecipeSection):
    """`[training]`: how a `train` step trains; each may override what it needs."""

    max_steps: Positive = Field(100, description="Updates.")
    max_tokens: Positive | None = Field(
        None, description="Make as many updates as read about so many tokens, counterfactuals of loss terms included, "
        "instead of max_steps."
    )  # fmt: skip
    batch_size: Positive = 8
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-4
    max_length: Annotated[int, Field(ge=2)] = Field(96, description="Tokens of a row.")
    warmup: Annotated[float, Field(ge=0.0, le=1.0)] = Field(0.1, description="Fraction of the steps.")
    weight_decay: NotNegative = 0.0
    gradient_clip: Annotated[float, Field(gt=0.0)] | None = 1.0
    precision: Literal["auto", "float32", "bf16"] = "auto"
    gradient_accumulation: Positive = 1
    save_every: Positive = Field(50, description="Steps between two checkpoints.")
    language_modelling: NotNegative = Field(1.0, description="Weight of the language-modelling loss.")
    normalise: bool | tuple[str, ...] = Field(
        False, description="Divide loss terms by their value at the start: true, all but anchors, language modelling "
        "too; or the names of terms."
    )  # fmt: skip
    constraint: Literal["auto", "none", "lagrangian"] = Field(
        "auto", description="lagrangian: the budget holds while training, as a constraint on the perplexity of "
        "retention text; without data.retention up to 128 rows of the training text are held out for it. auto: where "
        "the recipe names both budget.perplexity and data.retention."
    )  # fmt: skip
    dual_step: Annotated[float, Field(gt=0.0)] = Field(
        1.0, description="By how much the multiplier of the constraint grows at a look that is over by one budget."
    )
    evaluate_every: Positive = Field(
        10, description="Updates between two looks at the constraint and at the criterion of early stopping."
    )
    log_every: Positive = Field(10, description="Updates between two lines of the training's log.")
    report_to: tuple[ReportTo, ...] = Field(
        (), description="Services that transformers reports a training to, such as tensorboard or wandb; their "
        "packages are installed apart."
    )  # fmt: skip
    logits: Literal["all", "labels"] = Field(
        "all", description="labels: masked models without other loss terms compute logits at masked words only; "
        "faster, and equal but for rounding."
    )  # fmt: skip


class BudgetSection(RecipeSection):
    """`[budget]`: the most that language quality may lose."""

    perplexity: Annotated[float, Field(ge=1.0)] = Field(BUDGET, description="Perplexity after / before.")


class TrafficSection(RecipeSection):
    """`[traffic]`: the requests that the monitors see."""

    prompts: str = "builtin:prompts"
    limit: Annotated[int, Field(ge=0)] = 24
    max_new_tokens: Positive = 24
    temperature: NotNegative = Field(0.0, description="0 is greedy decoding.")


class EvaluationSection(RecipeSection):
    """`[evaluation]`: how benchmarks are scored and intervals are made."""

    resamples: Positive = Field(10000, description="Bootstrap resamples.")
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.95
    batch_tokens: Positive = 4096
    data: PathOption | None = Field(None, description="Folder of benchmark files; else $EVENHAND_DATA.")
    contamination: Literal["report", "fail", "off"] = Field(
        "report", description="Compare training texts and word lists with benchmark items, and let hits fail the run."
    )
    controls: Literal["auto", "none"] | tuple[str, ...] = Field(
        "auto", description="Models to beat: continued-training and plugins; auto runs those that a verdict needs."
    )
    primary: str | None = Field(
        None, description="BENCHMARK or BENCHMARK.METRIC that the headline rests on; none: the first bias benchmark."
    )
    axis_margin: NotNegative = Field(
        0.1, description="How much worse one axis may become, as a share of what the benchmark measured before."
    )
    items: Literal["all", "validation", "reported"] = Field(
        "all", description="The items that count: all, or one of two halves that share none. A search looks at "
        "validation, and what it chose is reported on the other half."
    )  # fmt: skip


class RunSection(RecipeSection):
    """`[run]`: seeds, network, where the run folder goes."""

    seed: Seed = 0
    seeds: Positive | Annotated[tuple[Seed, ...], Field(min_length=1)] = Field(
        1, description="Trainings with so many seeds, from `seed` on, or with these; the first one's model is kept."
    )
    offline: bool = False
    output: str | None = Field(None, description="Folder that run folders are made in.")
    name: str | None = None

    @model_validator(mode="after")
    def _distinct_from_the_first(self) -> RunSection:
        found = self.all_seeds
        if len(set(found)) != len(found):
            raise ValueError("a seed is named twice")
        if found[0] != self.seed:
            raise ValueError(f"the first of the seeds must be run.seed, which is {self.seed}")
        if found[-1] >= 2**32:
            raise ValueError("the seeds go beyond 4,294,967,295")
        return self

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds of the trainings; the first is `seed`."""
        return self.seeds if isinstance(self.seeds, tuple) else tuple(range(self.seed, self.seed + self.seeds))


class SweepRange(RecipeSection):
    """The values between two ends, both included."""

    low: float
    high: float
    step: Annotated[float, Field(gt=0.0)] | None = Field(
        None, description="Only low, low + step, ...; 1: whole numbers."
    )
    log: bool = Field(False, description="Draw evenly on a logarithmic scale.")

    @model_validator(mode="after")
    def _drawable(self) -> SweepRange:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g} and high is {self.high:g}; low must be the smaller one")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic scale has no {self.low:g}; low must be above 0")
        if self.log and self.step is not None and not (self.step == 1 and self.whole):
            raise ValueError("log takes no step, except 1 for whole numbers")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return self.step is not None and all(float(x).is_integer() for x in (self.low, self.high, self.step))


class SweepSection(RecipeSection):
    """`[sweep]`: what `toolkit sweep` searches through; a run does not read it."""

    parameters: dict[str, SweepRange | Annotated[tuple[bool | int | float | str, ...], Field(min_length=1)]] = Field(
        default_factory=dict, description="Key as for --set -> {low, high, step, log}, or a list of choices. Only keys "
        "of steps, training and data."
    )  # fmt: skip
    trials: Positive = Field(20, description="Configurations to try, those of all workers and earlier calls together.")
    sampler: Literal["nsga2", "tpe"] = Field("nsga2", description="How configurations are drawn.")
    population: Annotated[int, Field(ge=2)] = Field(
        8, description="Of nsga2: configurations of a generation; the first generation is drawn at random."
    )
    objectives: tuple[str, ...] = Field(
        (), description="BENCHMARK or BENCHMARK.METRIC each, whose better direction is known; none: the primary "
        "measure, and the first benchmark of language quality."
    )  # fmt: skip


class SearchedSection(RecipeSection):
    """`[searched]`: how this recipe was found, for its report; `toolkit sweep` writes it, a run only shows it."""

    configurations: Positive = Field(description="How many configurations were tried to find this one.")
    items: Literal["all", "validation"] = Field("validation", description="The items that the search has seen.")
    study: str = Field("", description="Which search it was: the digest of its recipe.")


class Expectation(RecipeSection):
    """One `[[expect]]` table: a published value, and how near a run must come to it."""

    benchmark: str = Field(min_length=1, description="The id of a benchmark of this recipe.")
    metric: str = Field(min_length=1, description="The name of one of its metrics.")
    value: float = Field(description="The published value, in the metric's unit.")
    tolerance: NotNegative = Field(description="The largest difference at which it counts as reproduced.")
    when: Literal["before", "after"] = Field("before", description="The side of the run; before: the model as it is.")
    source: str = Field(min_length=1, description="Where the value was published.")


class StepEntry(BaseModel):
    """One `[[steps]]` or `[[benchmarks]]` table, its options not yet checked against the plugin."""

    model_config = ConfigDict(frozen=True)

    use: str
    """`name`, or `distribution:name`."""
    id: str
    active: bool | None = None
    """None: inactive exactly when another step refers to it."""
    allow_no_effect: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    """The plugin's own options as the recipe gives them."""


SECTIONS: dict[str, type[RecipeSection]] = {
    "model": ModelSection,
    "data": DataSection,
    "training": TrainingSection,
    "budget": BudgetSection,
    "traffic": TrafficSection,
    "evaluation": EvaluationSection,
    "run": RunSection,
    "sweep": SweepSection,
    "searched": SearchedSection,
}
OPTIONAL = ("sweep", "searched")
"""Sections that are None where a recipe does not have them."""
LISTS: tuple[str, ...] = ("steps", "benchmarks")
EXPECT = "expect"


class Recipe(BaseModel):
    """A recipe that was read and is sound in itself."""

    model_config = ConfigDict(frozen=True)

    model: ModelSection
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()
    budget: BudgetSection = BudgetSection()
    traffic: TrafficSection = TrafficSection()
    evaluation: EvaluationSection = EvaluationSection()
    run: RunSection = RunSection()
    sweep: SweepSection | None = None
    searched: SearchedSection | None = None
    steps: tuple[StepEntry, ...] = ()
    benchmarks: tuple[StepEntry, ...] = ()
    expect: tuple[Expectation, ...] = ()
    source: str = Field("", exclude=True, repr=False)
    """The text, verbatim; of a recipe that extends another one, a text that says the same alone."""
    overrides: tuple[str, ...] = Field((), exclude=True)
    """`key=value`, as they were given with `--set`."""
    origin: str = Field("recipe", exclude=True)
    """The file, the packaged name, or `recipe` for text."""
    path: Path | None = Field(None, exclude=True)
    """The file, when it came from one."""
    folders: tuple[Path, ...] = Field((), exclude=True)
    """Where relative paths are looked for besides the current folder: that of the file, and of what it extends."""

    @property
    def name(self) -> str:
        """`[run] name`, else the name of the file or of the packaged recipe."""
        return self.run.name or (self.path.stem if self.path else self.origin)

    def holds_budget(self, training: TrainingSection) -> bool:
        """Whether a training keeps `[budget]` as a constraint (decision 35)."""
        if training.constraint == "auto":
            return "perplexity" in self.budget.model_fields_set and self.data.retention is not None
        return training.constraint == "lagrangian"

    def resolved(self) -> dict[str, Any]:
        """The recipe with overrides and defaults written out, as JSON values; plugin options as given."""
        return self.model_dump(mode="json")
