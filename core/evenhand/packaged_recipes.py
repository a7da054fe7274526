"""Recipes that come with the toolkit and can be run by name from any folder: `toolkit run quickstart`."""

from __future__ import annotations

from importlib import resources


def names() -> list[str]:
    """The names of the packaged recipes, sorted."""
    folder = resources.files("evenhand").joinpath("recipes")
    return sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml"))


def text(name: str) -> str:
    """The TOML text of one of `names()`."""
    return resources.files("evenhand").joinpath("recipes", f"{name}.toml").read_text(encoding="utf-8")
