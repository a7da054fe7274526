"""The digest of what a benchmark reads and asks: a stored baseline is used again only where it is the same."""

from __future__ import annotations

from evenhand_sdk import Axis
from evenhand_sdk.benchmark_data import KnownFile
from evenhand_sdk.storage import digest_of


def data_digest(*parts: KnownFile | Axis | str) -> str:
    """SHA-256 over files (lexicons and labels as much as items), axis packs, and texts or digests, in their order."""
    told = [
        part if isinstance(part, str) else part.sha256 if isinstance(part, KnownFile) else part.digest for part in parts
    ]
    return digest_of(told)
