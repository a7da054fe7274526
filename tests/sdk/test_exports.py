"""What the fields of contributions are made of can be imported from where the contributions are."""

from __future__ import annotations

from dataclasses import fields

import evenhand_sdk
from evenhand.recipe_model import TrainingSection


def test_the_settings_that_a_training_starts_with_have_an_importable_type() -> None:
    [kind] = [field.type for field in fields(evenhand_sdk.TrainingStart) if field.name == "settings"]
    assert kind == "TrainingSection | None"
    assert evenhand_sdk.TrainingSection is TrainingSection and "TrainingSection" in evenhand_sdk.__all__
