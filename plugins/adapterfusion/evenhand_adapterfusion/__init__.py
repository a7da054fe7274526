"""Debiasing adapters, one for each axis, and their fusion with a task adapter.

The plugins are `debiasing-adapter`, `task-adapter` and `adapter-fusion`. The functions here switch adapters
of a finished model on and off, for good or for one request, and put saved ones onto a model.
"""

from __future__ import annotations

from evenhand_adapterfusion.pulling import load_adapter
from evenhand_adapterfusion.switching import active, available, set_active, using

__all__ = ["active", "available", "load_adapter", "set_active", "using"]
