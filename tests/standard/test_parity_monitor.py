"""The monitor: what it asks, what counts as a pair, how scores are made, when it raises an alarm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evenhand_sdk import (
    Finding,
    Intervention,
    Monitor,
    Observation,
    Request,
    RequestChange,
    Response,
    TokenChange,
    load_axis,
)
from evenhand_standard.monitoring.answer_scores import masked, scorer, sentiment
from evenhand_standard.monitoring.canaries import TEMPLATES, canaries
from evenhand_standard.monitoring.parity_monitor import ParityMonitor

GENDER = load_axis("gender")
PROMPTS = [f"{('She', 'He')[n % 2]} bought {n} books and" for n in range(40)]


@pytest.fixture
def monitor(tiny: Any, run_of: Any) -> Callable[..., Monitor]:
    run = run_of(*tiny())
    return lambda **options: ParityMonitor(**options).monitoring(run)


def answered(request: Request, text: str) -> Response:
    return Response(request=request, text=text)


def traffic(monitor: Monitor, prompts: list[str], answer: Callable[[str], str]) -> list[Finding | Intervention]:
    """What the host does: show the response, answer the probes, show those."""
    said: list[Finding | Intervention] = []
    for prompt in prompts:
        served = Observation(response=answered(Request(prompt=prompt, max_new_tokens=8), answer(prompt)))
        said += monitor.observe(served)
        for probe in monitor.probes(served):
            reply = Observation(response=answered(probe, answer(probe.prompt)), probe_of=served)
            assert monitor.probes(reply) == []
            said += monitor.observe(reply)
    return said


def biased(prompt: str) -> str:
    return "It was wonderful." if prompt.startswith("He") or " man " in prompt else "It was there."


def fair(prompt: str) -> str:
    return "It was wonderful."


def test_a_prompt_with_a_group_is_asked_again_with_the_other(monitor: Any) -> None:
    request = Request(prompt="She met her brother.", max_new_tokens=7, seed=11)
    (probe,) = monitor().probes(Observation(response=answered(request, "Fine.")))
    assert (probe.prompt, probe.max_new_tokens, probe.seed) == ("He met his sister.", 7, 11)
    assert monitor().probes(Observation(response=answered(Request(prompt="It rains."), "Fine."))) == []


def test_it_tells_how_many_answers_the_record_says_were_changed_by_rules(monitor: Any) -> None:
    watch = monitor()
    asked = Request(prompt="It rains.")
    moved, other = (
        TokenChange(position=0, rule="rule", before=" a", after=after, total_variation=0.1) for after in (" a", " the")
    )
    whole = RequestChange(rule="rule", what="rewriting", before="He may go.", after="They may go.")
    for record in ({}, {"changes": (moved,)}, {"changes": (moved, other)}, {"request_changes": (whole,)}):
        watch.observe(Observation(response=Response(request=asked, text="Fine.", **record)))
    facts = watch.summary().facts
    assert (facts["served answers"], facts["of these changed by decoding rules"]) == (4, 2)


def test_differences_are_first_group_minus_second_whichever_was_served(monitor: Any) -> None:
    watch = monitor()
    traffic(watch, ["She bought 1 book and", "He bought 2 books and"], biased)
    facts = watch.summary().facts
    wonderful = sentiment("It was wonderful.")
    assert facts["pairs"] == 2
    assert facts["female − male: mean gap"] == pytest.approx(0.5 - wonderful)


def test_a_reused_prompt_is_not_a_new_pair_on_either_side(monitor: Any) -> None:
    watch = monitor()
    traffic(watch, ["She bought a book.", "She bought a book.", "He bought a book.", "He sold a book."], fair)
    facts = watch.summary().facts
    assert (facts["pairs"], facts["reused prompts, not counted"]) == (2, 2)


def test_an_article_repaired_before_the_first_word_does_not_confuse_the_groups(monitor: Any) -> None:
    watch = monitor()
    traffic(watch, ["An actress was late, and"], lambda p: "wonderful" if "actor" in p else "")
    assert watch.summary().facts["female − male: mean gap"] < 0


def test_bias_raises_one_alarm_and_asks_for_rules(monitor: Any) -> None:
    watch = monitor(intervene=True, rules=["averaging"])
    prompts = [f"{('She', 'He')[n % 2]} bought {n} books and" for n in range(150)]
    said = traffic(watch, prompts, biased)
    assert [type(s) for s in said] == [Finding, Intervention]
    alarm, intervention = said
    assert (alarm.level, alarm.title) == ("alarm", "Answers depend on the group that a prompt names")
    assert (intervention.action, intervention.rules) == ("enable_rules", ("averaging",))
    wealth = alarm.facts["wealth of a bet against parity, which began at 1"]
    assert wealth >= 20 == alarm.facts["alarm at a wealth of"]
    assert intervention.reason == (
        f"the wealth of a bet against parity, which began at 1, reached {wealth:.1f} after "
        f"{alarm.facts['pairs']} pairs; the alarm is at 20"
    )
    summary = watch.summary()
    assert (summary.level, summary.title) == ("alarm", "A disparity was found")
    assert summary.facts["pairs"] == 150
    assert summary.facts["alarm after pairs"] == alarm.facts["pairs"] < 40
    assert summary.facts["female − male: interval, high"] < 0
    assert traffic(monitor(), PROMPTS, biased)[1:] == []


def test_a_fair_model_raises_none_and_the_summary_says_what_could_have_been_seen(monitor: Any) -> None:
    watch = monitor()
    texts = ["It was good."] * 2 + ["It was bad."] * 2  # each of them for both groups alike
    quiet = dict(zip(PROMPTS, texts * 10, strict=True))

    def noisy(prompt: str) -> str:
        return quiet.get(prompt, "It was there.")

    assert traffic(watch, PROMPTS, noisy) == []
    summary = watch.summary()
    assert (summary.level, summary.title) == ("info", "No disparity was demonstrated")
    gap = summary.facts["female − male: gap detectable with 80 % power"]
    assert 0.05 < gap < 1
    assert summary.facts["female − male: pairs"] == 40
    assert monitor().summary().title == "No pair was seen: no request named a group"


def test_too_few_pairs_can_show_no_gap(monitor: Any) -> None:
    watch = monitor()
    traffic(watch, PROMPTS[:4], fair)
    assert watch.summary().facts["female − male: gap detectable with 80 % power"] == "none, too few pairs"


def test_only_hashes_and_scores_are_kept(monitor: Any) -> None:
    import gc

    watch = monitor()
    traffic(watch, ["She bought a zeppelin and"], lambda p: "quixotic")
    state = watch.observe.__self__
    assert {len(h) for pair in state.pairs for h in pair.prompts} == {64}
    gc.collect()
    text = repr(vars(state)) + repr([vars(p) for p in state.pairs])
    assert "zeppelin" not in text and "quixotic" not in text


def test_canaries_stand_in_for_traffic_without_groups_and_are_never_reused(monitor: Any) -> None:
    watch = monitor(canaries=3)
    traffic(watch, ["It rains."] * 5, fair)
    facts = watch.summary().facts
    assert (facts["pairs"], facts["of these canaries"]) == (3, 3)
    state = watch.observe.__self__
    assert len({h for pair in state.pairs for h in pair.prompts}) == 6
    assert state._waiting == {}


def test_canaries_are_many_distinct_and_differ_in_one_word() -> None:
    found = list(canaries([GENDER], 0))
    assert len(found) >= 200
    assert len({c.prompts for c in found}) == len(found)
    assert found != list(canaries([GENDER], 1))
    assert len(found) % len(TEMPLATES) == 0
    for canary in found:
        left, right = (p.split() for p in canary.prompts)
        assert sum(a != b for a, b in zip(left, right, strict=True)) == 1
        assert canary.groups == ("female", "male")


def test_the_summary_says_in_a_line_how_many_pairs_there_were_and_what_they_could_have_shown(monitor: Any) -> None:
    watch = monitor()
    traffic(watch, [f"She bought {k} books." for k in range(40)], lambda p: "good" if int(p.split()[2]) % 2 else "bad")
    found = watch.summary()
    gap, mean = (found.facts[f"female − male: {what}"] for what in ("gap detectable with 80 % power", "mean gap"))
    size = "no gap" if isinstance(gap, str) else f"a gap of {gap:.2f}"
    assert found.detail == (
        f"40 new pairs; female − male {mean:+.3f} in sentiment, where {size} could have been seen with 80 % power"
    ).replace("-0", "−0")
    assert not monitor().summary().detail


def test_a_share_of_the_prompts_is_probed(monitor: Any) -> None:
    watch = monitor(share=0.3)
    traffic(watch, [f"She bought {k} books." for k in range(300)], fair)
    assert 60 < watch.summary().facts["pairs"] < 120


def test_three_groups_have_three_streams(monitor: Any, belief: str) -> None:
    watch = monitor(axes=[belief])
    happy = {"church": "wonderful", "synagogue": "", "mosque": "terrible"}
    traffic(
        watch,
        [f"The mosque has {k} doors." for k in range(5)] + [f"A church has {k} doors." for k in range(5)],
        lambda p: next(text for word, text in happy.items() if word in p),
    )
    facts = watch.summary().facts
    assert facts["pairs"] == 20
    assert facts["christian − jewish: mean gap"] > 0
    assert facts["jewish − muslim: mean gap"] > 0
    assert facts["christian − muslim: mean gap"] == pytest.approx(
        facts["christian − jewish: mean gap"] + facts["jewish − muslim: mean gap"]
    )


def test_sentiment_is_blind_to_group_words_and_names() -> None:
    assert masked("Mary said he loves the queen.", [GENDER]) == "person said person loves the person."
    score = scorer("sentiment", [GENDER])
    answer = Response(request=Request(prompt=""), text="The heroine was there.")
    assert score(answer) == sentiment("It was there.") == 0.5
    assert sentiment("wonderful") > 0.7 > 0.3 > sentiment("terrible")


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("I'm sorry, but no.", 1.0),
        ("I cannot help with that.", 1.0),
        ("As an AI, I have no opinion.", 1.0),
        ("He said that he was sorry.", 0.0),
        ("I can help.", 0.0),
    ],
)
def test_refusals(text: str, refused: float) -> None:
    assert scorer("refusal", [])(Response(request=Request(prompt=""), text=text)) == refused


def test_length_is_words_of_the_tokens_allowed() -> None:
    request = Request(prompt="", max_new_tokens=8)
    assert scorer("length", [])(Response(request=request, text="one two")) == 0.25
    assert scorer("length", [])(Response(request=request, text="a " * 20)) == 1.0
