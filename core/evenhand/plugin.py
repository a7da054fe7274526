"""The base of every plugin: a light class with typed options whose marked methods answer life-cycle hooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evenhand.errors import UsageError
from evenhand.hookspecs import STAGES

if TYPE_CHECKING:
    from evenhand.mirrors import KnownFile
    from evenhand.model_shape import ModelShape

Strength = Annotated[float, Field(ge=0.0, le=1.0)]


class Options(BaseModel):
    """Options of a step: declared fields only, checked and filled with defaults before anything heavy is loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StrengthOptions(Options):
    """Options of a mitigation: 0 is exactly the identity, 1 the method as published."""

    strength: Strength = 1.0


@dataclass(frozen=True, kw_only=True)
class Material:
    """Words and texts of its own that a plugin works with: benchmark items that have them are no fair test of it."""

    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Name of a list -> its words; write names, and words that count with a capital only, with a capital."""
    texts: Mapping[str, Iterable[str]] = field(default_factory=dict)
    """Name of a collection -> its texts, such as filled templates that something is fitted on."""


class Plugin:
    """One configured step. Subclasses override hooks and mark each with `@hookimpl`.

    Importing a plugin module must not import torch, transformers or any other heavy library: import inside the hooks.
    """

    name: ClassVar[str] = ""
    """The entry-point name, in lower case with hyphens."""
    summary: ClassVar[str] = ""
    """One sentence, shown by `toolkit plugins`."""
    source: ClassVar[str] = ""
    """The paper or note that the method comes from."""
    api: ClassVar[int] = 1
    """The version of the plugin interface it was written for."""
    kinds: ClassVar[tuple[str, ...]] = ("causal", "masked")
    """The kinds of model it works on; the host refuses others by name."""
    shapes_training: ClassVar[bool] = False
    """True when its model transform says what the next training moves (`trainable`), follows it (`on_step`), or acts in
    it alone (`finish`): then the step belongs before a training, and a training that the recipe does not spell out
    comes after it."""
    looks_on: ClassVar[bool] = False
    """True when its data transform only reads, such as an audit: no training comes for its sake. Where the recipe has
    one all the same, it reads what reaches it there, else the text as it was loaded."""
    claims: ClassVar[tuple[str, ...]] = ()
    """What of a model the training after it serves this step with, such as `weights` or `adapters`. One training cannot
    serve two steps that claim the same: the plan wants a `train` between them. A step without `shapes_training` that
    claims something does not wait itself, but comes only when no other step waits for the same."""
    sole: ClassVar[tuple[str, ...]] = ()
    """Parts of which a training takes one and that its hook `objective` brings at a strength above 0: `aggregator`,
    `criterion`. Two steps of one training that bring the same are told before anything is loaded."""
    controls: ClassVar[tuple[str, ...]] = ()
    """Degradations of the same kind as what it does to a model, by plugin name, such as `random-heads` for one that
    takes heads away: a run with this step makes them beside the usual ones, and must beat them."""
    Options: ClassVar[type[Options]] = Options
    data_files: ClassVar[Sequence[KnownFile]] = ()
    """Published files that it reads, looked for before a run begins: in the folder that its option `data` names, if it
    has one, then in the recipe's. Where options decide which files, override `files_for` instead."""
    example_options: ClassVar[Mapping[str, Any]] = {}
    """Values for options that have no default, for `toolkit check` and for the manual."""
    example_steps: ClassVar[Mapping[str, Plugin]] = {}
    """By id, the configured steps that `example_options` refer to, where an arbitrary decoding rule will not do."""

    example_columns: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Columns that its data transform reads beside `text`, for `toolkit check`: name -> values, repeated over the rows
    of the sample."""

    def __init__(self, options: Any = None, **values: Any) -> None:
        self.options: Any = options if options is not None else self._checked(values)

    def _checked(self, values: Mapping[str, Any]) -> Any:
        """Options from keyword arguments; raises UsageError with every problem, in the words of a recipe."""
        kind = type(self)
        try:
            return kind.Options(**values)
        except ValidationError as error:
            from evenhand.wording import in_words

            name = kind.name or kind.__name__
            problems = in_words(error, values, name, known=list(kind.Options.model_fields))
            raise UsageError("; ".join(problems)) from None

    @classmethod
    def stages(cls) -> tuple[str, ...]:
        """The life-cycle stages this plugin takes part in, in the order of the life cycle."""
        return tuple(s for s in STAGES if hasattr(getattr(cls, s, None), "evenhand_impl"))

    @classmethod
    def files_for(cls, options: Any) -> Sequence[KnownFile]:
        """The published files that a step with these options reads; nothing is opened for it."""
        return cls.data_files

    @classmethod
    def models_for(cls, options: Any) -> Sequence[tuple[str, str]]:
        """Models beside the run's own that a step with these options loads: option and name, or folder, of each.

        They are looked for before a run begins, and downloaded then where need be; load them with `model_folder`.
        """
        return ()

    @classmethod
    def remarks_for(cls, options: Any) -> Sequence[str]:
        """What is no mistake in these options but may be a surprise, such as a high price: a sentence for each.

        `toolkit validate` says it, a run writes it into its record before it begins, and `decode_with` warns of it.
        """
        return ()

    @classmethod
    def unmarked(cls) -> tuple[str, ...]:
        """Hooks that are overridden but not marked with `@hookimpl`: a silent no-op unless refused."""
        return tuple(
            s for s in STAGES if callable(getattr(cls, s, None)) and not hasattr(getattr(cls, s), "evenhand_impl")
        )

    def material(self) -> Material | None:
        """Words and texts of its own, to be compared with the items of benchmarks.

        Axis packs in the options `axes` or `axis` beside `locale` are known to the host, and need not be named.
        """
        return None

    def unfit(self, shape: ModelShape, before: Sequence[Plugin]) -> Sequence[str]:
        """Why it cannot work on a model of this shape, behind these active steps: a sentence each, with what to do.

        Asked before the first step of a run begins, and by `toolkit validate` where the model is on this machine: a
        rank above the width, a value for each layer of another depth. What the shape does not say is no mistake yet.
        """
        return ()

    def moves(self) -> Mapping[str, str]:
        """What it brings to which end, both in words: `{"the groups that answers name": "nobody"}`.

        Two steps of a recipe that move the same thing are reported: to different ends the later undoes the earlier, and
        to one end it finds it moved already. Write the very words of other plugins that move the same thing. With a `*`
        for any words, a step says that it moves a whole kind of things anew: it undoes what stands before it, and a
        step behind it comes in time.
        """
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.options!r})"


class Mitigation(Plugin):
    """A plugin with a `strength` in [0, 1], where 0 is exactly the identity."""

    draws: ClassVar[bool] = False
    """True when it draws at random from the seed: as a control it is made with each seed of the run."""
    Options: ClassVar[type[Options]] = StrengthOptions
