"""Word lists behind `french_grammar`."""

from __future__ import annotations

from evenhand_sdk.romance_owners import Agreement


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ADVERBS = _set(
    """très trop si plus moins aussi bien assez plutôt peu tellement vraiment toujours souvent encore déjà parfois
    jamais pas point presque fort tout toute extrêmement complètement absolument particulièrement également
    aujourd'hui enfin jamais juste là mieux rarement ici désormais seulement même vite tôt tard ensuite soudain certes
    donc maintenant bientôt"""
)
PREPOSITIONS = _set(
    """à de d' du des au aux avec sans pour par chez sur sous dans en entre vers contre devant derrière depuis
    pendant jusqu'à avant après comme selon malgré envers parmi outre dès"""
)
TONIC = PREPOSITIONS | _set("et ou ni c'est c'était que qu' est sauf")
OWNING = _set("""ma ta sa mon ton son notre votre leur mes tes ses nos vos leurs""")
TONIC_PRONOUNS = _set("""moi toi lui elle nous vous eux elles""")
SMALL_WORDS = _set("""à au aux de d du des en et la le les l ou par pour sur un une""")
TITLES = _set("m mm mr mme mlle mmes monsieur madame mademoiselle docteur dr maître me capitaine")
CONJUNCTIONS = _set("et ou mais ni")
LINKING = _set(
    """est sont était étaient sera seront fut furent serait seraient soit soient fût semble semblent semblait
    semblaient sembla paraît paraissent paraissait parut devient deviennent devenait devint deviendra reste
    restent restait resta restera demeure demeura demeurait sent sentait sentit étais suis es tombe tomba
    sentent sentaient sentirent devinrent devenaient demeurent demeuraient tombait vit vivait vivent vécut meurt mourut
    naît naquit"""
)
BEFORE_VERB = _set("ne n' se s' y en me m' te t' nous vous lui leur")
HAVING = _set("a ont avait avaient aura auront aurait auraient ait aient eut avoir ayant")
AVOIR = HAVING | _set("ai as avons avez j'ai")
BEEN = _set("été")
FIXED_DETERMINERS = _set(
    """les des ces mes tes ses nos vos leurs notre votre leur chaque deux trois quatre cinq six sept huit neuf dix
    vingt cent mille plusieurs quelques quelque aux l' autres d'autres"""
)
MASCULINE = {
    "le": "la",
    "un": "une",
    "aucun": "aucune",
    "quel": "quelle",
    "certain": "certaine",
    "nul": "nulle",
    "tout": "toute",
    "tous": "toutes",
    "quels": "quelles",
    "certains": "certaines",
    "ce": "cette",
    "cet": "cette",
    "mon": "ma",
    "ton": "ta",
    "son": "sa",
    "au": "à la",
    "du": "de la",
}
FEMININE = {
    "la": "le",
    "une": "un",
    "aucune": "aucun",
    "quelle": "quel",
    "certaine": "certain",
    "nulle": "nul",
    "toute": "tout",
    "toutes": "tous",
    "quelles": "quels",
    "certaines": "certains",
    "cette": "ce",
    "ma": "mon",
    "ta": "ton",
    "sa": "son",
}
ASPIRATED = tuple(
    _set(
        """hach hai haï hamac hand hang hann har hasard hât haut héros hibou hideu hol homard hong hont hors houl huit
    hurl husky"""
    )
)
"""How words begin whose h keeps the vowel before it: le héros, le haut, la Hollande; but l'héroïne, l'homme, l'hôte."""
SILENT = ("haltér", "harm", "habit", "hôte", "hôtesse", "homme", "héritier", "héritière", "héroïne", "historien")
PLURAL_DETERMINERS = _set(
    """les des ces mes tes ses nos vos leurs deux trois quatre cinq six sept huit neuf dix plusieurs quelques tous
    toutes aux certains certaines quels quelles"""
)
NO_ADJECTIVE = _set(
    """tienne vienne cheveux deux yeux ceux jeux lieux feux vœux tarif appel hôtel ciel sel quel auquel lequel bien
    rien combien chien italienne antienne mieux milieux adieux neveux aveux motif lien soutien entretien maintien"""
)
ENDINGS = (
    ("eux", "euse"),
    ("eux", "euses"),
    ("ien", "ienne"),
    ("iens", "iennes"),
    ("if", "ive"),
    ("ifs", "ives"),
    ("el", "elle"),
    ("els", "elles"),
)
"""Endings of adjectives, masculine and feminine; verbs end in -ive and -elle, too, so those are no sign of a woman."""
IMPERSONAL_VERBS = _set(
    """faut fallait faudra faudrait fallut pleut pleuvait pleuvra neige neigeait gèle suffit suffisait vaut valait
    s'agit s'agissait convient importe existe existait manque arriva arrivait"""
)
IMPERSONAL_ADJECTIVES = _set(
    """important possible impossible nécessaire vrai évident clair certain probable difficile facile utile inutile
    temps interdit rare dommage préférable essentiel tôt tard midi minuit question étonnant bon mauvais"""
)
NUMBERS = _set(
    """deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize vingt trente quarante
    cinquante soixante cent mille"""
)
HOURS = NUMBERS | _set("une quelle l'")
"""Words before heure and heures that tell the time."""
HAPPENING = _set("peut pourrait passe passait passera produit produisait")
"""Verbs that have no subject behind il se."""
APPEARING = _set("reste restait restera resterait arrive arrivait arrivera vient venait passe passait")
"""Verbs whose subject may follow behind an il that is nobody (il reste deux places)."""
APPEARED = _set("arrivé resté venu passé survenu tombé")
WEATHER = _set("beau froid chaud nuit jour noir bon mauvais doux sombre frais")
EPICENE_ENDINGS = ("ique", "iste", "able", "ible", "aire", "esque", "oire", "ime", "ème", "ide", "phe", "ogue", "ène")
PREDICATES = (
    ("u", "ue"),
    ("i", "ie"),
    ("it", "ite"),
    ("is", "ise"),
    ("ert", "erte"),
    ("int", "inte"),
    ("ant", "ante"),
    ("ent", "ente"),
    ("al", "ale"),
    ("ain", "aine"),
    ("in", "ine"),
    ("on", "onne"),
    ("et", "ette"),
    ("ier", "ière"),
    ("er", "ère"),
    ("if", "ive"),
    ("el", "elle"),
    ("at", "ate"),
    ("ort", "orte"),
    ("ard", "arde"),
)
"""Endings of adjectives and participles, masculine and feminine, that are safe behind a linking verb alone."""
NO_PREDICATE = (
    _set(
        """ici aussi ainsi parmi midi depuis puis plus loin bien rien souvent dehors demain hier maintenant moins enfin
    soudain au lui qui quoi ceci ni si oui lundi mardi jeudi samedi vendredi mercredi chez moi toi soi ainsi
    où du tout sans dont non mais matin chemin train besoin fin vin jardin main pain rue vue vie mine mort
    port sport minuit nuit bruit lit mis pays avis ami amie amis amies voisin copain copine cousin cousine
    ouvrier ouvrière cuisinier policier avocat soldat étudiant étudiante président présidente en on son ton
    mon font ont vont sont"""
    )
    | NUMBERS
)
NO_PARTICIPLE = _set(
    """marché café thé été côté degré blé congé musée lycée idée journée soirée année santé beauté qualité vérité
    société université rivière communauté liberté cité pitié moitié amitié clé pré canapé bébé curé gré fossé
    traité arrêté matinée armée entrée pensée arrivée dictée durée épée fée"""
)
SUBORDINATORS = _set(
    """que qu' quand lorsque lorsqu' si car puisque puisqu' comme où dont tandis pendant quoique quoiqu' parce"""
)
"""Words that open a clause with a subject of its own."""
PLACE_PREPOSITIONS = _set("à de d' du en dans vers pour depuis jusqu'à sur")
MOVING = _set(
    """sort sortit sortait sortent sortirent sortaient rentre rentra rentrait rentrent rentrèrent part partit partait
    partent partirent repart repartit repartait repartent repartirent arrive arriva arrivait arrivent arrivèrent entra
    entrait entrèrent revient revint revenait reviennent revinrent tombe tomba tombent tombèrent endormit endort
    endormait endorment réveille réveilla réveillait réveillent leva lève couche coucha assit assied montra montre
    montrait finit disparut apparaît apparut apparaissait éloigna attend attendit attendait attendent revinrent"""
)
"""Finite forms of verbs behind which an adjective says how their subject is (rentra fatiguée)."""
NON_FINITE = _set("étant être avoir ayant")
ADVERBIAL = _set(
    """fort haut bas droit clair cher dur faux juste net bon mauvais plein sûr chaud froid court fin sec doux"""
)
NEUTER = _set("""ce c' ça cela ceci rien tout quoi""")
SPEAKERS = _set("""je j' me m' moi tu te t' toi nous vous suis es sommes êtes étais ai as""")
COMPARING = _set("""comme""")
HEADS = {
    "une": "un",
    "chacune": "chacun",
    "aucune": "aucun",
    "certaines": "certains",
    "laquelle": "lequel",
    "lesquelles": "lesquels",
    "quelques-unes": "quelques-uns",
}
"""Pronouns for some of several, feminine and masculine."""
SUBJECTS = {
    "il": Agreement(fem=False, plural=False),
    "elle": Agreement(fem=True, plural=False),
    "ils": Agreement(fem=False, plural=True),
    "elles": Agreement(fem=True, plural=True),
}
ADJECTIVES_TOO = _set("ami amie amis amies employé employée retraité retraitée salarié salariée réfugié réfugiée")
WHOEVER = {"celle": "celui", "celui": "celle", "celles": "ceux", "ceux": "celles"}
VERBS_TOO = _set("complète inquiète sèche lasse active")
"""Feminine adjectives that are verbs, too (elle complète la liste)."""
VERBS_BEHIND_NOUN = _set("dit fait écrit conduit séduit instruit cuit inscrit")
"""Masculine participles that are verbs where they follow their noun directly (il écrit un livre)."""
RANKS = _set("meilleure première dernière seule cadette aînée meilleur premier dernier seul cadet aîné")
PERSONAL = _set(
    """vêtue née mariée fatiguée épuisée essoufflée émue déçue convaincue persuadée ravie heureuse malheureuse furieuse
    inquiète contente mécontente fière jalouse âgée évanouie fâchée enceinte amoureuse veuve divorcée blessée
    rassurée intimidée vexée soulagée enthousiaste souriante curieuse impatiente satisfaite"""
)
"""Feminine adjectives that are said of persons alone."""
PARTICLES = _set(
    "près loin face hors auprès lors hier demain quasi dehors dedans dessus dessous partout juste chez hélas"
)
ATTENDED = _set("accompagnée entourée suivie escortée")
CROWDS = _set(
    """foule personne personnes famille familles victime victimes équipe équipes police star stars vedette vedettes
    génération population assemblée jeunesse gens recrue sentinelle bête chienne chatte jument
    personnel public peuple groupe couple bébé enfant chien chat cheval individu"""
)
FEMININE_NOUNS = _set(
    """eau peau image page plage rage cage nage main fin faim dent part mort nuit fois foi loi mer chair cour tour forêt
    équipe école église île histoire idée heure usine entreprise armée affaire œuvre étoile herbe arme
    souris brebis soif clef nef jument gent"""
)
MASCULINE_ENDS = (
    "age", "isme", "ège", "ment", "eau", "oir", "ier", "ard", "al", "el", "il", "ain", "ien", "et", "at", "is", "us",
    "ou", "c", "g", "k", "ent", "ant", "ot", "as", "os", "ton", "don", "lon", "ron", "gon", "non", "bon", "mp", "an",
    "ort", "our", "or", "oin", "lin", "tin", "din", "min", "gin", "pin",
)  # fmt: skip
"""Endings of nouns that are masculine, but for those in FEMININE_NOUNS."""
NO_EPICENE = _set(
    """victime crime régime système problème thème poème légume costume oratoire mémoire histoire victoire gloire table
    fable étable cible musique boutique fabrique république politique clinique piste liste affaire paire grammaire
    bibliothèque"""
)
"""Nouns that end like adjectives of one form for both genders."""
INVARIABLE = _set(
    """célèbre malade triste riche pauvre pâle calme sage libre faible maigre simple tendre propre sale vide rapide
    mince jeune honnête digne grave brave timide aveugle borgne unique ivre humble noble"""
)
"""Adjectives that have one form for both genders."""
FEMININE_ENDS = ("ée", "tion", "sion", "té", "ette", "ance", "ence", "esse", "ie", "ure", "ade", "aison")
"""Endings of nouns that are feminine."""
TO_ONESELF = _set("demandé dit parlé imaginé permis promis souri plu ressemblé succédé téléphoné nui menti suffi")
"""Participles that agree with nobody behind a reflexive (elle s'est demandé)."""
