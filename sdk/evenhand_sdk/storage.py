"""Files that are worth keeping between runs: the user's cache, and writing that never leaves half a file."""

from __future__ import annotations

from typing import Any

from evenhand.cache import atomic_folder, cache_dir, damage, digest_of, sha256_text, write_atomic

__all__ = [
    "atomic_folder", "cache_dir", "code_digest", "damage", "digest_of", "sha256_text", "tokenizer_digest",
    "write_atomic",
]  # fmt: skip


def code_digest(*packages: str) -> str:
    """The digest of all source files of imported packages, for the key of what their code computed."""
    from evenhand.measuring import package_digest

    return digest_of([package_digest(name) for name in sorted(packages)])


def tokenizer_digest(tokenizer: Any) -> str:
    """The digest of everything that decides which tokens a text has."""
    from evenhand.tokenizer_identity import tokenizer_fingerprint

    return tokenizer_fingerprint(tokenizer)
