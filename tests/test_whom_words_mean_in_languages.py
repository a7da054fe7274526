"""Words that are nobody, somebody else or several, in French, Spanish and German: sentences that once came out wrong.

They were labelled after the engine had been run on the first of each kind. The last column is that of
`test_agreement_of_languages.py`.
"""

from __future__ import annotations

import pytest
from tests.test_agreement_of_languages import CERTAINTY

from evenhand_sdk import counterfactuals, load_axis

GERMAN = [
    # a country is not its people
    ("Er lebt in Polen.", "Sie lebt in Polen.", "sure"),
    ("Eine junge Frau aus Polen half ihm.", "Ein junger Mann aus Polen half ihr.", "sure"),
    ("Die Grenze zwischen Polen und Hessen ist lang.", "=", "any"),
    ("Das alte Polen war groß.", "=", "any"),
    ("Im heutigen Polen leben viele Menschen.", "=", "any"),
    ("Die Polen singen.", "Die Polinnen singen.", "sure"),
    ("Junge Polen arbeiten hier.", "Junge Polinnen arbeiten hier.", "any"),
    ("Sie sind Polen.", "Sie sind Polinnen.", "any"),
    ("Ich helfe dem Polen.", "Ich helfe der Polin.", "sure"),
    # a noun of one man does not follow an article of the feminine singular
    ("Der Leiter der Abteilung brachte eine Leiter.", "Die Leiterin der Abteilung brachte eine Leiter.", "sure"),
    ("Er stieg auf die Leiter.", "Sie stieg auf die Leiter.", "sure"),
    ("Sie fiel von der Leiter.", "Er fiel von der Leiter.", "sure"),
    ("Die Leiter der Schule trafen sich.", "Die Leiterinnen der Schule trafen sich.", "sure"),
    ("Die Leiter sind müde.", "Die Leiterinnen sind müde.", "sure"),
    ("Die Kunde von dem Sieg kam spät.", "=", "any"),
    ("Sie gingen zur Leiterin.", "Sie gingen zum Leiter.", "sure"),
    # a finite verb takes no ending of an adjective
    ("Sie spielte Mutter.", "Er spielte Vater.", "sure"),
    ("Er spielte Mutter und Kind.", "Sie spielte Vater und Kind.", "sure"),
    ("Als ich kam, spielte Mutter Klavier.", "Als ich kam, spielte Vater Klavier.", "sure"),
    ("Anna lachte und spielte Mutter.", "Paul lachte und spielte Vater.", "sure"),
    ("Gestern heiratete Mutter wieder.", "Gestern heiratete Vater wieder.", "sure"),
    ("Klara, geliebte Mutter, lebt hier.", "Klara, geliebter Vater, lebt hier.", "sure"),
    ("Mit großer Mutter im Haus ist es eng.", "Mit großem Vater im Haus ist es eng.", "sure"),
    # nouns joined to one of the pack that the pack lacks
    ("Er ist ein bekannter Maler und Bildhauer.", "Sie ist eine bekannte Malerin und Bildhauerin.", "sure"),
    ("Er ist ein bekannter Bildhauer und Maler.", "Sie ist eine bekannte Bildhauerin und Malerin.", "sure"),
    ("Sie ist Malerin, Bildhauerin und Dichterin.", "Er ist Maler, Bildhauer und Dichter.", "sure"),
    ("Sie arbeitet als Sängerin und Gitarristin.", "Er arbeitet als Sänger und Gitarrist.", "sure"),
    ("Das Haus des Malers und Bildhauers brannte.", "Das Haus der Malerin und Bildhauerin brannte.", "lowered"),
    ("Wir trafen den Sänger und Gitarristen.", "Wir trafen die Sängerin und Gitarristin.", "lowered"),
    ("Ein Lehrer und Kinder kamen.", "Eine Lehrerin und Kinder kamen.", "sure"),
]


@pytest.mark.parametrize(
    ("language", "text", "expected", "certainty"),
    [(language, *case) for language, cases in (("de", GERMAN),) for case in cases],
)
def test_whom_a_word_means(language: str, text: str, expected: str, certainty: str) -> None:
    found = counterfactuals(text, load_axis("gender", language))
    assert (found[0].text if found else "=") == expected
    low, high = CERTAINTY[certainty]
    assert not found or low <= found[0].confidence <= high
