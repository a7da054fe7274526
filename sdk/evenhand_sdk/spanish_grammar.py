"""Spanish, by rule: agreement and contraction around a word that changes its gender.

Su and sus have one form; lo and la are changed only behind a question about a person. Behind a noun only listed
adjectives and clear endings change, since many verbs end in -a (la vecina llama); behind a linking verb every word in
-a or -o that is not known to be something else does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from evenhand_sdk import spanish_words as words
from evenhand_sdk.axes import WordTuple
from evenhand_sdk.clause_words import FEMALE, LIKELY, SURE, Token, is_given_name, like, tokens_before
from evenhand_sdk.grammar import Replacement, Swap
from evenhand_sdk.pronoun_things import Meant
from evenhand_sdk.romance_grammar import Romance
from evenhand_sdk.romance_owners import Agreement

_ASKED = re.compile(r"\?\s+(?:[^\W\d_]+,?\s+){0,2}?(la|lo)\s", re.IGNORECASE)
_MASCULINE = words.PAIRS
_FEMININE = {masc: fem for fem, masc in words.PAIRS.items()}
_CONTRACTED = {("de", "el"): "del", ("a", "el"): "al"}
_CLEAR = ("ada", "ida", "osa", "iva", "ísima", "ática", "ógica", "ófica")
_POSSESSIVES = frozenset(["mi", "tu", "su", "nuestra", "vuestra", "mis", "tus", "sus", "nuestras", "vuestras"])


class Spanish(Romance):
    """Spanish grammar by rule."""

    locale = "es"
    sentence_end = re.compile(
        r"(?<!\bSr)(?<!\bSra)(?<!\bDr)(?<!\bDra)[.!?…]+[\"'”’»)\]]*\s+(?=[^\Wa-z_]|[\"“‘'«(\[¿¡])|\n+"
    )
    small_words: Collection[str] = words.SMALL_WORDS
    adverbs = words.ADVERBS
    prepositions = words.PREPOSITIONS
    conjunctions = words.CONJUNCTIONS
    linking = words.LINKING
    before_verb = words.BEFORE_VERB
    having = words.HAVING
    been = words.BEEN
    fixed_determiners = words.FIXED_DETERMINERS
    relative = frozenset(("que",))
    plural_determiners = words.PLURAL_DETERMINERS
    place_prepositions = words.PLACE_PREPOSITIONS
    subordinators = words.SUBORDINATORS
    moving = words.MOVING
    perfect = words.HAVING | words.OTHER_HAVING
    non_finite = words.NON_FINITE
    degrees = frozenset(("más", "menos", "mejor", "peor"))
    comparisons = frozenset(("más", "menos", "muy", "tan"))
    adverbial = words.ADVERBIAL
    neuter = words.NEUTER
    speakers = words.SPEAKERS
    comparing = words.COMPARING
    set_phrases = frozenset(("casa", "clase", "misa", "cama", "trabajo"))
    heads = words.HEADS | {masc: fem for fem, masc in words.HEADS.items()}
    feminine_heads = frozenset(words.HEADS)
    ranks = words.RANKS
    subjects = words.SUBJECTS
    adjectives_too = words.ADJECTIVES_TOO
    unsure = frozenset((Meant.EITHER, Meant.THING))
    of_whom = frozenset(("que",))
    leads = (("una", "vez"), ("aunque",), ("si", "bien"))
    personal = words.PERSONAL
    crowds = words.CROWDS
    feminine_determiners = frozenset(words.PAIRS)
    masculine_determiners = frozenset(words.PAIRS.values()) | {"del", "al"}
    particles = words.PARTICLES
    attended = words.ATTENDED
    verbs_too = words.VERBS_TOO

    # --- forms ---

    def plural(self, word: str) -> str:
        if word[-1] in "aeo":
            return word + "s"
        accented = {"á": "a", "é": "e", "í": "i", "ó": "o", "ú": "u"}
        if word[-2] in accented and word[-1] in "ns":
            word = word[:-2] + accented[word[-2]] + word[-1]
        return word[:-1] + "ces" if word.endswith("z") else word + "es"

    def by_rule(self, word: str, to: Agreement) -> tuple[str, float] | None:
        if word in words.INVARIABLE:
            return word, 1.0
        plural = word.endswith("s")
        stem = word[:-1] if plural else word
        if word in words.NO_ADJECTIVE or len(stem) < 4:
            return None
        ending = "s" if plural else ""
        if to.fem and stem.endswith("o"):
            fem = stem[:-1] + "a"
            if fem.endswith(_CLEAR):
                return fem + ending, LIKELY
        if not to.fem and stem.endswith(_CLEAR):
            return stem[:-1] + "o" + ending, LIKELY
        return None

    def predicate_by_rule(self, word: str, to: Agreement) -> tuple[str, float] | None:
        stem, ending = (word[:-1], "s") if word.endswith("s") else (word, "")
        known = words.NO_ADJECTIVE | self.adverbs | self.prepositions | self.fixed_determiners | words.PAIRS.keys()
        if (
            stem in known
            or word in known
            or word in words.PAIRS.values()
            or len(stem) < 4
            or word.endswith(("mente", "ndo"))
        ):
            return None
        old, new = ("o", "a") if to.fem else ("a", "o")
        return (stem[:-1] + new + ending, LIKELY) if stem.endswith(old) else None

    def before_noun(self, change: Replacement, following: Token, to: Agreement) -> Replacement:
        word = following.lower
        if to.fem or not following.is_word or self.is_small(word) or word in self.adjectives | self.relative:
            return change
        short = self.in_front(change.after, before=word)
        if short == change.after or word in self.persons_of or self.may_be(word, fem=False):
            return change._replace(after=short)
        return change._replace(after=change.after[:-1] + "a")  # es buena persona

    def right_behind(self, word: str, to: Agreement) -> tuple[str, float] | None:
        lowered = word.lower()
        stem, ending = (lowered[:-1], "s") if lowered.endswith("s") else (lowered, "")
        if stem == ("mismo" if to.fem else "misma"):
            return stem[:-1] + ("a" if to.fem else "o") + ending, LIKELY
        if (
            not to.fem or not word[0].islower() or not stem.endswith("o") or len(stem) < 5 or self.is_small(lowered)
            or (ending != "") is not to.plural or stem.endswith(words.NO_ADJECTIVE_ENDS)
            or {stem, lowered} & (words.NO_ADJECTIVE | words.NO_PARTICIPLE | words.APPOSED | self.adverbial)
        ):  # fmt: skip
            return None
        return stem[:-1] + "a" + ending, LIKELY

    def old_form(self, word: str, to: Agreement) -> tuple[str, float] | None:
        lowered = word.lower()
        listed = self.forms.get((lowered, *to))
        if listed is not None:
            return None if listed == lowered else (like(word, listed), SURE)
        stem = lowered.removesuffix("s")
        ending = ("ado", "ido") if to.fem else ("ada", "ida")
        known = words.NO_ADJECTIVE | words.NO_PARTICIPLE
        if lowered.endswith("s") is not to.plural or not stem.endswith(ending) or stem in known or lowered in known:
            return None
        made = self.by_rule(lowered, to)
        return None if made is None else (like(word, made[0]), made[1])

    def is_plural_verb(self, verb: str) -> bool:
        return verb.endswith("n")

    def may_be(self, noun: str, *, fem: bool) -> bool:
        stem = noun.removesuffix("s").removesuffix("e") if noun.endswith("es") else noun.removesuffix("s")
        masculine = stem.endswith(("o", "or", "aje", "ema", "oma", "ama")) or stem == "día"
        feminine = stem.endswith(("a", "ión", "ion", "dad", "tad", "tud", "umbre")) and not masculine
        return not masculine if fem else not feminine

    def is_bare_noun(self, tokens: Sequence[Token], position: int) -> bool:
        lowered = tokens[position].lower
        if (
            position == 0
            or self.is_small(lowered)
            or lowered in self.adjectives
            or lowered.endswith(("ar", "er", "ir", "ndo", "mente"))
        ):
            return False
        if super().is_bare_noun(tokens, position):
            return True
        verb = tokens[position - 1]  # vende ropa: two words that are neither small nor nouns
        return (
            verb.is_word
            and not self.is_small(verb.lower)
            and verb.lower not in self.relative
            and not (position > 1 and (self.is_determiner(tokens[position - 2].lower)))
        )

    def is_impersonal_clause(self, tokens: Sequence[Token], position: int) -> bool:
        if self.verb_before(tokens, position) is None:
            return False
        following = tokens[position + 1].lower if position + 1 < len(tokens) else ""
        return (
            tokens[position].lower in words.IMPERSONAL or following == "que"
            or (following.endswith(("ar", "er", "ir")) and len(following) > 3)
        )  # fmt: skip

    def adjective(self, word: str, to: Agreement, *, predicate: bool = False) -> tuple[str, float] | None:
        short = {masc: fem for fem, masc in words.SHORTENED.items()}
        if to.fem and word.lower() in short:
            return like(word, short[word.lower()]), 1.0
        return super().adjective(word, to, predicate=predicate)

    def in_front(self, word: str, *, before: str) -> str:
        short = words.SHORTENED.get(word.lower()[:-1] + "a") if word.lower().endswith("o") else None
        return like(word, short) if short else word

    def determiner(self, word: str, *, fem: bool, before: str) -> str | None:
        if fem and word in ("del", "al"):
            return "de la" if word == "del" else "a la"
        return (_FEMININE if fem else _MASCULINE).get(word)

    def joined(self, preposition: str, determiner: str | None, *, before: str) -> str | None:
        return _CONTRACTED.get((preposition, determiner or ""))

    def word_itself(self, swap: Swap, before: Sequence[Token], after: Sequence[Token], *, fem: bool) -> str:
        lowered = swap.before.lower()
        owned = bool(before) and before[0].lower in _POSSESSIVES
        of_man = len(after) > 1 and after[0].lower == "de" and after[1].lower in self.names
        if lowered in ("mujer", "mujeres") and (owned or of_man) and not fem:
            return like(swap.before, "marido" + lowered[5:].replace("es", "s"))
        return swap.after

    def unclear(self, word: str, *, fem: bool) -> bool:
        return not fem and word.endswith(("a", "as")) and word not in words.NO_ADJECTIVE and not self.is_small(word)

    # --- agreement ---

    def repairs(self, text: str, swap: Swap) -> Sequence[Replacement]:
        found = list(super().repairs(text, swap))
        if swap.row.pos == "noun" and FEMALE in swap.groups:
            fem = swap.groups[swap.target] == FEMALE
            found += self.question_clitic(text, swap, _ASKED, {"lo": "la"} if fem else {"la": "lo"})
        if FEMALE in swap.groups:
            found += self._doubled(text, swap)
        return found

    def _doubled(self, text: str, swap: Swap) -> list[Replacement]:
        """The clitic that says in front of the verb whom its object names (la vi a ella, lo llamó al vecino)."""
        before = tokens_before(text, swap.start)
        while before and before[0].lower not in ("a", "al") and self._in_phrase(before[0]):
            before = before[1:]
        if not before or before[0].lower not in ("a", "al"):
            return []
        plural = swap.row.number == "plural"
        old, new = ("lo", "la") if swap.groups[swap.target] == FEMALE else ("la", "lo")
        place = 3 if len(before) > 3 and before[2].lower in self.having else 2
        if place >= len(before) or before[place].lower != old + "s" * plural or not before[1].is_word:
            return []
        clitic = before[place]
        if place + 1 < len(before) and not self._before_clitic(before[place + 1], first=place + 2 == len(before)):
            return []
        return [Replacement(clitic.start, clitic.end, like(clitic.word, new + "s" * plural), LIKELY)]

    def _in_phrase(self, token: Token) -> bool:
        return self.is_determiner(token.lower) or token.lower in self.adjectives

    def _before_clitic(self, token: Token, *, first: bool) -> bool:
        """Whether the word may stand before a clitic, so that no article follows it (yo la vi)."""
        small = self.conjunctions | self.subordinators | {"no", "ya", "también", "siempre", "nunca", "yo", "tú", "se"}
        person = token.lower in self.persons_of or (token.word[0].isupper() and not first)
        return not token.is_word or token.lower in small or person or token.lower in ("nosotros", "quien")

    def _before_subject(self, rest: Sequence[Token], to: Agreement) -> list[Replacement]:
        found: list[Replacement] = []
        for token in rest:
            if token.lower in self.linking:
                return found
            form = self.adjective(token.word, to) if token.is_word else None
            if form is None:
                if token.lower in self.adverbs or token.lower in self.conjunctions:
                    continue
                return []
            found.append(Replacement(token.start, token.end, *form))
        return []

    # --- pronouns ---

    def meant(self, text: str, start: int, end: int) -> Meant:
        before = tokens_before(text, start)
        if before and before[0].lower == "a":  # a ella: a person
            return Meant.PERSON
        return super().meant(text, start, end)

    def is_first_name(self, text: str, start: int, end: int, is_name: Callable[[str], bool]) -> bool:
        return is_given_name(text, start, end, words.TITLES, is_name)

    def names_person(
        self, text: str, start: int, end: int, row: WordTuple, is_group_word: Callable[[str], bool]
    ) -> bool:
        return True  # ella and él are rarely said of things

    def names_person_so_far(self, text: str, start: int, end: int, row: WordTuple) -> bool:
        return True

    def case(self, text: str, start: int, end: int, options: Collection[str]) -> tuple[str, float]:
        return next(iter(options)), SURE

    case_so_far = case
