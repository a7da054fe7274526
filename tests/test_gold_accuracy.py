"""How many gold cases the engine gets right: a floor on the working half; the held-out half is only reported.

`python -m tests.gold.report` prints both halves by phenomenon; `docs/axis-packs.md` keeps the held-out numbers.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gold import gold, mirror, report

README = Path(__file__).parents[1] / "README.md"
FLOOR_OWN, FLOOR_REAL = 172, 163
"""Cases of the working half that were right when the floor was set, less a few for words of packs that others mend."""


def test_the_working_half_stays_as_good_as_it_was() -> None:
    own = gold.load("work", real=False)
    verdicts = report.right(own)
    assert len(own) == 175
    assert sum(verdicts.values()) >= FLOOR_OWN, "\n".join(report.lines(own, verdicts))


def test_so_do_its_real_sentences() -> None:
    if missing := mirror.missing():
        pytest.skip(f"the mirrored data are not here: {', '.join(missing)}")
    real = [case for case in gold.load("work") if case.real]
    verdicts = report.right(real)
    assert len(real) == 171
    assert sum(verdicts.values()) >= FLOOR_REAL, "\n".join(report.lines(real, verdicts))


def test_the_page_that_all_read_first_has_the_held_out_half_as_it_is_now() -> None:
    if missing := mirror.missing():
        pytest.skip(f"the mirrored data are not here: {', '.join(missing)}")
    verdicts = report.right(gold.load("held_out"))
    low, high = report.wilson(good := sum(verdicts.values()), count := len(verdicts))
    told = f"right in {good} of {count} cases, {good / count:.1%} [{100 * low:.1f}, {100 * high:.1f}]"
    assert told.replace("%", " %") in README.read_text(encoding="utf-8")


def test_the_interval_is_wilsons() -> None:
    assert report.wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert report.wilson(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
