"""Agreement away from the noun, as French and Spanish share it: what a sentence says of a person in other places.

Whatever has the old gender and stands neither in the noun phrase nor behind its verb is looked for in the sentence: set
off by commas (Née à Paris, l'actrice), behind a verb without a subject (porque estaba cansada), behind a verb of motion
(salió enfadado). It changes where no other noun of that gender could own it. Where nothing tells whose it is, it stays
or is guessed, and the confidence falls.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence

from evenhand_sdk.clause_words import GUESS, LIKELY, Token
from evenhand_sdk.grammar import Replacement
from evenhand_sdk.romance_owners import Agreement, Owners, sentence_after, sentence_before
from evenhand_sdk.romance_several import Form, RomanceSeveral


class RomanceSentence(RomanceSeveral):
    """The rules about a whole sentence; a language gives the word lists, and `Romance` the forms."""

    been: frozenset[str]
    perfect: frozenset[str]
    """All forms of the auxiliary behind which a participle agrees with nobody."""
    non_finite: frozenset[str]
    """Forms of to be that have the subject of another verb (étant, al estar)."""
    relative: frozenset[str]
    adverbial: frozenset[str]
    """Masculine adjectives that are adverbs, too (parler fort)."""
    neuter: frozenset[str]
    """Words that masculine forms agree with, too, and that are nobody (algo raro, c'est vrai)."""
    speakers: frozenset[str]
    """Words and verbs of those who speak and are spoken to."""
    verbs_too: frozenset[str]
    """Forms of adjectives that are verbs, too, where something follows that they may govern (despierta al niño)."""
    verbs_behind_noun: frozenset[str] = frozenset()
    """Forms of adjectives that are verbs wherever they follow their noun directly."""
    to_oneself: frozenset[str] = frozenset()
    """Masculine participles that agree with nobody behind a reflexive (elle s'est demandé)."""
    comparing: frozenset[str]
    """Words behind which a form belongs to nobody (comme prévu)."""
    set_phrases: frozenset[str]
    """Nouns without an article that no adjective behind them belongs to (llegó a casa cansada)."""
    leads: tuple[tuple[str, ...], ...]
    """Words before a form that is set off (une fois, aunque)."""
    personal: frozenset[str]
    """Feminine adjectives that are said of persons alone, in the singular."""
    attended: frozenset[str]
    """Feminine participles that are mostly said of persons, and always where a person follows (suivie de son fils)."""
    crowds: frozenset[str]
    """Nouns that are no group words but mean persons or animals, of whom a personal adjective may be said."""

    def past_leads(self, tokens: Sequence[Token], position: int) -> int:
        """The position behind what leads to a form that is set off (une fois arrivée)."""
        for lead in self.leads:
            if tuple(token.lower for token in tokens[position : position + len(lead)]) == lead:
                position += len(lead)
        while position < len(tokens) and tokens[position].lower in self.adverbs:
            position += 1
        return position

    @abstractmethod
    def old_form(self, word: str, to: Agreement) -> Form | None:
        """The new form of a word that has the old gender and number wherever it stands; None for another word."""

    @abstractmethod
    def is_plural_verb(self, verb: str) -> bool:
        """Whether a finite linking verb is of the third person of the plural."""

    def is_impersonal_clause(self, tokens: Sequence[Token], position: int) -> bool:
        """Whether the form at `position`, behind a verb without a subject, is said of nobody."""
        return False

    # --- set off in front ---

    def opening(self, text: str, rest: Sequence[Token], to: Agreement) -> list[Replacement]:
        """What opens the sentence before its subject (Née à Paris, l'actrice; Aunque estaba cansada, la madre).

        `rest` are the words before the subject, nearest first.
        """
        if not rest or rest[0].word != ",":
            return []
        front = sentence_before(text, rest[0].start)
        if not front or not front[0].word[:1].isupper() or front[0].lower in self.names:
            return []
        first = self.past_leads(front, 0)
        found: list[Replacement] = []
        for position, token in enumerate(front):
            form = self.old_form(token.word, to) if token.is_word else None
            if form is None or self._before_noun(front, position, to):
                continue
            change = Replacement(token.start, token.end, *form)
            if position == first:
                found.append(change)
                continue
            before = self._before(front, position)
            joins = (
                bool(found) and before >= 0 and (front[before].word == "," or front[before].lower in self.conjunctions)
            )
            if not joins and self._clause(front, position, -1) not in ("subordinate", "non-finite"):
                continue
            others = self.owners(front[:position], to)
            nobody = self._of_nobody(front, position, to) or self._of_speaker(front, position)
            if not others.sure and not nobody:
                found.append(change._replace(after=token.word, certainty=GUESS) if others.possible else change)
        return found

    # --- set off behind, and behind verbs without a subject of their own ---

    def strays(
        self,
        text: str,
        start: int,
        at: int,
        rest: Sequence[Token],
        to: Agreement,
        changed: Sequence[Replacement],
        *,
        subject: bool,
    ) -> list[Replacement]:
        """What has the old gender in the sentence behind a noun that ends at `start`, and is not `changed` yet.

        `at` counts the words behind the noun that belong to its phrase, `rest` are those before the phrase, nearest
        first. Only words up to the next person of that gender are read: what follows belongs to that one, or to both.
        """
        tokens = sentence_after(text, start)
        stop = next((place for place in range(len(tokens)) if self._is_other_person(tokens, place, to)), len(tokens))
        places = {change.start for change in changed}
        forms = [
            (place, form)
            for place, token in enumerate(tokens[:stop])
            if token.is_word and token.start not in places and (form := self.old_form(token.word, to)) is not None
        ]
        if not forms:
            return []
        front = self.owners(sentence_before(text, rest[0].end), to) if rest else Owners()
        if rest and rest[0].word == ",":  # Dans la salle, la reine
            front = Owners(possible=front.sure or front.possible)
        found: list[Replacement] = []
        for place, form in forms:
            if self._joined_to(tokens, place, {*places, *(one.start for one in found if one.certainty > GUESS)}):
                token = tokens[place]
                found.append(Replacement(token.start, token.end, form[0], min(form[1], LIKELY)))
                continue
            found += self._stray(tokens, place, at, form, to, front, subject=subject)
        return found

    def _joined_to(self, tokens: Sequence[Token], position: int, changed: Collection[int]) -> bool:
        """Whether a form is joined to one that has changed, or follows it (dure, rugueuse et fière; morte seule)."""
        before = self._before(tokens, position)
        joins = before > 0 and (tokens[before].word == "," or tokens[before].lower in self.conjunctions)
        return before >= 0 and tokens[before - 1 if joins else before].start in changed

    def _is_other_person(self, tokens: Sequence[Token], position: int, to: Agreement) -> bool:
        """Whether the word is a person of the old gender and number, and no adjective (elle est anglaise)."""
        if Agreement(not to.fem, to.plural) not in self._persons_at(tokens[position]):
            return False
        before = tokens[position - 1].lower if position else ""
        named = self.is_determiner(before) or before in self.prepositions or before == "l'"
        return named or self.old_form(tokens[position].word, to) is None

    def _persons_at(self, token: Token) -> frozenset[Agreement]:
        return self.persons_of.get(token.lower, frozenset())

    def _stray(
        self,
        tokens: Sequence[Token],
        position: int,
        at: int,
        form: Form,
        to: Agreement,
        front: Owners,
        *,
        subject: bool,
    ) -> list[Replacement]:
        """One form of the old gender: changed, guessed, left with a lower confidence, or not touched as another's."""
        token = tokens[position]
        change = [Replacement(token.start, token.end, form[0], min(form[1], LIKELY))]
        doubt = [Replacement(token.start, token.end, token.word, GUESS)]
        here = self.owners(tokens[min(at, position) : position], to)
        sure, possible = here.sure or front.sure, here.possible or front.possible
        feminine = (form[0] if to.fem else token.word).lower().removesuffix("s")
        personal = self._is_personal(tokens, position, feminine)
        if personal:
            sure = possible = False
        before = self._before(tokens, position)
        if before < 0:
            verb = token.lower in self.verbs_too or token.lower in self.verbs_behind_noun
            return [] if verb or to.fem or sure or possible else [change[0]._replace(certainty=GUESS)]
        if tokens[before].lower in self.perfect | self.comparing:
            return []
        if self.is_determiner(tokens[before].lower):  # la plus belle, une très belle robe
            superlative = tokens[before + 1].lower in self.degrees and not self._before_noun(tokens, position, to)
            if sure or not superlative:
                return []
            made = self.determiner(tokens[before].lower, fem=to.fem, before=form[0])
            if possible or made is None:
                return doubt
            return [Replacement(tokens[before].start, tokens[before].end, made, LIKELY), *change]
        if tokens[before].lower in self.prepositions | {"l'", "d'"} or self._of_speaker(tokens, position):
            return []
        if self.agrees_with_nobody(tokens, position) or self._other_number(tokens, position, to):
            return []
        of_relative = any(one.lower in self.relative for one in tokens[at : at + 1])
        if not of_relative and self._has_subject(tokens, position, to):
            return []
        clause = self._clause(tokens, position, at)
        if clause == "direct" and subject:
            return change
        if clause == "joined" and subject:
            return doubt if here.subject else change
        if clause == "non-finite" and subject:
            return doubt if here.sure or here.possible else change
        if self._of_nobody(tokens, position, to) or self._before_noun(tokens, position, to):
            return []
        if clause == "subordinate":
            if self._relative_of(tokens, position, to):
                return []
            return doubt if sure or possible else change
        both = to.fem and token.lower.endswith(("s", "x"))  # des trucs douteux
        others = (to, to._replace(plural=True)) if both else (to,)
        if sure or (any(self._behind_noun(tokens, before, other) for other in others) and not personal):
            return doubt if feminine in self.attended else []
        if possible:
            return doubt
        if tokens[before].word == "," or self.verb_before(tokens, position) is not None:
            return change
        if tokens[before].lower in self.conjunctions and before > at:
            perfect = any(one.lower in self.perfect for one in tokens[at:before])
            verb = to.fem and (perfect or token.lower in self.verbs_behind_noun)
            return [] if verb else change  # a débarrassé la table et rangé
        return doubt if to.fem else [change[0]._replace(certainty=GUESS)]

    def _other_number(self, tokens: Sequence[Token], position: int, to: Agreement) -> bool:
        """Whether the verb of a form has another number than the form should have (qui était gros, of several)."""
        verb = self.verb_before(tokens, position)
        if verb is None or tokens[verb].lower in self.non_finite:
            return False
        return self.is_plural_verb(tokens[verb].lower) is not to.plural

    def agrees_with_nobody(self, tokens: Sequence[Token], position: int) -> bool:
        """Whether a masculine participle agrees with nobody behind a reflexive (elle s'est demandé)."""
        if tokens[position].lower not in self.to_oneself:
            return False
        verb = self._before(tokens, position)
        return verb > 0 and tokens[verb].lower in self.linking and tokens[verb - 1].lower in ("s'", "se")

    def _is_personal(self, tokens: Sequence[Token], position: int, feminine: str) -> bool:
        """Whether only a person can own the form, and no crowd is named before it."""
        attended = feminine in self.attended and any(self._persons_at(token) for token in tokens[position + 1 :][:5])
        crowd = any(token.lower in self.crowds for token in tokens[:position])
        return (attended or feminine in self.personal) and not crowd

    def _before(self, tokens: Sequence[Token], position: int) -> int:
        """The place of the word before, adverbs left out; -1 for none."""
        place = position - 1
        while place >= 0 and self.is_adverb(tokens[place].lower):
            place -= 1
        return place

    def is_adverb(self, word: str) -> bool:
        """Whether the word is an adverb, one by its ending included (facilement, fácilmente)."""
        if word in self.adverbs:
            return True
        return word.endswith(("ment", "mente")) and len(word) > 6 and (word, True, False) not in self.forms

    def _clause(self, tokens: Sequence[Token], position: int, at: int) -> str | None:
        """How the verb before a form has its subject: directly before it, joined to another verb, in a clause without
        one (porque estaba), or from another verb (al estar); None where no linking verb stands before the form."""
        verb = self.verb_before(tokens, position)
        if verb is None:
            return None
        if tokens[verb].lower in self.non_finite:
            return "non-finite"
        place = verb - 1
        while place >= at and place >= 0 and tokens[place].lower in self.before_verb | self.adverbs:
            place -= 1
        if place < at:
            return "direct"
        if place < 0:
            return None
        opener = tokens[place].lower
        if opener in self.conjunctions or tokens[place].word == ",":
            return "joined"
        return "subordinate" if opener in self.subordinators or opener in self.relative else None

    def verb_before(self, tokens: Sequence[Token], position: int) -> int | None:
        """The place of the linking verb whose complement the form is."""
        place = self._before(tokens, position)
        if place > 0 and tokens[place].lower in self.set_phrases and tokens[place - 1].lower in self.prepositions:
            place = self._before(tokens, place - 1)
        if place > 0 and tokens[place].lower in self.been:
            place = self._before(tokens, place)
            return place if place >= 0 and tokens[place].lower in self.having | self.non_finite else None
        verbs = self.linking | self.moving | self.non_finite
        return place if place >= 0 and tokens[place].lower in verbs else None

    def _relative_of(self, tokens: Sequence[Token], position: int, to: Agreement) -> bool:
        """Whether the clause of the form belongs to another noun (la llave que estaba escondida)."""
        verb = self.verb_before(tokens, position)
        for place in range(verb or 0, 0, -1):
            if tokens[place].lower in self.relative:
                return self.is_noun_at(tokens, place - 1, to)
        return False

    def _before_noun(self, tokens: Sequence[Token], position: int, to: Agreement) -> bool:
        """Whether the form belongs to a noun behind it (profunda tristeza, dejó abierta la puerta)."""
        if position + 1 >= len(tokens) or not tokens[position + 1].is_word:
            return False
        following = tokens[position + 1].lower
        if following in self.prepositions:
            return False
        if self.shows(following, fem=not to.fem) or following in self.fixed_determiners:
            return True
        if self.is_small(following) or following in self.relative or self.old_form(following, to) is not None:
            return False
        return self.may_be(following, fem=not to.fem)

    def _behind_noun(self, tokens: Sequence[Token], before: int, to: Agreement) -> bool:
        """Whether the word before the form is a noun that may own it; adjectives that are joined by `and` share it."""
        if self.is_noun_at(tokens, before, to):
            return True
        joined = tokens[before].lower in self.conjunctions or tokens[before].word == ","
        return joined and any(self.is_noun_at(tokens, place, to) for place in range(max(0, before - 2), before))

    def _of_nobody(self, tokens: Sequence[Token], position: int, to: Agreement) -> bool:
        """Whether a masculine form is an adverb, or agrees with nobody (parle fort, algo raro, era necesario salir)."""
        if not to.fem:
            return False
        near = self._near(tokens, position)
        return (
            tokens[position].lower in self.adverbial
            or any(word in self.neuter or word in self.comparing for word in near)
            or self.is_impersonal_clause(tokens, position)
        )

    def _of_speaker(self, tokens: Sequence[Token], position: int) -> bool:
        """Whether the clause up to the form is about who speaks or is spoken to (dice que estoy cansada)."""
        return any(word in self.speakers for word in self._near(tokens, position))

    def _subject_place(self, tokens: Sequence[Token], position: int) -> int | None:
        """The place of the word before the verb of the form, -1 for none; None where no linking verb stands there."""
        verb = self.verb_before(tokens, position)
        if verb is None:
            return None
        place = verb - 1
        while place >= 0 and tokens[place].lower in self.before_verb | self.adverbs:
            place -= 1
        return place

    def _has_subject(self, tokens: Sequence[Token], position: int, to: Agreement) -> bool:
        """Whether another noun stands before the verb of the form (que le personnel était content)."""
        place = self._subject_place(tokens, position)
        return place is not None and place > 0 and self.is_noun_at(tokens, place, to)

    def _near(self, tokens: Sequence[Token], position: int) -> list[str]:
        """The words from the subject of the form's verb on; the last three where no linking verb stands before it."""
        place = self._subject_place(tokens, position)
        if place is None:
            place = position - 3
        return [token.lower for token in tokens[max(0, place) : position]]
