"""The steps of one stage of this project's distributions, as cases for matrices of pairs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from evenhand.discovery import discover, load
from evenhand_sdk.conformance_case import Case

Settings = Mapping[str, Mapping[str, Any]]


def steps_of(
    stage: str, distributions: Collection[str], options: Settings, forms: Settings, without: Collection[str] = ()
) -> dict[str, Case]:
    """By name, with `options`; and the further `forms`, whose names begin with that of their step."""
    found = {}
    for row in discover().rows:
        if row.distribution in distributions and row.status == "ok":
            plugin = load(row)
            if stage in plugin.stages() and plugin.name not in without:
                own = {**Case.of(plugin, "causal").options, **options.get(plugin.name, {})}
                found[plugin.name] = Case(plugin=plugin, kind="causal", options=own)
    for name, own in forms.items():
        case = found[name.partition(" ")[0]]
        found[name] = Case(plugin=case.plugin, kind="causal", options={**case.options, **own})
    return found
