"""The probe texts of the host, for plugins that must show that two forms of a model are the same."""

from __future__ import annotations

from evenhand.proofs import PROBES, probe_logits, same_outputs

__all__ = ["PROBES", "probe_logits", "same_outputs"]
