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
    # things, and persons whom the pack lacks, keep their pronouns over the end of a sentence
    ("Der Junge verlor seinen Hund. Er weinte.", "=", "any"),
    ("Der Tisch ist alt. Er wackelt.", "=", "any"),
    ("Der Tisch ist alt. Er wackelt, weil er braun ist. Er ist schwer.", "=", "any"),
    ("Die Tür war offen. Sie knarrte.", "=", "any"),
    ("Die Katze schlief. Ihr Fell glänzte.", "=", "any"),
    ("Das Mädchen verlor seine Puppe.", "=", "any"),
    ("Der Mensch ist frei. Er denkt.", "=", "any"),
    (
        "Die Stadt hat 3000 Einwohner. Sie liegt am Rhein.",
        "Die Stadt hat 3000 Einwohnerinnen. Sie liegt am Rhein.",
        "any",
    ),
    ("Der Mann kaufte die Lampe. Sie war alt.", "Die Frau kaufte die Lampe. Sie war alt.", "sure"),
    # a person is what the sentence is about
    ("Die Frau öffnete die Tür. Sie lachte.", "Der Mann öffnete die Tür. Er lachte.", "sure"),
    ("Er kaufte einen Tisch. Er freute sich.", "Sie kaufte einen Tisch. Sie freute sich.", "sure"),
    ("In der Stadt traf ich ihn. Er lachte.", "In der Stadt traf ich sie. Sie lachte.", "sure"),
    ("Der Ball traf ihn.", "Der Ball traf sie.", "sure"),
    ("Das Haus gehört ihm.", "Das Haus gehört ihr.", "sure"),
    # either may be meant
    (
        "Die Tür war offen, und Anna kam herein. Sie lachte.",
        "Die Tür war offen, und Paul kam herein. Er lachte.",
        "lowered",
    ),
    (
        "Anna kam nach Hause. Die Tür war offen. Sie erschrak.",
        "Paul kam nach Hause. Die Tür war offen. Er erschrak.",
        "lowered",
    ),
    ("Ein Haus brannte. Er floh.", "Ein Haus brannte. Sie floh.", "lowered"),
    ("Ein Lehrer und Kinder kamen.", "Eine Lehrerin und Kinder kamen.", "sure"),
]

FRENCH = [
    # il is nobody
    ("Il est huit heures du matin.", "=", "any"),
    ("Il était trois heures.", "=", "any"),
    ("Il est cinq heures. Il faut partir.", "=", "any"),
    ("Il est presque 8 heures.", "=", "any"),
    ("Il est l'heure de partir.", "=", "any"),
    ("Pleut-il ?", "=", "any"),
    ("Faut-il partir ?", "=", "any"),
    ("Y a-t-il du pain ?", "=", "any"),
    ("Que se passe-t-il ?", "=", "any"),
    ("Est-il possible de venir ?", "=", "any"),
    ("Quelle heure est-il ?", "=", "any"),
    ("Il reste deux places.", "=", "any"),
    ("Il ne reste que deux places.", "=", "any"),
    ("Il est arrivé une chose étrange.", "=", "any"),
    ("Il m'arrive de pleurer.", "=", "any"),
    ("Il se peut qu'il vienne.", "Il se peut qu'elle vienne.", "sure"),
    # il is somebody
    ("Il reste deux heures au café.", "Elle reste deux heures au café.", "sure"),
    ("Il reste un ami fidèle.", "Elle reste une amie fidèle.", "sure"),
    ("Il est arrivé trois heures plus tard.", "Elle est arrivée trois heures plus tard.", "sure"),
    ("Il arrive de Paris.", "Elle arrive de Paris.", "sure"),
    ("Chante-t-il bien ?", "Chante-t-elle bien ?", "sure"),
    ("Ils sont huit.", "Elles sont huit.", "sure"),
    # what is said of a woman and a man is masculine
    ("Un homme et une femme se sont mariés.", "Une femme et un homme se sont mariés.", "sure"),
    ("Une fille et un garçon assis sur un banc lisent.", "Un garçon et une fille assis sur un banc lisent.", "sure"),
    ("Marie et Jean sont de bons amis.", "Jean et Marie sont de bons amis.", "sure"),
    ("Lui et elle sont amis.", "Elle et lui sont amis.", "sure"),
    ("Elle et son frère étaient étudiants.", "Lui et sa sœur étaient étudiants.", "sure"),
    (
        "Le père de Marie et l'oncle de Sophie sont amis.",
        "La mère de Jean et la tante de Nicolas sont amies.",
        "sure",
    ),
    # stressed pronouns
    (
        "Lui, il ne sait rien ; elle, elle sait tout.",
        "Elle, elle ne sait rien ; lui, il sait tout.",
        "sure",
    ),
    ("Elle qui était si belle !", "Lui qui était si beau !", "sure"),
    # whom a relative clause tells
    ("Celle qui chante est ma tante.", "Celui qui chante est mon oncle.", "sure"),
    ("Celui qui parle est mon frère.", "Celle qui parle est ma sœur.", "sure"),
    ("Celle qui est contente est ma sœur.", "Celui qui est content est mon frère.", "sure"),
    ("Ceux qui rient sont mes oncles.", "Celles qui rient sont mes tantes.", "sure"),
    ("Celle que tu vois est la directrice.", "Celui que tu vois est le directeur.", "sure"),
    ("Celle qui chante est une voiture.", "=", "any"),
    # things, and persons whom the pack lacks, keep their pronouns over the end of a sentence
    ("La table est belle. Elle est rouge.", "=", "any"),
    ("La table est belle. Elle est rouge. Elle coûte cher.", "=", "any"),
    ("Le livre est long. Il est ennuyeux.", "=", "any"),
    ("La commission a rendu son rapport. Elle propose une réforme.", "=", "any"),
    ("L'équipe a gagné. Elle jouera dimanche.", "=", "any"),
    ("La personne qui appelle est pressée. Elle attend.", "=", "any"),
    ("La maison est-elle belle ?", "=", "any"),
    (
        "La police a arrêté le voleur ; elle l'a relâché.",
        "La police a arrêté la voleuse ; elle l'a relâché.",
        "sure",
    ),
    # a person is what the sentence is about
    ("Marie a acheté une voiture. Elle est contente.", "Jean a acheté une voiture. Il est content.", "sure"),
    ("Elle a acheté une voiture. Elle est contente.", "Il a acheté une voiture. Il est content.", "sure"),
    ("Il portait une veste et elle, une jupe.", "Elle portait une veste et lui, une jupe.", "any"),
    ("Jean la voit. Elle rit.", "Marie la voit. Il rit.", "sure"),
    ("Il pleut. Il est fatigué.", "Il pleut. Elle est fatiguée.", "sure"),
    # either may be meant
    (
        "La porte était ouverte, et Marie est entrée. Elle riait.",
        "La porte était ouverte, et Jean est entré. Il riait.",
        "lowered",
    ),
    (
        "Marie est rentrée. La porte était ouverte. Elle a crié.",
        "Jean est rentré. La porte était ouverte. Il a crié.",
        "lowered",
    ),
    ("L'arbre est tombé. Il était vieux.", "L'arbre est tombé. Elle était vieille.", "lowered"),
    ("Dans la maison, elle lit.", "Dans la maison, il lit.", "lowered"),
    # a noun that is an adjective of a thing, or of somebody whom the pack lacks
    ("La table voisine est libre.", "=", "any"),
    ("Une ville amie est loin.", "=", "any"),
    ("La jambe blessée saigne.", "=", "any"),
    ("La jambe est blessée.", "=", "any"),
    ("La victime a dit qu'elle était blessée.", "=", "any"),
    ("La jeune inconnue sourit.", "Le jeune inconnu sourit.", "sure"),
    ("Elle est blessée.", "Il est blessé.", "sure"),
    # a great man
    (
        "Mon père est un bon médecin et un grand homme.",
        "Ma mère est un bon médecin et une grande femme.",
        "sure",
    ),
]

SPANISH = [
    # what is said of a woman and a man is masculine
    ("Ella y él están cansados.", "Él y ella están cansados.", "sure"),
    ("Él y ella están cansados.", "Ella y él están cansados.", "sure"),
    ("Ella y su hermano son altos.", "Él y su hermana son altos.", "sure"),
    ("Ella y sus hermanos son altos.", "Él y sus hermanas son altos.", "sure"),
    ("María y Juan son amigos.", "José y Julia son amigos.", "sure"),
    ("Juan y María son médicos.", "Julia y José son médicos.", "sure"),
    ("Mi madre y mi padre son profesores.", "Mi padre y mi madre son profesores.", "sure"),
    ("Él y su hermana eran buenos vecinos.", "Ella y su hermano eran buenos vecinos.", "sure"),
    ("El padre de María y el tío de Ana son amigos.", "La madre de José y la tía de Manuel son amigas.", "sure"),
    ("Ana y su amiga están cansadas.", "Manuel y su amigo están cansados.", "sure"),
    # short forms before a noun
    ("La señora Ruiz es buena cocinera.", "El señor Ruiz es buen cocinero.", "sure"),
    ("Mi tía es mala cantante.", "Mi tío es mal cantante.", "sure"),
    ("Ella es buena amiga.", "Él es buen amigo.", "sure"),
    ("Mi tía es buena persona.", "Mi tío es buena persona.", "sure"),
    ("Mi madre es buena.", "Mi padre es bueno.", "sure"),
    # adjectives that no list holds, right behind a man
    ("El rey emérito vive en Lima.", "La reina emérita vive en Lima.", "sure"),
    ("El muchacho astuto calló.", "La muchacha astuta calló.", "sure"),
    ("Los ministros depuestos callan.", "Las ministras depuestas callan.", "sure"),
    ("El rey dijo que sí.", "La reina dijo que sí.", "sure"),
    ("El director obtuvo un premio.", "La directora obtuvo un premio.", "sure"),
    ("El niño prodigio toca.", "La niña prodigio toca.", "sure"),
    ("El hombre mismo lo dijo.", "La mujer misma lo dijo.", "sure"),
    # a clitic and the object that it doubles
    ("Lo vi a él y la vi a ella.", "La vi a ella y lo vi a él.", "sure"),
    ("La vi a María ayer.", "Lo vi a José ayer.", "sure"),
    ("No lo llamó al vecino.", "No la llamó a la vecina.", "sure"),
    ("Yo la he visto a mi hermana.", "Yo lo he visto a mi hermano.", "sure"),
    ("Las vi a ellas.", "Los vi a ellos.", "sure"),
    ("Miró la foto a ella.", "Miró la foto a él.", "sure"),
    # a noun that is an adjective of a thing, or of somebody whom the pack lacks
    ("La persona enferma llegó sola.", "=", "any"),
    ("La casa vecina es grande.", "=", "any"),
    ("La ciudad amiga es grande.", "=", "any"),
    ("La pierna está enferma.", "=", "any"),
    ("Mi amiga enferma duerme.", "Mi amigo enfermo duerme.", "sure"),
    ("La anciana vecina duerme.", "El anciano vecino duerme.", "sure"),
    # a thing before ella lowers the confidence
    ("La casa es vieja. Ella es bonita.", "La casa es vieja. Él es bonito.", "lowered"),
    ("Mi madre compró una casa. Ella es feliz.", "Mi padre compró una casa. Él es feliz.", "sure"),
    ("Él la miró y ella lo besó.", "Ella la miró y él lo besó.", "sure"),
    ("Cerró la puerta y miró a ella.", "Cerró la puerta y miró a él.", "sure"),
    # whom a relative clause tells
    ("La que canta es mi tía.", "El que canta es mi tío.", "sure"),
    ("Los que ríen son mis tíos.", "Las que ríen son mis tías.", "sure"),
]


@pytest.mark.parametrize(
    ("language", "text", "expected", "certainty"),
    [(language, *case) for language, cases in (("de", GERMAN), ("fr", FRENCH), ("es", SPANISH)) for case in cases],
)
def test_whom_a_word_means(language: str, text: str, expected: str, certainty: str) -> None:
    found = counterfactuals(text, load_axis("gender", language))
    assert (found[0].text if found else "=") == expected
    low, high = CERTAINTY[certainty]
    assert not found or low <= found[0].confidence <= high
