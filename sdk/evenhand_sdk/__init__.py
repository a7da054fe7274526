"""Everything that a plugin author imports.

Importing this package loads nothing heavy; torch and friends are imported inside hooks.
"""

from __future__ import annotations

from evenhand import API_VERSION
from evenhand.around_requests import Ask
from evenhand.context import RunContext, StepHandle
from evenhand.contributions import (
    Aggregator,
    Artifact,
    Bars,
    Benchmark,
    Criterion,
    DataTransform,
    DecodingRule,
    Effect,
    Example,
    Fact,
    Finding,
    Heat,
    Intervention,
    ItemRecord,
    LossTerm,
    Metric,
    ModelTransform,
    Monitor,
    Needs,
    Observation,
    Pairing,
    Planted,
    Request,
    RequestChange,
    Response,
    RowAccount,
    Section,
    TokenChange,
    TrainingStart,
    item_text,
)
from evenhand.errors import DataNotFound, DigestMismatch, EvenhandError, UsageError, WrongModelKind
from evenhand.evaluation_mode import evaluation_mode
from evenhand.generation import positions_of
from evenhand.hookspecs import hookimpl
from evenhand.model_shape import ModelShape
from evenhand.option_paths import PathOption, beside_recipe
from evenhand.pairs import (
    aligned_positions,
    comparable_positions,
    fold,
    framing_tokens,
    group_tokens,
    jensen_shannon,
    single_token,
    token_bins,
    unfold,
)
from evenhand.plugin import Material, Mitigation, Options, Plugin, Strength, StrengthOptions
from evenhand.progress import progress
from evenhand.prompt_texts import prompt_text
from evenhand.recipe_model import TrainingSection
from evenhand.rule_contexts import MOST_SEQUENCES
from evenhand.sample import Sample
from evenhand.training_batch import Batch, Outputs, PairBatch, PairOutputs
from evenhand_sdk.axes import Axis, load_axis
from evenhand_sdk.axis_options import Axes, AxisName, Locale
from evenhand_sdk.counterfactual import counterfactuals, group_words
from evenhand_sdk.counterfactual_types import Counterfactual, Edit
from evenhand_sdk.option_scores import OptionScore, option_scores
from evenhand_sdk.planted import PlantedModel

__all__ = [
    "MOST_SEQUENCES",
    "API_VERSION", "Aggregator", "Artifact", "Ask", "Axes", "Axis", "AxisName", "Bars", "Batch", "Benchmark",
    "Counterfactual", "Criterion", "DataNotFound", "DataTransform", "DecodingRule", "DigestMismatch", "Edit", "Effect",
    "EvenhandError", "Example", "Fact", "Finding", "Heat", "Intervention", "ItemRecord", "Locale", "LossTerm",
    "Material", "Metric", "Mitigation", "ModelShape", "ModelTransform", "Monitor", "Needs", "Observation",
    "OptionScore", "Options", "Outputs", "PairBatch", "PairOutputs", "Pairing", "PathOption", "Planted", "PlantedModel",
    "Plugin", "Request",
    "RequestChange", "Response", "RowAccount", "RunContext", "Sample", "Section", "StepHandle", "Strength",
    "StrengthOptions", "TokenChange", "TrainingSection", "TrainingStart", "UsageError", "WrongModelKind",
    "aligned_positions", "beside_recipe", "comparable_positions", "counterfactuals", "evaluation_mode", "fold",
    "framing_tokens", "group_tokens", "group_words", "hookimpl", "item_text", "jensen_shannon", "load_axis",
    "option_scores", "positions_of", "progress", "prompt_text", "single_token", "token_bins", "unfold",
]  # fmt: skip
