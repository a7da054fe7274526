"""Each plugin of the distribution against all conformance checks, on a causal and on a masked model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evenhand_adapterfusion.adapter_fusion import AdapterFusion
from evenhand_adapterfusion.adapter_sum import AdapterSum
from evenhand_adapterfusion.debiasing_adapter import DebiasingAdapter
from evenhand_adapterfusion.task_adapter import TaskAdapter
from evenhand_sdk.conformance import parametrize_with_checks

pytestmark = pytest.mark.slow


@pytest.mark.every_case
@parametrize_with_checks([AdapterFusion, AdapterSum, DebiasingAdapter, TaskAdapter])
def test_it_keeps_the_contract(check: Callable[[], None]) -> None:
    check()
