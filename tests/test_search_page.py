"""Tables of a search on the terminal."""

from __future__ import annotations

import pytest

from evenhand.search_page import PageView, TableView, print_page
from evenhand.summary import plain_console

SETTINGS = "steps.pair-parity.strength = 0.7236, steps.leace.active = true"


@pytest.mark.parametrize("settings", [SETTINGS, "x" * 200], ids=["keys", "no key"])
def test_the_key_of_a_setting_is_not_broken_and_no_line_is_too_wide(settings: str) -> None:
    wide = ["0.07019 (-0.00014 [-0.00033, 0.00000])", "9.672e8 (-1.611e6 [-5.819e6, +1.182e6])", "not shown within"]
    header = ["configuration", "Gap between pairs: JS gap, nat", "Perplexity: word perplexity", "budget", "settings"]
    table = TableView(title="The front", header=header, rows=[["1", *wide, settings]])
    out = plain_console()
    with out.capture() as captured:
        print_page(PageView(kind="sweep", title="T", answer=[], tables=[table], notes=[]), [table], [], out)
    lines = captured.get().splitlines()
    assert max(len(line) for line in lines) <= out.width
    if settings is SETTINGS:
        assert [line.split()[-1] for line in lines if "pair-parity" in line] == ["steps.pair-parity.strength"]
