"""Options that name axis packs, checked while a recipe is read: a pack that is not there is told by `validate`.

    class MyOptions(StrengthOptions):
        axes: Axes = ("gender",)
        locale: Locale = "en"        # below `axes` or `axis`, whose packs it must have

No pack is loaded for it, except one that is named by its path: names are those of files and of entry points.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from evenhand.errors import EvenhandError
from evenhand.option_paths import found_path
from evenhand_sdk.axes import Axis, axis_names, load_axis, near_match, packaged, used_locale


@contextlib.contextmanager
def _told_as_value_error() -> Iterator[None]:
    """A validator's way to refuse, with the words of the error that was raised."""
    try:
        yield
    except EvenhandError as error:
        raise ValueError(str(error).replace("\n", "\n    ")) from error


def loaded_for_options(name: str, locale: str) -> Axis:
    """The pack of an axis, for a validator of options that looks into it. Raises ValueError where it cannot be had."""
    with _told_as_value_error():
        return load_axis(name, locale)


def _known(name: str, info: ValidationInfo) -> str:
    """Some locale has a pack of this name, or it is the path of a TOML file, here or beside the recipe, that holds one.

    Gives the name, or the path where the file is.
    """
    if name.endswith(".toml"):
        from evenhand_sdk.axis_packs import read_axis

        path = found_path(name, info)
        with _told_as_value_error():
            read_axis(Path(path))
        return path
    if name not in _names(packaged()):
        known = _names(axis_names())
        if name not in known:
            raise ValueError(f"there is no axis pack {name!r}{near_match(name, known)} (known: {', '.join(known)})")
    return name


def _names(packs: Iterable[str]) -> list[str]:
    """The names of packs that are called `NAME.LOCALE`, each once."""
    return sorted({pack.rpartition(".")[0] for pack in packs})


def _with_packs(locale: str, info: ValidationInfo) -> str:
    """Every axis that the options name has a pack in this locale."""
    given: Any = info.data.get("axes", info.data.get("axis", ()))
    for name in (given,) if isinstance(given, str) else given or ():
        if name.endswith(".toml") or f"{name}.{locale}" in packaged():
            continue
        if f"{name}.{used_locale(name, locale)}" not in (known := axis_names()):
            raise ValueError(f"the axis {name!r} has no pack for the locale {locale!r} (known: {', '.join(known)})")
    return locale


def _each_once(axes: tuple[str, ...]) -> tuple[str, ...]:
    """Not a pack twice, nor two packs that call their axis the same."""
    seen: dict[str, str] = {}
    for given in axes:
        name = _axis_of(given)
        if given in seen.values():
            raise ValueError(f"names {given!r} twice")
        if name in seen:
            raise ValueError(
                f"names the axis {name!r} twice: {seen[name]!r} and {given!r} (call one of them otherwise in its file, "
                "or name them in two steps)"
            )
        seen[name] = given
    return axes


def _axis_of(given: str) -> str:
    if not given.endswith(".toml"):
        return given
    from evenhand_sdk.axis_packs import read_axis

    with _told_as_value_error():
        return read_axis(Path(given)).name


AxisName = Annotated[str, AfterValidator(_known), Field(description="Name of an axis pack, or path of a TOML file.")]
"""One axis."""
Axes = Annotated[
    tuple[Annotated[str, AfterValidator(_known)], ...],
    Field(min_length=1, description="Names of axis packs, or paths of TOML files."),
    AfterValidator(_each_once),
]
"""One or more axes, each once: their terms and counts are told apart by name."""
Locale = Annotated[
    str,
    Field(min_length=1, validate_default=True, description="Language of the axis packs."),
    AfterValidator(_with_packs),
]
