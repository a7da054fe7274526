"""Word lists behind `spanish_grammar`."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ADVERBS = _set(
    """muy más menos tan bastante demasiado poco mucho bien mal siempre nunca ya aún todavía también tampoco no casi
    algo realmente sumamente extremadamente completamente totalmente especialmente sólo solo ayer hoy hace
    ahora antes después temprano"""
) - {"solo", "poco", "mucho", "demasiado", "no"}
PREPOSITIONS = _set(
    """a ante bajo con contra de del al desde durante en entre hacia hasta mediante para por según sin sobre tras
    como"""
)
SMALL_WORDS = _set("""a al con de del e el en la las los o para por un una y""")
TITLES = _set("sr sra srta dr dra señor señora señorita")
CONJUNCTIONS = _set("y e o u pero ni")
LINKING = _set(
    """es son era eran fue fueron será serán sería serían sea sean está están estaba estaban estuvo estuvieron estará
    estarán estaría esté estén parece parecen parecía parecían pareció resulta resultó queda quedan quedó
    quedaron quedaba sigue siguen seguía siguió sigo anda andaba vive viven vivía vivió llegó llega llegan
    volvió vuelve murió nació se siente sienten sentía sintió puso ponen pone ponía puso volvieron pusieron
    hizo hace fui soy eres somos estoy"""
) - _set("se hace")
BEFORE_VERB = _set("no me te se le les nos os lo ya nunca también tampoco siempre")
HAVING = _set("ha han había habían habrá habrán habría habrían haya hayan hubo he has hemos")
BEEN = _set("sido estado")
FIXED_DETERMINERS = _set(
    """mi mis tu tus su sus cada dos tres cuatro cinco seis siete ocho nueve diez veinte cien mil cualquier
    cualesquiera qué"""
)
PAIRS = {
    "la": "el",
    "una": "un",
    "esta": "este",
    "esa": "ese",
    "aquella": "aquel",
    "ninguna": "ningún",
    "alguna": "algún",
    "otra": "otro",
    "mucha": "mucho",
    "poca": "poco",
    "toda": "todo",
    "cuánta": "cuánto",
    "tanta": "tanto",
    "nuestra": "nuestro",
    "vuestra": "vuestro",
    "misma": "mismo",
    "las": "los",
    "unas": "unos",
    "estas": "estos",
    "esas": "esos",
    "aquellas": "aquellos",
    "algunas": "algunos",
    "otras": "otros",
    "muchas": "muchos",
    "pocas": "pocos",
    "todas": "todos",
    "cuántas": "cuántos",
    "tantas": "tantos",
    "nuestras": "nuestros",
    "vuestras": "vuestros",
    "varias": "varios",
    "ambas": "ambos",
    "demasiadas": "demasiados",
}
"""Feminine and masculine determiners."""
SHORTENED = {
    "buena": "buen",
    "mala": "mal",
    "primera": "primer",
    "tercera": "tercer",
}
"""Adjectives whose masculine loses its -o before the noun."""
PLURAL_DETERMINERS = _set(
    """las los unas unos estas estos esas esos aquellas aquellos algunas algunos otras otros muchas muchos pocas
    pocos todas todos mis tus sus nuestras nuestros dos tres cuatro cinco seis siete ocho nueve diez varias
    varios"""
)
INVARIABLE = _set(
    """grande gran joven mayor menor mejor peor feliz triste alegre inteligente valiente amable pobre fuerte débil
    elegante importante interesante independiente responsable agradable difícil fácil útil hábil cruel fiel
    gentil joven jóvenes grandes felices tristes inteligentes valientes amables fuertes mayores menores
    mejores peores capaz capaces audaz veloz popular familiar particular singular ideal especial genial normal
    natural social leal real original libre verde azul gris marrón dulce humilde noble célebre ilustre salvaje
    suave breve grave leve simple doble optimista pesimista egoísta realista feminista socialista comunista
    racista machista belga árabe iraquí israelí"""
)
NO_ADJECTIVE = _set(
    """periodista pianista electricista taxista ciclista guitarrista economista cineasta gimnasta acróbata astronauta
    diplomata terapeuta soprano víctima persona estrella figura policía guía periodista artista dentista
    turista atleta poeta colega modelo testigo piloto cada nada toda todo casa cosa hora vida ayuda manera
    como cuando cuanto pero luego pronto cerca lejos ahora antes fuera dentro hasta para contra sobre bajo
    mucho poco tanto algo aunque mañana todavía ella ello una uno esto eso nunca arriba abajo"""
)
