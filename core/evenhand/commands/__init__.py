"""The commands of `toolkit`, one file each; heavy imports stay inside the functions."""

from __future__ import annotations
