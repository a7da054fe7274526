"""Agreement away from the noun in French and Spanish, and ihr of several in German: sentences of their own.

The sentences of the first three lists were labelled before the engine was run on them. The last
column says how sure the engine has to be: `sure` above 0.7, so that `min_confidence` keeps the pair; `lowered` at 0.7
or below; and `any`.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand_sdk import counterfactuals, load_axis

CERTAINTY = {"sure": (0.71, 1.0), "lowered": (0.0, 0.7), "any": (0.0, 1.0)}

FRENCH = [
    # superlatives behind the noun
    ("La femme la plus intelligente parle.", "L'homme le plus intelligent parle.", "sure"),
    ("C'est la chanteuse la plus connue de Paris.", "C'est le chanteur le plus connu de Paris.", "sure"),
    ("Les étudiantes les plus courageuses ont gagné.", "Les étudiants les plus courageux ont gagné.", "sure"),
    ("La voisine la moins contente est partie.", "Le voisin le moins content est parti.", "sure"),
    ("L'avocat le plus sérieux de la ville est mort.", "L'avocate la plus sérieuse de la ville est morte.", "sure"),
    (
        "La directrice la plus jeune et la plus discrète dort.",
        "Le directeur le plus jeune et le plus discret dort.",
        "sure",
    ),
    # set off in front
    ("Née à Paris, l'actrice vit à Rome.", "Né à Paris, l'acteur vit à Rome.", "sure"),
    ("Fatiguée et malade, la voisine se couche.", "Fatigué et malade, le voisin se couche.", "sure"),
    ("Vêtu de noir, le chanteur entre.", "Vêtue de noir, la chanteuse entre.", "sure"),
    ("Assise sur un banc, la vendeuse attend.", "Assis sur un banc, le vendeur attend.", "sure"),
    ("Très inquiète, la mère appelle.", "Très inquiet, le père appelle.", "sure"),
    ("Arrivées en retard, les étudiantes s'excusent.", "Arrivés en retard, les étudiants s'excusent.", "sure"),
    ("Née à Paris et élevée à Lyon, l'actrice vit seule.", "Né à Paris et élevé à Lyon, l'acteur vit seul.", "any"),
    # set off behind
    ("Une femme âgée, vêtue de noir, est entrée.", "Un homme âgé, vêtu de noir, est entré.", "sure"),
    ("La directrice, furieuse et déçue, est partie.", "Le directeur, furieux et déçu, est parti.", "sure"),
    ("L'acteur, né à Lyon en 1950, est connu.", "L'actrice, née à Lyon en 1950, est connue.", "sure"),
    ("La voisine, toujours souriante, ouvre.", "Le voisin, toujours souriant, ouvre.", "sure"),
    ("L'actrice entra, suivie de son chien.", "L'acteur entra, suivi de son chien.", "sure"),
    ("La chanteuse salua, émue.", "Le chanteur salua, ému.", "sure"),
    (
        "La chanteuse chante debout, les yeux fermés, heureuse.",
        "Le chanteur chante debout, les yeux fermés, heureux.",
        "any",
    ),
    # what is said of the subject behind other verbs
    ("La directrice est sortie furieuse.", "Le directeur est sorti furieux.", "sure"),
    ("La vendeuse rentra fatiguée.", "Le vendeur rentra fatigué.", "sure"),
    ("Le voisin repartit content.", "La voisine repartit contente.", "sure"),
    ("La femme entra et parut inquiète.", "L'homme entra et parut inquiet.", "sure"),
    ("L'étudiante lut la lettre et fut surprise.", "L'étudiant lut la lettre et fut surpris.", "any"),
    (
        "La directrice trouva la salle vide et partit déçue.",
        "Le directeur trouva la salle vide et partit déçu.",
        "any",
    ),
    # some of several
    ("Une des voisines est venue.", "Un des voisins est venu.", "sure"),
    ("L'une de mes étudiantes est absente.", "L'un de mes étudiants est absent.", "sure"),
    ("Chacune des chanteuses salua.", "Chacun des chanteurs salua.", "sure"),
    ("Aucune des directrices n'est venue.", "Aucun des directeurs n'est venu.", "sure"),
    ("Certaines des étudiantes dorment.", "Certains des étudiants dorment.", "sure"),
    ("Laquelle des deux actrices chante ?", "Lequel des deux acteurs chante ?", "sure"),
    # another noun owns it, or nobody does
    ("La femme regarde la maison la plus belle.", "L'homme regarde la maison la plus belle.", "sure"),
    ("L'actrice porte une robe rouge et brodée.", "L'acteur porte une robe rouge et brodée.", "sure"),
    (
        "La voisine a vendu la voiture, achetée en mai.",
        "Le voisin a vendu la voiture, achetée en mai.",
        "sure",
    ),
    ("La chanteuse entra dans la salle éclairée.", "Le chanteur entra dans la salle éclairée.", "sure"),
    ("L'homme a mangé.", "La femme a mangé.", "sure"),
    (
        "La directrice a fermé la porte, cassée depuis longtemps.",
        "Le directeur a fermé la porte, cassée depuis longtemps.",
        "sure",
    ),
    ("Le vendeur dit que c'est vrai.", "La vendeuse dit que c'est vrai.", "sure"),
    ("La vendeuse pense à la soirée.", "Le vendeur pense à la soirée.", "sure"),
    ("L'acteur joue un rôle connu.", "L'actrice joue un rôle connu.", "sure"),
    ("La mère prépare de la viande hachée.", "Le père prépare de la viande hachée.", "sure"),
    ("La voisine passe la matinée en forêt.", "Le voisin passe la matinée en forêt.", "sure"),
    ("Le chanteur parle fort.", "La chanteuse parle fort.", "sure"),
    ("L'étudiante vit en pleine nature.", "L'étudiant vit en pleine nature.", "sure"),
    ("La maison de la voisine est fermée.", "La maison du voisin est fermée.", "sure"),
    ("La directrice quitta la salle, vide et froide.", "Le directeur quitta la salle, vide et froide.", "sure"),
    ("Comme prévu, le directeur est venu.", "Comme prévu, la directrice est venue.", "sure"),
    ("L'actrice entre dans l'école fermée.", "L'acteur entre dans l'école fermée.", "sure"),
    ("La voisine a acheté des chaises pliées.", "Le voisin a acheté des chaises pliées.", "sure"),
    # nobody else could own it, and no rule is sure of it
    ("La femme chante seule.", "L'homme chante seul.", "lowered"),
    # written and labelled once the rules stood
    (
        "L'institutrice la plus patiente de l'école est partie.",
        "L'instituteur le plus patient de l'école est parti.",
        "any",
    ),
    ("Blessée au genou, la joueuse quitta le terrain.", "Blessé au genou, le joueur quitta le terrain.", "any"),
    ("Le roi, malade et affaibli, mourut.", "La reine, malade et affaiblie, mourut.", "any"),
    (
        "La couturière, installée à Lyon depuis dix ans, est contente.",
        "Le couturier, installé à Lyon depuis dix ans, est content.",
        "any",
    ),
    ("Le garçon rentra mouillé.", "La fille rentra mouillée.", "any"),
    ("Ma nièce a trouvé la valise ouverte.", "Mon neveu a trouvé la valise ouverte.", "sure"),
    ("La princesse vivait enfermée dans un château.", "Le prince vivait enfermé dans un château.", "any"),
    ("Une de ses cousines est mariée.", "Un de ses cousins est marié.", "any"),
    ("La chanteuse porte une veste usée.", "Le chanteur porte une veste usée.", "sure"),
    ("Le serveur a cassé un verre rempli de vin.", "La serveuse a cassé un verre rempli de vin.", "sure"),
    ("La reine est arrivée en voiture, entourée de gardes.", "Le roi est arrivé en voiture, entouré de gardes.", "any"),
    ("Fâché contre son frère, le prince partit.", "Fâchée contre sa sœur, la princesse partit.", "any"),
    ("La voisine a une maison neuve et claire.", "Le voisin a une maison neuve et claire.", "sure"),
    ("Ma grand-mère est morte heureuse.", "Mon grand-père est mort heureux.", "any"),
    ("Les sœurs, restées seules, pleuraient.", "Les frères, restés seuls, pleuraient.", "any"),
    ("La directrice parle d'une affaire classée.", "Le directeur parle d'une affaire classée.", "sure"),
    ("L'héroïne du film, blonde et élancée, est anglaise.", "Le héros du film, blond et élancé, est anglais.", "any"),
    ("Le patron a été clair.", "La patronne a été claire.", "any"),
    ("La paysanne rêve d'être riche et aimée.", "Le paysan rêve d'être riche et aimé.", "any"),
    ("L'étudiante la mieux préparée a réussi.", "L'étudiant le mieux préparé a réussi.", "any"),
]

SPANISH = [
    # a clause without a subject
    (
        "La directora llegó tarde porque estaba cansada.",
        "El director llegó tarde porque estaba cansado.",
        "sure",
    ),
    ("La profesora dijo que estaba enferma.", "El profesor dijo que estaba enfermo.", "sure"),
    ("La doctora no vino porque está ocupada.", "El doctor no vino porque está ocupado.", "sure"),
    ("El vecino trabaja mucho y está cansado.", "La vecina trabaja mucho y está cansada.", "sure"),
    ("La directora, que llegó tarde, parecía enfadada.", "El director, que llegó tarde, parecía enfadado.", "sure"),
    ("Aunque estaba cansada, la madre cocinó.", "Aunque estaba cansado, el padre cocinó.", "sure"),
    ("Cuando llegó, la abuela estaba enferma.", "Cuando llegó, el abuelo estaba enfermo.", "sure"),
    # what is said of the subject behind verbs of motion and of state
    ("El profesor salió enfadado.", "La profesora salió enfadada.", "sure"),
    ("La niña volvió contenta a casa.", "El niño volvió contento a casa.", "sure"),
    ("La vecina entró muy enfadada.", "El vecino entró muy enfadado.", "sure"),
    ("El niño se durmió tranquilo.", "La niña se durmió tranquila.", "sure"),
    ("La escritora se fue decepcionada.", "El escritor se fue decepcionado.", "sure"),
    ("Las alumnas salieron contentas.", "Los alumnos salieron contentos.", "sure"),
    ("La niña llegó a casa cansada.", "El niño llegó a casa cansado.", "sure"),
    # set off, in front and behind
    ("Nacida en Sevilla, la escritora vive en Roma.", "Nacido en Sevilla, el escritor vive en Roma.", "sure"),
    ("Cansada y enferma, la abuela se durmió.", "Cansado y enfermo, el abuelo se durmió.", "sure"),
    ("Vestido de negro, el actor entró.", "Vestida de negro, la actriz entró.", "sure"),
    ("La actriz, nacida en Madrid, murió ayer.", "El actor, nacido en Madrid, murió ayer.", "sure"),
    ("La reina llegó, acompañada de un perro.", "El rey llegó, acompañado de un perro.", "sure"),
    ("La actriz, famosa y rica, vive en París.", "El actor, famoso y rico, vive en París.", "sure"),
    (
        "La profesora, cansada de esperar, se fue enfadada.",
        "El profesor, cansado de esperar, se fue enfadado.",
        "sure",
    ),
    # some of several
    ("Una de las chicas llegó tarde.", "Uno de los chicos llegó tarde.", "sure"),
    ("Una de mis amigas está enferma.", "Uno de mis amigos está enfermo.", "sure"),
    ("Ninguna de las profesoras llegó.", "Ninguno de los profesores llegó.", "sure"),
    ("Cada una de las niñas canta.", "Cada uno de los niños canta.", "sure"),
    ("Algunas de las actrices cantan.", "Algunos de los actores cantan.", "sure"),
    ("Uno de los profesores salió.", "Una de las profesoras salió.", "sure"),
    # another noun owns it, or nobody does
    ("La vecina vende ropa usada.", "El vecino vende ropa usada.", "sure"),
    ("La escritora vive en una casa cerrada.", "El escritor vive en una casa cerrada.", "sure"),
    (
        "La directora cerró la puerta, pintada de azul.",
        "El director cerró la puerta, pintada de azul.",
        "sure",
    ),
    ("El profesor ha llegado.", "La profesora ha llegado.", "sure"),
    ("El profesor dijo que era necesario salir.", "La profesora dijo que era necesario salir.", "sure"),
    ("El director llegó como estaba previsto.", "La directora llegó como estaba previsto.", "sure"),
    ("La niña come comida salada.", "El niño come comida salada.", "sure"),
    ("La mesa de la profesora estaba sucia.", "La mesa del profesor estaba sucia.", "sure"),
    ("El vecino habla claro.", "La vecina habla claro.", "sure"),
    (
        "La actriz pasó la semana pasada en Roma.",
        "El actor pasó la semana pasada en Roma.",
        "sure",
    ),
    ("La directora dice que yo estoy cansada.", "El director dice que yo estoy cansada.", "sure"),
    ("La profesora cree que estás cansada.", "El profesor cree que estás cansada.", "sure"),
    ("La abuela olvida la llamada perdida.", "El abuelo olvida la llamada perdida.", "sure"),
    (
        "La doctora buscaba la llave que estaba escondida.",
        "El doctor buscaba la llave que estaba escondida.",
        "sure",
    ),
    ("La niña nada en agua fría.", "El niño nada en agua fría.", "sure"),
    ("La madre cuida la casa y olvida todo.", "El padre cuida la casa y olvida todo.", "sure"),
    ("El actor dijo algo raro.", "La actriz dijo algo raro.", "sure"),
    ("La escritora habla de poesía antigua.", "El escritor habla de poesía antigua.", "sure"),
    # a door is not tired, but a house may be ruined
    (
        "La directora cerró la puerta porque estaba cansada.",
        "El director cerró la puerta porque estaba cansado.",
        "sure",
    ),
    (
        "La directora dejó la casa porque estaba arruinada.",
        "El director dejó la casa porque estaba arruinada.",
        "lowered",
    ),
    ("La vecina canta emocionada.", "El vecino canta emocionado.", "lowered"),
    ("La madre esperaba sentada en el parque.", "El padre esperaba sentado en el parque.", "any"),
    # written and labelled once the rules stood
    ("La bruja vivía sola en una cueva oscura.", "El brujo vivía solo en una cueva oscura.", "any"),
    ("Herido en la pierna, el jugador salió del campo.", "Herida en la pierna, la jugadora salió del campo.", "any"),
    ("La cocinera, agotada, se sentó en la silla.", "El cocinero, agotado, se sentó en la silla.", "any"),
    ("Mi primo llegó mojado y cansado.", "Mi prima llegó mojada y cansada.", "any"),
    ("La escritora publicó una novela premiada.", "El escritor publicó una novela premiada.", "sure"),
    ("Una de sus hijas está casada.", "Uno de sus hijos está casado.", "any"),
    ("El rey estaba convencido de que era amado.", "La reina estaba convencida de que era amada.", "any"),
    ("La abuela decía que estaba enferma y sola.", "El abuelo decía que estaba enfermo y solo.", "any"),
    ("El camarero trajo un vaso roto.", "La camarera trajo un vaso roto.", "sure"),
    ("La niña no comió porque estaba dormida.", "El niño no comió porque estaba dormido.", "any"),
    ("Nacido en Lima, el pintor murió pobre y olvidado.", "Nacida en Lima, la pintora murió pobre y olvidada.", "any"),
    ("La maestra compró fruta madura.", "El maestro compró fruta madura.", "sure"),
    ("Las monjas volvieron agotadas al convento.", "Los monjes volvieron agotados al convento.", "any"),
    ("La doctora dice que la herida está curada.", "El doctor dice que la herida está curada.", "sure"),
    ("El alcalde, elegido en mayo, dimitió.", "La alcaldesa, elegida en mayo, dimitió.", "any"),
    (
        "La jefa parecía satisfecha con la propuesta presentada.",
        "El jefe parecía satisfecho con la propuesta presentada.",
        "any",
    ),
    ("Mi hermana, aunque enfadada, sonrió.", "Mi hermano, aunque enfadado, sonrió.", "any"),
    ("El ladrón huyó asustado.", "La ladrona huyó asustada.", "any"),
    ("La hermana mayor es más alta y más seria.", "El hermano mayor es más alto y más serio.", "any"),
    ("La reina fue recibida y se mostró encantada.", "El rey fue recibido y se mostró encantado.", "any"),
]

GERMAN = [
    # several own it
    ("Die Frauen und ihre Kinder lachen.", "Die Männer und ihre Kinder lachen.", "sure"),
    ("Die Schwestern trafen ihren Bruder.", "Die Brüder trafen ihre Schwester.", "sure"),
    ("Die Nachbarn und ihre Söhne kamen.", "Die Nachbarinnen und ihre Töchter kamen.", "sure"),
    ("Die Frauen halfen ihren Kindern.", "Die Männer halfen ihren Kindern.", "sure"),
    ("Die Frauen verkauften das Haus ihrer Mutter.", "Die Männer verkauften das Haus ihres Vaters.", "sure"),
    ("Die Lehrerinnen sprachen mit ihrem Chef.", "Die Lehrer sprachen mit ihrer Chefin.", "sure"),
    ("Die Schüler mögen ihren Lehrer.", "Die Schülerinnen mögen ihre Lehrerin.", "sure"),
    ("Die Töchter erinnern sich ihres Vaters.", "Die Söhne erinnern sich ihrer Mutter.", "sure"),
    ("Anna und Maria lieben ihre Kinder.", "Paul und Thomas lieben ihre Kinder.", "sure"),
    (
        "Die Mutter und die Tochter suchten ihren Hund.",
        "Der Vater und der Sohn suchten ihren Hund.",
        "any",
    ),
    ("Die Frauen kamen. Ihre Kinder schliefen.", "Die Männer kamen. Ihre Kinder schliefen.", "sure"),
    ("Am Abend gingen sie nach Hause.", "=", "any"),
    ("Die Frauen lachten, als ich sie sah.", "Die Männer lachten, als ich sie sah.", "sure"),
    ("Gestern trafen die Schwestern ihren Bruder.", "Gestern trafen die Brüder ihre Schwester.", "sure"),
    ("Die Frauen mit ihren Kindern warteten.", "Die Männer mit ihren Kindern warteten.", "sure"),
    (
        "Mit den Frauen und ihren Kindern sprach niemand.",
        "Mit den Männern und ihren Kindern sprach niemand.",
        "sure",
    ),
    ("Die Freundinnen verloren ihre Schlüssel.", "Die Freunde verloren ihre Schlüssel.", "sure"),
    ("Zwei Schwestern verkauften ihr Haus.", "Zwei Brüder verkauften ihr Haus.", "sure"),
    ("Alle Lehrerinnen kennen ihre Schüler.", "Alle Lehrer kennen ihre Schülerinnen.", "sure"),
    ("Die Frauen, die ihre Arbeit lieben, lachen.", "Die Männer, die ihre Arbeit lieben, lachen.", "sure"),
    (
        "Die Frauen sagen, dass ihre Kinder schlafen.",
        "Die Männer sagen, dass ihre Kinder schlafen.",
        "sure",
    ),
    ("Die Männer verloren ihre Arbeit.", "Die Frauen verloren ihre Arbeit.", "sure"),
    (
        "Die Königin besuchte die Bauern und ihre Familien.",
        "Der König besuchte die Bäuerinnen und ihre Familien.",
        "any",
    ),
    (
        "Müde waren die Frauen, doch sie liebten ihre Kinder.",
        "Müde waren die Männer, doch sie liebten ihre Kinder.",
        "sure",
    ),
    (
        "Die Lehrerin sagte, die Frauen verkaufen ihr Haus.",
        "Der Lehrer sagte, die Männer verkaufen ihr Haus.",
        "any",
    ),
    # one woman owns it
    ("Die Frau und ihre Kinder lachen.", "Der Mann und seine Kinder lachen.", "sure"),
    ("Die Mutter liebt ihre Söhne.", "Der Vater liebt seine Töchter.", "sure"),
    ("Die Tochter und ihre Mutter lachten.", "Der Sohn und sein Vater lachten.", "sure"),
    ("Die Kinder helfen ihr.", "Die Kinder helfen ihm.", "sure"),
    ("Die Schwester wollte ihren Bruder sehen.", "Der Bruder wollte seine Schwester sehen.", "sure"),
    ("Die Ärztin hat mit ihren Kindern gesprochen.", "Der Arzt hat mit seinen Kindern gesprochen.", "sure"),
    ("Wir trafen die Lehrerin und ihren Mann.", "Wir trafen den Lehrer und seine Frau.", "sure"),
    (
        "Die Eltern sahen die Lehrerin und ihren Hund.",
        "Die Eltern sahen den Lehrer und seinen Hund.",
        "any",
    ),
    ("Die alte Frau verkaufte ihr Haus.", "Der alte Mann verkaufte sein Haus.", "sure"),
    (
        "Die Nachbarin der Studenten suchte ihren Hund.",
        "Der Nachbar der Studentinnen suchte seinen Hund.",
        "any",
    ),
    (
        "Die Frauen suchten die Lehrerin und ihren Hund.",
        "Die Männer suchten den Lehrer und seinen Hund.",
        "any",
    ),
    ("Sie kam mit ihren Söhnen.", "Er kam mit seinen Töchtern.", "sure"),
    (
        "Die Frauen kamen. Sie brachte ihre Tasche mit.",
        "Die Männer kamen. Er brachte seine Tasche mit.",
        "any",
    ),
    ("Der Mann half ihr.", "Die Frau half ihm.", "sure"),
    ("Anna und ihr Bruder kamen.", "Paul und seine Schwester kamen.", "sure"),
    ("Den Frauen gab die Ärztin ihre Karte.", "Den Männern gab der Arzt seine Karte.", "lowered"),
    # one of several
    ("Keine der Frauen kam.", "Keiner der Männer kam.", "sure"),
    ("Eine der Schwestern verlor ihren Hut.", "Einer der Brüder verlor seinen Hut.", "any"),
    ("Mit einer der Frauen sprach niemand.", "Mit einem der Männer sprach niemand.", "sure"),
    ("Ich kenne jeden der Schüler.", "Ich kenne jede der Schülerinnen.", "any"),
    # written and labelled once the rules stood
    ("Die Töchter besuchten ihren kranken Vater.", "Die Söhne besuchten ihre kranke Mutter.", "any"),
    ("Die Bäuerinnen verkaufen ihre Eier.", "Die Bauern verkaufen ihre Eier.", "any"),
    ("Die Bäuerin verkauft ihre Eier.", "Der Bauer verkauft seine Eier.", "any"),
    ("Drei Ärztinnen eröffneten ihre Praxis.", "Drei Ärzte eröffneten ihre Praxis.", "any"),
    ("Mein Onkel und meine Tante lieben ihren Garten.", "Meine Tante und mein Onkel lieben ihren Garten.", "any"),
    (
        "Die Studentinnen vergaßen ihre Bücher, denn sie waren müde.",
        "Die Studenten vergaßen ihre Bücher, denn sie waren müde.",
        "any",
    ),
    ("Keine der Schülerinnen hat ihr Heft dabei.", "Keiner der Schüler hat sein Heft dabei.", "any"),
    ("Die Prinzessin und ihre Brüder ritten aus.", "Der Prinz und seine Schwestern ritten aus.", "any"),
    ("Die Prinzessinnen und ihre Brüder ritten aus.", "Die Prinzen und ihre Schwestern ritten aus.", "any"),
    ("Den Lehrerinnen gefällt ihre Schule.", "Den Lehrern gefällt ihre Schule.", "any"),
    ("Am Morgen füttern die Frauen ihre Tiere.", "Am Morgen füttern die Männer ihre Tiere.", "any"),
    ("Weil die Frauen ihre Rechte kannten, klagten sie.", "Weil die Männer ihre Rechte kannten, klagten sie.", "any"),
    ("Weil die Frau ihre Rechte kannte, klagte sie.", "Weil der Mann seine Rechte kannte, klagte er.", "any"),
    ("Das Haus der Schwestern und ihrer Mutter brannte.", "Das Haus der Brüder und ihres Vaters brannte.", "any"),
    ("Das Haus der Schwester und ihres Mannes brannte.", "Das Haus des Bruders und seiner Frau brannte.", "any"),
    ("Ich traf die Nachbarinnen und lud sie ein.", "Ich traf die Nachbarn und lud sie ein.", "any"),
    ("Die Kinder riefen ihre Mutter, und sie kam.", "Die Kinder riefen ihren Vater, und er kam.", "any"),
    ("Er kennt eine der Sängerinnen.", "Sie kennt einen der Sänger.", "any"),
]


# What other sentences showed, and was mended then: labelled after the engine had been run on them.
FOUND = [
    # a verb that looks like an adjective behind its noun
    ("es", "La madre despierta al niño.", "El padre despierta a la niña.", "sure"),
    ("es", "La abuela cultiva rosas.", "El abuelo cultiva rosas.", "sure"),
    ("es", "El chico se fue corriendo, asustado.", "La chica se fue corriendo, asustada.", "sure"),
    ("fr", "La directrice complète la liste.", "Le directeur complète la liste.", "sure"),
    ("fr", "L'homme conduit la voiture.", "La femme conduit la voiture.", "sure"),
    ("fr", "L'homme, conduit à Lyon, dort.", "La femme, conduite à Lyon, dort.", "any"),
    # a participle that agrees with nobody, or has another owner
    ("fr", "Le voisin s'est demandé pourquoi.", "La voisine s'est demandé pourquoi.", "sure"),
    (
        "fr",
        "Le vendeur a rangé la salle et fait la vaisselle.",
        "La vendeuse a rangé la salle et fait la vaisselle.",
        "sure",
    ),
    ("fr", "La serveuse apporte de l'eau fraîche.", "Le serveur apporte de l'eau fraîche.", "sure"),
    ("fr", "Le roi sait que ce n'était pas important.", "La reine sait que ce n'était pas important.", "sure"),
    ("fr", "La voisine, première victime de la crise, dort.", "Le voisin, première victime de la crise, dort.", "sure"),
    ("fr", "La femme dit que je suis belle.", "L'homme dit que je suis belle.", "sure"),
    # only a person is vêtu, cansado, acompañado de alguien
    ("fr", "La reine parut à la fenêtre, vêtue de blanc.", "Le roi parut à la fenêtre, vêtu de blanc.", "sure"),
    (
        "es",
        "La novia entró en la sala acompañada de su padre.",
        "El novio entró en la sala acompañado de su madre.",
        "any",
    ),
    (
        "es",
        "La jefa habló con la prensa, rodeada de flores.",
        "El jefe habló con la prensa, rodeada de flores.",
        "lowered",
    ),
    # adverbs and adjectives between, and adjectives that are joined
    ("fr", "Le juge a finalement été puni.", "La juge a finalement été punie.", "sure"),
    (
        "fr",
        "Elle était connue pour être dure, rugueuse et fière.",
        "Il était connu pour être dur, rugueux et fier.",
        "any",
    ),
    ("fr", "La directrice est la plus ancienne de la ville.", "Le directeur est le plus ancien de la ville.", "sure"),
    ("fr", "Une fois arrivée, la reine mangea.", "Une fois arrivé, le roi mangea.", "sure"),
    ("fr", "Seule la mère savait.", "Seul le père savait.", "sure"),
    ("fr", "La plus belle des actrices est arrivée.", "Le plus beau des acteurs est arrivé.", "sure"),
    ("es", "La mayor de las hermanas vive sola.", "El mayor de los hermanos vive solo.", "sure"),
    ("es", "Los profesores más estrictos llegaron.", "Las profesoras más estrictas llegaron.", "sure"),
    ("es", "Al estar enferma, la maestra no vino.", "Al estar enfermo, el maestro no vino.", "sure"),
    # a noun before the verb is its subject, but for a relative clause
    ("fr", "Le roi dit que le personnel est content.", "La reine dit que le personnel est content.", "sure"),
    ("es", "La madre vio que la gente estaba cansada.", "El padre vio que la gente estaba cansada.", "sure"),
    ("es", "La chica que vive en la casa está cansada.", "El chico que vive en la casa está cansado.", "sure"),
    (
        "es",
        "El alumno dijo nervioso que no estaba preparado.",
        "La alumna dijo nervioso que no estaba preparada.",
        "lowered",
    ),
    ("fr", "La dame, une voisine discrète, est morte seule.", "Le monsieur, un voisin discret, est mort seul.", "sure"),
    # the number of the verb
    ("fr", "Les hommes ont peur du chien qui était gros.", "Les femmes ont peur du chien qui était gros.", "sure"),
    ("fr", "Le marchand vend des trucs douteux.", "La marchande vend des trucs douteux.", "sure"),
    ("fr", "Le voisin ferait mieux de partir.", "La voisine ferait mieux de partir.", "sure"),
    # who is the subject behind an adverb
    ("de", "Gestern traf der Sohn seine Schwester.", "Gestern traf die Tochter ihren Bruder.", "any"),
    ("de", "Gestern trafen die Brüder ihre Schwester.", "Gestern trafen die Schwestern ihren Bruder.", "sure"),
    ("de", "Gestern kam die Schwester.", "Gestern kam der Bruder.", "sure"),
    ("de", "Am Ende des Tages kam die Lehrerin.", "Am Ende des Tages kam der Lehrer.", "sure"),
    ("de", "Im Garten saß bei den Kindern die Mutter.", "Im Garten saß bei den Kindern der Vater.", "sure"),
    ("de", "Wir trafen den Lehrer und seine Frau.", "Wir trafen die Lehrerin und ihren Mann.", "any"),
    ("de", "Später sah Peter die Ärztin.", "Später sah Monika den Arzt.", "sure"),
    # whose ihr it is
    (
        "de",
        "Die Frau, deren Söhne studieren, besucht ihre Schwester.",
        "Der Mann, dessen Töchter studieren, besucht seinen Bruder.",
        "lowered",
    ),
    ("de", "Wegen ihrer Söhne blieben die Mütter zu Hause.", "Wegen ihrer Töchter blieben die Väter zu Hause.", "sure"),
    (
        "de",
        "Die Frauen trafen die Lehrerin und lobten ihre Arbeit.",
        "Die Männer trafen den Lehrer und lobten ihre Arbeit.",
        "lowered",
    ),
    (
        "de",
        "Die Frauen waren müde. Ich brachte sie nach Hause.",
        "Die Männer waren müde. Ich brachte sie nach Hause.",
        "sure",
    ),
    ("de", "Die Frau, die ihre Söhne suchte, weinte.", "Der Mann, der seine Töchter suchte, weinte.", "sure"),
]


WORDS = """la femme L'homme , vêtue noir est plus morte seule que une des actrices El niño cansada porque estaba y más
de el director salió los profesores Die Frauen und ihre sie Kinder der Lehrer trafen kam"""
FRAGMENTS = st.sampled_from([*WORDS.split(), "\n", "."])


@given(st.lists(FRAGMENTS, max_size=14).map(" ".join), st.sampled_from(["fr", "es", "de"]))
@settings(max_examples=400, deadline=None)
def test_no_order_of_words_makes_it_fail(text: str, language: str) -> None:
    for found in counterfactuals(text, load_axis("gender", language)):
        assert 0 < found.confidence <= 1
        assert found.edits and found.text != text


@pytest.mark.parametrize(
    ("language", "text", "expected", "certainty"),
    [(name, *case) for name, cases in (("fr", FRENCH), ("es", SPANISH), ("de", GERMAN)) for case in cases] + FOUND,
)
def test_a_sentence_of_its_own(language: str, text: str, expected: str, certainty: str) -> None:
    found = counterfactuals(text, load_axis("gender", language))
    assert (found[0].text if found else "=") == expected
    low, high = CERTAINTY[certainty]
    assert not found or low <= found[0].confidence <= high
