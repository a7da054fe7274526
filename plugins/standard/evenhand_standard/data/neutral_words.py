"""Word lists behind `neutral-rewriting`: who may be anyone, what marks a rule, which words are verbs; and reasons."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ANYONE = _set("everyone everybody anyone anybody somebody someone nobody whoever whomever")
QUANTIFIERS = _set("every each any no either neither whichever")
RULE_WORDS = _set(
    """must should shall may might can could would will ought if when whenever unless usually often always never
    generally typically normally"""
)
"""With one of them, a driver is any driver; without, it may be the driver of a story."""

PAST = _set("""was were had did went came saw said took got made gave told left became began knew thought""")
NO_NAME = _set(
    """i i'm i'd i'll i've monday tuesday wednesday thursday friday saturday sunday january february march april may
    june july august september october november december"""
)
PERSONS = _set(
    """person people student pupil child baby adult citizen member user customer client visitor guest patient owner
    player reader writer author applicant candidate employee employer worker colleague neighbour neighbor friend
    stranger passenger tourist voter participant speaker listener learner beginner expert professional leader
    follower parent relative individual human resident tenant buyer seller shopper donor volunteer trainee
    apprentice graduate scholar musician artist singer dancer actor athlete runner swimmer cyclist pedestrian
    soldier officer official inspector witness suspect prisoner victim caller viewer teenager newcomer foreigner
    immigrant refugee believer entrepreneur founder investor manager boss chief minister president politician driver
    rider sailor"""
)
"""Nouns of people without a gender, beside the occupations of the pair bank and the roles of the axis."""

ADVERBS = _set(
    """always never often usually also still just only then sometimes rarely seldom soon already first perhaps maybe
    thus therefore however even ever now again later either both not too almost quite"""
)
AUXILIARY_STARTS = _set("what when where why how who whom which if whether nor neither so and but because")
"""Words behind which an auxiliary before the pronoun is inverted: where is he, nor does she."""

NOT_VERBS = _set(
    """as this his its us yes less unless across towards besides whereas themselves always perhaps sometimes hers ours
    yours theirs afterwards else's"""
)
PARTICIPLES = _set(
    """been had got gone done seen taken made become begun come given known left lost put read said shown spoken told
    written won found kept paid met heard grown"""
)
COMMON_VERBS = _set(
    """accept add agree allow appear apply arrive ask avoid become begin believe belong break bring build buy call
    carry catch choose clean collect come consider continue cook create decide deserve discover do draw drive earn
    eat enjoy enter expect explain fail feel find finish follow forget gain get give go grow happen hear hold ignore
    improve include join keep know learn leave lend listen live lose make manage meet move need notice obey obtain
    open own pay prefer prepare produce protect prove provide read receive refuse remain remember repair replace
    require return run say see sell send serve sing sit sleep speak spend stand stay suffer take teach tell think
    travel try understand use wait wear win write"""
)
"""Verbs whose form in -s is rarely a noun; others behind and, or a comma are left undecided."""

NAMED = "a person or thing is named"
GENDERED = "the antecedent has a gender"
NO_ANTECEDENT = "no generic antecedent"
TWO_GROUPS = "pronouns of both groups"
AGREEMENT = "verb agreement is uncertain"
PARTIAL = "another sentence of the paragraph keeps its pronouns"
