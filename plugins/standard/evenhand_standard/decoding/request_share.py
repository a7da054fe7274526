"""Which requests a rule around requests acts on, when its strength is a share of them."""

from __future__ import annotations

import hashlib

from evenhand_sdk import Request


def acts_on(request: Request, strength: float, seed: int) -> bool:
    """Whether a request is among the share `strength` in [0, 1]: decided by seed, prompt and the request's own seed, so
    that it is the same in every batch; at 1 all are, and whoever is at a small strength is at a greater one, too."""
    turns = "\n".join(f"{role}: {text}" for role, text in request.turns)
    digest = hashlib.sha256(f"{seed}\n{request.seed}\n{turns}\n{request.prompt}".encode("utf-8", "surrogatepass"))
    return int.from_bytes(digest.digest()[:6], "big") / 2**48 < strength
