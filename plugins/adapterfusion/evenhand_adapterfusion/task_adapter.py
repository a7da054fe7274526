"""An adapter that learns a task, or the language of a text, to be fused with debiasing adapters.

It is the same module as a debiasing adapter. What makes it a task adapter is its training: no fairness loss,
and only the text of the task, as language or, with `text-classification` before it, with labels. By default the
earlier adapters are off meanwhile, so that it learns from the model as it was.

Source: Pfeiffer et al. 2021 (the adapters of AdapterFusion); Kumar et al. 2023 (DAM) for their use in debiasing.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evenhand_adapterfusion.debiasing_adapter import BottleneckOptions, DebiasingAdapter


class TaskAdapterOptions(BottleneckOptions):
    """Options of `task-adapter`."""

    earlier: Literal["stacked", "off"] = Field(
        "off", description="Whether adapters of earlier steps act while this one is trained."
    )


class TaskAdapter(DebiasingAdapter):
    """Trains an adapter on the text alone, as the partner of debiasing adapters in a fusion."""

    name = "task-adapter"
    summary = "Adds a bottleneck adapter for the task itself, to be fused with debiasing adapters."
    source = "Pfeiffer et al. 2021, AdapterFusion: non-destructive task composition for transfer learning"
    Options = TaskAdapterOptions
    debiases = False
