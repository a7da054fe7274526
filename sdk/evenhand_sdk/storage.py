"""Files that are worth keeping between runs: the user's cache, and writing that never leaves half a file."""

from __future__ import annotations

from evenhand.cache import atomic_folder, cache_dir, damage, digest_of, sha256_text, write_atomic

__all__ = ["atomic_folder", "cache_dir", "damage", "digest_of", "sha256_text", "write_atomic"]
