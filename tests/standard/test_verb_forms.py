"""The plain forms of verbs: each ending, the verbs that go the rarer way, and what spelling does not tell."""

from __future__ import annotations

import pytest

from evenhand_standard.data.verb_forms import base_form

AS_SPELT = {
    "-s": "plays play, agrees agree, sees see, dyes dye, argues argue, queues queue, wins win, takes take, skis ski, "
    "bathes bathe, breathes breathe, judges judge, dances dance, moves move, boos boo, triumphs triumph, taxis taxi",
    "-ies": "carries carry, flies fly, tries try, studies study, soliloquies soliloquy, dies die, lies lie, ties tie, "
    "vies vie, unties untie, belies belie, underlies underlie, stymies stymie",
    "-oes": "goes go, undergoes undergo, vetoes veto, echoes echo, torpedoes torpedo, shoes shoe, hoes hoe, toes toe, "
    "tiptoes tiptoe, canoes canoe",
    "-ches": "watches watch, teaches teach, attaches attach, searches search, matches match, aches ache, "
    "bellyaches bellyache, caches cache, niches niche, stomachs stomach, douches douche",
    "-shes": "pushes push, washes wash, vanishes vanish",
    "-xes": "fixes fix, boxes box, annexes annex, axes axe, poleaxes poleaxe",
    "-zes": "realizes realize, gazes gaze, freezes freeze, seizes seize, buzzes buzz, fizzes fizz, quizzes quiz, "
    "waltzes waltz, blitzes blitz, adzes adze",
    "-sses": "passes pass, misses miss, assesses assess, discusses discuss, gasses gas, focusses focus, biasses bias, "
    "finesses finesse",
    "-ases": "bases base, phrases phrase, chases chase, increases increase, pleases please, leases lease, cases case, "
    "biases bias, gases gas, canvases canvas, aliases alias",
    "-uses": "uses use, refuses refuse, accuses accuse, amuses amuse, causes cause, pauses pause, houses house, "
    "focuses focus, refocuses refocus, choruses chorus, caucuses caucus, buses bus, censuses census",
    "-ises": "raises raise, rises rise, advises advise, practises practise, organises organise, trellises trellis",
    "-oses": "loses lose, chooses choose, closes close, poses pose",
    "-yses": "analyses analyse, paralyses paralyse",
    "-nses": "senses sense, licenses license, summonses summons, lenses lens",
    "-lses, -pses, -rses, -wses": "pulses pulse, collapses collapse, rehearses rehearse, nurses nurse, browses browse",
    "with a hyphen": "re-uses re-use, cross-dresses cross-dress, re-focuses re-focus",
    "irregular": "is are, was were, has have, does do, isn't aren't, doesn’t don’t",
    "in capitals": "CARRIES CARRY, WATCHES WATCH, IS ARE, Goes Go, Isn't Aren't",
}
UNSURE = ["frobuses", "yases", "bleses", "menus", "plus", "chassis", "pajamas", "who's", "pass", "walk", "nies"]


@pytest.mark.parametrize("ending", AS_SPELT)
def test_plain_forms(ending: str) -> None:
    pairs = [pair.split() for pair in AS_SPELT[ending].split(", ")]
    assert {form: base_form(form) for form, _ in pairs} == dict(pairs)


def test_so_many_verbs_are_held_to_it() -> None:
    assert sum(len(verbs.split(", ")) for verbs in AS_SPELT.values()) == 136


@pytest.mark.parametrize("word", UNSURE)
def test_where_spelling_does_not_tell_there_is_none(word: str) -> None:
    assert base_form(word) is None
