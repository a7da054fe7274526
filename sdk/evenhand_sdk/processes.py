"""For loss terms that keep something from batch to batch: what all processes of a training saw, not one alone.

Each process of a training started by `accelerate launch` reads rows of its own. Gradients are averaged by what
distributes the model; a running mean, or weights that follow losses, are the term's own business.
"""

from __future__ import annotations

from evenhand.processes import averaged, count, everyone

__all__ = ["averaged", "count", "everyone"]
