"""Word lists behind `spanish_grammar`."""

from __future__ import annotations

from evenhand_sdk.romance_owners import Agreement


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


SUBJECTS = {
    "él": Agreement(fem=False, plural=False),
    "ella": Agreement(fem=True, plural=False),
    "ellos": Agreement(fem=False, plural=True),
    "ellas": Agreement(fem=True, plural=True),
}
ADJECTIVES_TOO = _set("vecina vecinas vecino vecinos amiga amigas amigo amigos refugiada refugiado empleada empleado")
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
    hizo hace fui soy eres somos estoy estamos estábamos éramos fuimos estuvimos"""
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
    mucho poco tanto algo aunque mañana todavía ella ello una uno esto eso nunca arriba abajo
    cuida olvida anida convida liquida invalida consolida traslada degrada agrada desagrada enfada valida cultiva
    archiva esquiva deriva priva acosa rebosa reposa endosa"""
)
SUBORDINATORS = _set("porque que cuando aunque si mientras pues donde quien")
"""Words that open a clause, which may leave its subject out."""
PLACE_PREPOSITIONS = _set("en de desde hasta hacia por a")
MOVING = _set(
    """salió sale salía salieron salen salían entró entra entraba entraron entran regresó regresa regresaba regresaron
    cayó cae caía cayeron corrió corría corrieron caminaba caminó caminaban permaneció permanece permanecía
    permanecieron continuó continúa continuaba acabó acabaron terminó terminaron apareció aparece aparecieron marchó
    marcharon despertó despertaron levantó levantaron acostó acostaron durmió durmieron duerme sentó mostró mostraba
    mostraron encontraba encontraban encuentra hallaba halla iba iban va van venía vino viene vinieron subió subieron
    bajó bajaron escapó huyó partió partieron creció esperó esperaba esperaban"""
)
"""Finite forms of verbs behind which an adjective says how their subject is (salió enfadado)."""
OTHER_HAVING = _set("haber habiendo había habías hubiera hubiese habría hayas habéis habíamos tiene tenía tengo tienen")
NON_FINITE = _set("estar estando ser siendo sentirse sintiéndose haber habiendo")
ADVERBIAL = _set(
    "claro alto bajo rápido solo mucho poco todo seguro primero caro barato hondo recto fuerte duro lento limpio"
)
NEUTER = _set("algo nada todo lo eso esto aquello ello")
SPEAKERS = _set("yo tú me te mí ti nos os usted estoy soy estás eres fui fuiste estaré seré estamos somos")
COMPARING = _set("como según")
IMPERSONAL = _set("necesario preciso claro cierto obvio lógico debido previsto permitido prohibido supuesto")
"""Masculine forms that are said of nobody behind es and está (cuando sea necesario)."""
HEADS = {
    "una": "uno",
    "ninguna": "ninguno",
    "alguna": "alguno",
    "algunas": "algunos",
    "muchas": "muchos",
    "pocas": "pocos",
    "varias": "varios",
    "otra": "otro",
    "otras": "otros",
    "todas": "todos",
}
"""Pronouns for some of several, feminine and masculine."""
VERBS_TOO = _set("despierta llena activa limpia seca enferma completa corta junta suelta muda sujeta tensa dispersa")
"""Feminine adjectives that are verbs, too (la madre despierta al niño)."""
NO_PARTICIPLE = _set(
    """entrada salida comida bebida llegada mirada llamada jornada temporada medida partida caída subida bajada parada
    espada almohada ensalada cascada fachada manada granada madrugada posada mermelada avenida década guarida corrida
    acogida despedida huida ida venida cuida olvida anida convida liquida invalida consolida traslada degrada agrada
    desagrada apoda acomoda poda valida coincida decida impida intimida invada persuada enfada
    estado lado mercado grado resultado sonido ruido vestido sentido partido pedido apellido contenido cuidado pescado
    helado calzado ganado tejado sábado significado pasado demasiado recado juzgado olvido descuido latido aullido"""
)
"""Nouns and verbs that end like participles."""
RANKS = _set("mejor peor mayor menor única primera última segunda tercera único primero último segundo tercero")
PERSONAL = _set(
    """cansada contenta descontenta enfadada enojada nacida casada embarazada convencida emocionada decepcionada
    enamorada dormida preocupada asustada vestida agotada aburrida divorciada viuda soltera borracha avergonzada
    celosa furiosa satisfecha insatisfecha sorprendida despeinada descalza ilesa exhausta"""
)
"""Feminine adjectives that are said of persons alone."""
PARTICLES = _set(
    "cerca lejos junto delante detrás dentro fuera encima debajo frente ayer hoy mañana aquí allí ahí entonces"
)
ATTENDED = _set("acompañada rodeada seguida escoltada")
CROWDS = _set(
    """gente persona personas familia familias víctima víctimas multitud muchedumbre policía estrella estrellas criatura
    criaturas tripulación población juventud generación tropa perra gata yegua
    personal público pueblo grupo equipo bebé perro gato caballo individuo"""
)
NO_ADJECTIVE_ENDS = ("ndo", "tuvo", "hubo", "duvo", "hizo", "dijo", "dujo", "trajo", "puso", "quiso", "vino", "cupo")
"""How preterites and gerunds end that stand behind their subject as adjectives do (el rey dijo)."""
APPOSED = _set("prodigio lobo modelo piloto mismo propio tanto cuanto pudo supo solo")
"""Words in -o behind a masculine noun that do not agree with it, or are told elsewhere."""
