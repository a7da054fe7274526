"""Data that benchmarks read: published files on the user's disk, and the texts that come with the toolkit."""

from __future__ import annotations

from evenhand.builtin_texts import digest as builtin_digest
from evenhand.builtin_texts import names as builtin_names
from evenhand.builtin_texts import passages as builtin_passages
from evenhand.builtin_texts import read as builtin_lines
from evenhand.data_kinds import opened_text
from evenhand.mirrored_texts import read as mirrored_lines
from evenhand.mirrors import CROWS_PAIRS, WIKITEXT2_TEST, KnownFile, find_file, read_json, read_rows, read_text

__all__ = [
    "CROWS_PAIRS",
    "WIKITEXT2_TEST",
    "KnownFile",
    "builtin_digest",
    "builtin_lines",
    "builtin_names",
    "builtin_passages",
    "find_file",
    "mirrored_lines",
    "opened_text",
    "read_json",
    "read_rows",
    "read_text",
]
