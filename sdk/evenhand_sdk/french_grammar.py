"""French, by rule: agreement, elision and contraction around a word that changes its gender, and who il and elle are.

Son, sa and ses agree with the thing that is owned, so they change with the owned person (sa sœur: son frère) and
never with the owner (elle perd son livre: il perd son livre).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from evenhand_sdk import french_words as words
from evenhand_sdk.axes import WordTuple
from evenhand_sdk.clause_words import (
    FEMALE,
    GUESS,
    LIKELY,
    MALE,
    SURE,
    Token,
    is_given_name,
    like,
    tokens_after,
    tokens_before,
)
from evenhand_sdk.french_pronouns import is_impersonal, is_tonic
from evenhand_sdk.grammar import Replacement, Swap
from evenhand_sdk.pronoun_things import Meant
from evenhand_sdk.romance_grammar import Romance
from evenhand_sdk.romance_owners import Agreement

_VOWELS = "aeiouyàâäéèêëîïôöûüœæ"
_ASKED = re.compile(r"\s?\?\s+(?:[^\W\d_]+,?\s+){0,2}(?:je|tu|on|nous|vous)\s+(?:ne\s+)?(la|le)\s", re.IGNORECASE)
_IN_FRONT = {"beau": "bel", "nouveau": "nouvel", "vieux": "vieil", "fou": "fol", "mou": "mol"}
_CONTRACTED = {("de", "le"): "du", ("à", "le"): "au"}
_ELIDED = frozenset(("que", "jusque", "lorsque", "puisque", "quoique", "parce que"))
_PLURALS = {"bel": "beaux", "nouvel": "nouveaux", "vieil": "vieux"}


def starts_with_vowel(word: str) -> bool:
    """Whether the article before the word is elided: a vowel, or an h that is not aspirated."""
    lowered = word.lower()
    if not lowered.startswith("h"):
        return lowered[:1] in _VOWELS and not lowered.startswith(("onz", "oui", "yaourt", "yacht"))
    if lowered.startswith(words.SILENT):
        return True
    return not lowered.startswith(words.ASPIRATED)


class French(Romance):
    """French grammar by rule."""

    locale = "fr"
    pronouns_after_hyphen = True
    cases_told_apart: Collection[frozenset[str]] = (frozenset({"subject", "object"}),)
    sentence_end = re.compile(r"(?<!\bM)(?<!\bMM)(?<!\bDr)[.!?…]+[\"'”’»)\]]*\s+(?=[^\Wa-z_]|[\"“‘'«(\[])|\n+")
    small_words: Collection[str] = words.SMALL_WORDS
    adverbs = words.ADVERBS
    prepositions = words.PREPOSITIONS
    conjunctions = words.CONJUNCTIONS
    linking = words.LINKING
    before_verb = words.BEFORE_VERB
    having = words.HAVING
    been = words.BEEN
    fixed_determiners = words.FIXED_DETERMINERS - {"l'"}
    relative = frozenset(("qui",))
    plural_determiners = words.PLURAL_DETERMINERS
    place_prepositions = words.PLACE_PREPOSITIONS
    subordinators = words.SUBORDINATORS
    moving = words.MOVING
    perfect = words.AVOIR
    non_finite = words.NON_FINITE
    degrees = frozenset(("plus", "moins", "mieux"))
    comparisons = frozenset(("plus", "moins", "très", "trop", "aussi"))
    adverbial = words.ADVERBIAL
    neuter = words.NEUTER
    speakers = words.SPEAKERS
    comparing = words.COMPARING
    set_phrases = frozenset(("lit", "table", "chambre"))
    heads = words.HEADS | {masc: fem for fem, masc in words.HEADS.items()}
    feminine_heads = frozenset(words.HEADS)
    ranks = words.RANKS
    whoever = words.WHOEVER
    subjects = words.SUBJECTS
    adjectives_too = words.ADJECTIVES_TOO
    of_whom = frozenset(("qui", "que", "qu'", "dont"))
    leads = (("une", "fois"), ("bien", "que"), ("quoique",))
    personal = words.PERSONAL
    crowds = words.CROWDS
    feminine_determiners = frozenset(words.FEMININE)
    masculine_determiners = frozenset(words.MASCULINE)
    particles = words.PARTICLES
    attended = words.ATTENDED
    verbs_too = words.VERBS_TOO
    verbs_behind_noun = words.VERBS_BEHIND_NOUN
    to_oneself = words.TO_ONESELF
    only_verbs = frozenset(("dit", "fait", "écrit"))

    # --- forms ---

    def plural(self, word: str) -> str:
        if word.endswith(("s", "x", "z")):
            return word
        if word.endswith("eau"):
            return word + "x"
        return word[:-2] + "aux" if word.endswith("al") else word + "s"

    def is_complement(self, rest: Sequence[Token], to: Agreement) -> bool:
        partitive = len(rest) == 1 and rest[0].lower in ("de", "d'") and to.plural  # De nombreux étudiants
        return super().is_complement(rest, to) and not partitive

    def by_rule(self, word: str, to: Agreement) -> tuple[str, float] | None:
        fem = to.fem
        if fem and word in _IN_FRONT.values():
            masculine = next(full for full, short in _IN_FRONT.items() if short == word)
            return self.forms[masculine, True, False], 1.0
        if word.rstrip("s").endswith(words.EPICENE_ENDINGS) and word.rstrip("s") not in words.NO_EPICENE:
            return word, 1.0
        if word.removesuffix("s") in words.INVARIABLE:
            return word, 1.0
        if word in words.NO_PARTICIPLE or len(word) < 5:
            return None
        if word not in words.NO_ADJECTIVE:
            for masculine, feminine in words.ENDINGS:
                if fem and word.endswith(masculine):
                    return word[: -len(masculine)] + feminine + (
                        "s" if to.plural and feminine == "euse" else ""
                    ), LIKELY
                if not fem and word.endswith(feminine) and masculine[:3] in ("eux", "ien"):
                    return word[: -len(feminine)] + masculine, LIKELY
        if fem and word.endswith(("é", "és")):
            return (word + "e", LIKELY) if word.endswith("é") else (word[:-1] + "es", LIKELY)
        if not fem and word.endswith(("ée", "ées")):
            return (word[:-1], LIKELY) if word.endswith("ée") else (word[:-2] + "s", LIKELY)
        return None

    def predicate_by_rule(self, word: str, to: Agreement) -> tuple[str, float] | None:
        if word in words.NO_PREDICATE or word in self.adverbs | self.prepositions or word.endswith(("ment", "ments")):
            return None
        stem, ending = (word[:-1], "s") if word.endswith("s") and (to.plural or word.endswith("es")) else (word, "")
        if len(stem) < 4:
            return None
        for masculine, feminine in sorted(words.PREDICATES, key=lambda pair: -len(pair[0 if to.fem else 1])):
            old, new = (masculine, feminine) if to.fem else (feminine, masculine)
            if stem.endswith(old):
                return stem[: -len(old)] + new + ("" if new.endswith("s") else ending), LIKELY
        return None

    def old_form(self, word: str, to: Agreement) -> tuple[str, float] | None:
        lowered = word.lower()
        listed = self.forms.get((lowered, *to))
        if listed is not None:
            return None if listed == lowered else (like(word, listed), SURE)
        singular = ("é", "eux") if to.fem else ("ée", "euse", "ienne")
        endings = tuple(end + "s" for end in singular if end != "eux") if to.plural else singular
        if (
            not lowered.endswith(endings)
            or lowered in words.NO_PARTICIPLE
            or lowered.removesuffix("s") in (words.NO_PARTICIPLE)
        ):
            return None
        made = self.by_rule(lowered, to)
        return None if made is None else (like(word, made[0]), made[1])

    def is_bare_noun(self, tokens: Sequence[Token], position: int) -> bool:
        infinitive = tokens[position].lower.endswith(("er", "ir", "re", "oir"))
        return not infinitive and super().is_bare_noun(tokens, position)

    def is_plural_verb(self, verb: str) -> bool:
        return verb.endswith(("ent", "ont"))

    def may_be(self, noun: str, *, fem: bool) -> bool:
        stem = noun.removesuffix("s")
        if fem:
            return (
                noun in words.FEMININE_NOUNS or stem in words.FEMININE_NOUNS or not stem.endswith(words.MASCULINE_ENDS)
            )
        return (
            noun not in words.FEMININE_NOUNS
            and stem not in words.FEMININE_NOUNS
            and not stem.endswith(words.FEMININE_ENDS)
        )

    def in_front(self, word: str, *, before: str) -> str:
        short = _IN_FRONT.get(word.lower())
        return like(word, short) if short and starts_with_vowel(before) else word

    def unclear(self, word: str, *, fem: bool) -> bool:
        return (not fem and word.endswith(("te", "se", "ue", "ie", "ve", "le", "ne"))) and not self.is_small(word)

    def determiner(self, word: str, *, fem: bool, before: str) -> str | None:
        vowel = starts_with_vowel(before)
        if word == "l'":
            return "l'" if vowel else ("la" if fem else "le")
        if word in ("mon", "ton", "son") and not fem and vowel:
            return word  # mon amie, mon ami
        made = (words.MASCULINE if fem else words.FEMININE).get(word)
        if made is None:
            return None
        if made in ("la", "le") and vowel:
            return "l'"
        if made in ("à la", "de la") and vowel:
            return made[:-2] + "l'"
        if made in ("ma", "ta", "sa") and vowel:
            return made[0] + "on"
        return "cet" if made == "ce" and vowel else made

    def joined(self, preposition: str, determiner: str | None, *, before: str) -> str | None:
        if determiner in ("le", "la", "l'"):
            if preposition in ("de", "à"):
                return _CONTRACTED.get((preposition, determiner), f"{preposition} {determiner}")
            return None
        first = determiner or before
        vowel = starts_with_vowel(first)
        if preposition in ("de", "d'"):
            return ("d'" if vowel else "de " if determiner else "de") + (determiner or "")
        if preposition in ("si", "s'") and determiner is None and first.lower() in ("il", "ils", "elle", "elles"):
            return "s'" if first.lower() in ("il", "ils") else "si"
        stem = preposition[:-1] + "e" if preposition.endswith("'") else preposition
        if stem in _ELIDED and (preposition.endswith("'") != vowel):
            return stem[:-1] + "'" if vowel else stem
        return None

    def word_itself(self, swap: Swap, before: Sequence[Token], after: Sequence[Token], *, fem: bool) -> str:
        lowered = swap.before.lower()
        owned = bool(before) and before[0].lower in words.OWNING
        of_somebody = any(token.lower in self.persons for token in after[1:4]) and (
            bool(after)
            and after[0].lower in ("de", "du", "d'")
            and bool(before)
            and before[0].lower in ("la", "une", "les")
        )
        of_man = len(after) > 1 and after[0].lower in ("de", "d'") and after[1].lower in self.names
        if lowered in ("femme", "femmes") and (owned or of_man) and not fem:
            return like(swap.before, "mari" + lowered[5:])
        if lowered in ("fille", "filles") and (owned or of_somebody) and not fem:
            return like(swap.before, "fils")
        if (
            lowered in ("monsieur", "messieurs")
            and fem
            and before
            and before[0].is_word
            and before[0].lower not in ("et", "ou")
        ):
            return like(swap.before, "dame" + lowered[8:] if lowered == "monsieur" else "dames")
        return swap.after

    # --- agreement that only French has ---

    def repairs(self, text: str, swap: Swap) -> Sequence[Replacement]:
        found = list(super().repairs(text, swap))
        if set(swap.groups) == {FEMALE, MALE} and swap.row.case != "object":
            found = _all_alone(text, swap) + found
        if swap.row.pos == "noun" and FEMALE in swap.groups:
            to = Agreement(swap.groups[swap.target] == FEMALE, swap.row.number == "plural")
            found += self._relative_clause(text, swap, to)
            found += self.question_clitic(text, swap, _ASKED, {"le": "la"} if to.fem else {"la": "le"})
        return found

    def _relative_clause(self, text: str, swap: Swap, to: Agreement) -> list[Replacement]:
        """The participle of a relative clause whose object is the noun (la femme que j'ai vue)."""
        after = tokens_after(text, swap.end)
        if not after or after[0].lower not in ("que", "qu'"):
            return []
        for position, token in enumerate(after[1:6], 1):
            if token.lower in words.AVOIR:
                while position + 1 < len(after) and after[position + 1].lower in words.ADVERBS:
                    position += 1
                if position + 1 >= len(after):
                    return []
                participle = after[position + 1]
                form = self.adjective(participle.word, to) if participle.is_word else None
                if form is None:
                    return []
                return [Replacement(participle.start, participle.end, form[0], min(form[1], LIKELY))]
        return []

    # --- pronouns ---

    def meant(self, text: str, start: int, end: int) -> Meant:
        before, after = tokens_before(text, start), tokens_after(text, end)
        if before and before[0].lower in self.conjunctions and after and after[0].word == ",":
            return Meant.PERSON  # Il portait une veste et elle, une jupe
        return super().meant(text, start, end)

    def is_nobody(self, tokens: Sequence[Token], place: int) -> bool:
        before, after = tokens[max(0, place - 8) : place][::-1], tokens[place + 1 : place + 9]
        return tokens[place].lower == "il" and is_impersonal(before, after, self.persons)

    def is_first_name(self, text: str, start: int, end: int, is_name: Callable[[str], bool]) -> bool:
        return is_given_name(text, start, end, words.TITLES, is_name)

    def case(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        before = tokens_before(text, start)
        after = tokens_after(text, end)
        if text[start - 1 : start] == "-":
            return "subject", SURE
        if after[:1] and after[0].lower in ("et", "ou"):
            return "object", LIKELY  # elle et son frère
        apart = not before or not before[0].is_word
        if apart and len(after) > 1 and (after[0].lower == "qui" or (after[0].word == "," and _is_subject(after[1]))):
            return "object", LIKELY  # Elle, elle chante
        if not before:
            return "subject", SURE
        previous = before[0].lower
        if previous in ("que", "qu'"):
            ends = not after or not after[0].is_word
            compares = any(
                token.lower in ("plus", "moins", "aussi", "autant", "même", "mieux") for token in before[1:5]
            )
            return ("object", LIKELY) if ends and compares else ("subject", LIKELY)
        joined = before[1].lower if len(before) > 1 and previous in ("et", "ou", "ni") else ""
        if joined in words.TONIC_PRONOUNS and not joined.startswith("elle"):
            return "object", LIKELY  # lui et elle
        if previous in self.conjunctions and after and after[0].word == ",":
            return "object", LIKELY  # et elle, une jupe
        if previous in ("et", "ou", "ni", "est"):
            ends = not after or after[0].lower not in words.LINKING | words.HAVING | words.BEFORE_VERB
            return ("object", GUESS) if ends and previous == "est" else ("subject", GUESS)
        return ("object", SURE) if previous in words.TONIC or previous.endswith("jusqu'à") else ("subject", SURE)

    def case_so_far(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        before = tokens_before(text, start)
        tonic = bool(before) and before[0].lower in words.PREPOSITIONS
        return ("object" if tonic else "subject"), GUESS

    def names_person(
        self, text: str, start: int, end: int, row: WordTuple, is_group_word: Callable[[str], bool]
    ) -> bool:
        word = text[start:end].lower()
        after = tokens_after(text, end)
        if word == "lui":
            return is_tonic(text, start, after)
        previous = tokens_before(text, start)
        if word == "il" and is_impersonal(previous, after, self.persons):
            return False
        if (
            previous
            and previous[0].lower in ("que", "qu'")
            and len(previous) > 1
            and not self._is_verb_like(previous[1])
        ):
            return True  # la lettre qu'elle a écrite: the noun is the object, not the subject
        return self.meant(text, start, end) is not Meant.THING

    def names_person_so_far(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        word = text[start:end].lower()
        return word not in ("il", "lui")  # what follows would have to tell

    def _is_verb_like(self, token: Token) -> bool:
        return (
            token.lower in ("dit", "pense", "croit", "sait", "veut", "parce", "si", "plus", "est") or not token.is_word
        )


def _is_subject(token: Token) -> bool:
    return token.lower in ("il", "elle", "ils", "elles")


def _all_alone(text: str, swap: Swap) -> list[Replacement]:
    """Tout seul agrees with the subject of its clause."""
    old, new = ("toute seule", "tout seul") if swap.groups[swap.source] == FEMALE else ("tout seul", "toute seule")
    clause = tokens_after(text, swap.end)
    for first, second in zip(clause, clause[1:], strict=False):
        if f"{first.lower} {second.lower}" == old:
            return [Replacement(first.start, second.end, new, GUESS)]
    return []
