"""Whether the environment has what a plugin's distribution asks for, followed through its requirements.

`evenhand-adapterfusion` asks for `adapters`, and `adapters` for `transformers ~=4.57.6`: with transformers 5
installed the plugin cannot work, although its own requirements are met. What the host itself requires is
compared, but not followed further: that is the host's affair, and its own installation has settled it.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

import evenhand

HOST = "evenhand"


class Requirements:
    """Looks requirements up on one path, and each distribution only once."""

    def __init__(self, path: Sequence[str] | None = None) -> None:
        self._path = sys.path if path is None else list(path)
        self._found: dict[str, tuple[str, tuple[Requirement, ...]] | None] = {}
        self._unmet: dict[str, str | None] = {}
        host = self._installed(HOST)
        self._shared = {canonicalize_name(r.name) for r in host[1]} | {HOST} if host else {HOST}

    def unmet(self, distribution: str) -> str | None:
        """The first requirement that is not met, in words, or None.

        Direct requirements come first, then those of requirements. Markers are evaluated, extras ignored.
        """
        key = canonicalize_name(distribution)
        if key not in self._unmet:
            self._unmet[key] = self._search(key)
        return self._unmet[key]

    def _search(self, start: str) -> str | None:
        queue: list[str] = [start]
        seen = {start}
        for name in queue:  # grows while it is walked: breadth first
            found = self._installed(name)
            if found is None:
                continue
            version, requirements = found
            through = "" if name == start else f" (through {name} {version})"
            for requirement in requirements:
                needed = canonicalize_name(requirement.name)
                problem = self._compare(requirement, needed, through)
                if problem:
                    return problem
                if needed not in seen and needed not in self._shared:
                    seen.add(needed)
                    queue.append(needed)
        return None

    def _compare(self, requirement: Requirement, needed: str, through: str) -> str | None:
        wanted = f"needs {requirement.name} {requirement.specifier}".rstrip() + through
        found = self._installed(needed)
        version = evenhand.__version__ if needed == HOST else found[0] if found else None
        if version is None:
            return f"{wanted}, which is not installed"
        try:
            fits = requirement.specifier.contains(Version(version), prereleases=True)
        except InvalidVersion:
            return f"{wanted}, found the unreadable version {version!r}"
        return None if fits else f"{wanted}, found {version}"

    def _installed(self, name: str) -> tuple[str, tuple[Requirement, ...]] | None:
        if name not in self._found:
            self._found[name] = self._read(name)
        return self._found[name]

    def _read(self, name: str) -> tuple[str, tuple[Requirement, ...]] | None:
        found = next(iter(importlib.metadata.distributions(name=name, path=self._path)), None)
        if found is None:
            return None
        try:
            text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
        except UnicodeDecodeError:
            return "", ()
        header = text.partition("\n\n")[0]
        version = re.search(r"^Version:[ \t]*(\S+)", header, re.MULTILINE)
        lines = re.findall(r"^Requires-Dist:[ \t]*(\S.*)$", header, re.MULTILINE)
        return version[1] if version else "", tuple(_applicable(lines))


def _applicable(lines: Sequence[str]) -> list[Requirement]:
    requirements = []
    for line in lines:
        if "extra ==" in line or "extra==" in line:
            continue  # evaluating a marker costs more than this look at the text
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue  # an old distribution with an unreadable requirement cannot be held against a plugin
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            requirements.append(requirement)
    return requirements
