"""What the English engine makes of a text, for tests of one sentence each."""

from evenhand_sdk import counterfactuals


def swapped(text: str, axis: str = "gender", target: str | None = None) -> str:
    """The first counterfactual of a text, or the text where there is none."""
    found = counterfactuals(text, axis, target)
    return found[0].text if found else text
