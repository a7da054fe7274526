"""Word lists behind `english_her`: which verbs before her, and which words behind it, make her an object."""

from __future__ import annotations

from evenhand_sdk.english_words import TIME_NOUNS


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


SPEECH_VERBS = _set("told tell tells telling asked ask asks asking called call calls calling answered gave shouted")
NAMING_VERBS = _set(
    """call calls called calling name names named naming nickname nicknamed nicknames dub dubbed christen
    christened"""
)
CAUSATIVES = _set(
    """make makes made making let lets letting see sees saw seeing seen hear hears heard hearing watch
    watches watched watching help helps helped helping feel feels felt notice noticed notices"""
)
PERCEPTION_VERBS = _set(
    """leaving keeping finding noticing feeling spotting remembering imagining stopping catching had has send sends
    sent sending see sees saw seen seeing hear hears heard hearing notice notices noticed feel feels felt catch
    catches caught find finds found keep keeps kept leave leaves left spot spots spotted imagine imagined
    imagines remember remembers remembered picture pictured stop stops stopped watch watches watched
    watching want wants wanted show shows showed shown showing depict depicts depicted portray portrays portrayed film
    filmed films photograph photographed photographs record recorded records imagine rendered"""
)
PREDICATES = _set(
    """alive gone tight free aloud aboard ashore faster sooner clean mad wrong naked desperate bitter
    confused famous angry happy sad busy nervous proud sick tired uncomfortable comfortable awake upset
    jealous ready curious anxious afraid crazy worried sleepy responsible unconscious guilty speechless
    homeless better stronger weaker dizzy bored restless hopeful helpless silent distraught unable uneasy
    breathless motionless aware unharmed unhurt"""
)
"""Adjectives and adverbs that end a clause behind an object (held her tight, left her speechless) and name
nothing."""
ASSISTING_VERBS = _set("let lets letting help helps helped helping watch watches watched watching")
ING_NOUNS = _set(
    """painting building meeting clothing wedding drawing evening morning reading writing training feeling
    earring ring king thing ceiling offspring string spring sibling sling wing swing lightning upbringing
    beginning ending being understanding thinking cooking singing dancing acting teaching engineering
    nursing findings belongings savings earnings surroundings feelings paintings drawings writings meetings
    wedding-ring housing lodging stocking stockings darling duckling blessing blessings greeting greetings
    saying meaning handwriting bookkeeping training gardening knitting sewing parking standing schooling hearing
    breathing opening warning rating timing tracking pricing shopping"""
)
STATE_VERBS = _set(
    """make makes made making keep keeps kept keeping find finds found finding leave leaves left leaving
    drive drives drove driven get gets got getting render rendered consider considers considered think
    thinks thought call calls called turn turned want wanted set declare declared believe believed hold
    holds held holding renders rendering deem deems deemed deeming considering believing proved proves"""
)
ADJECTIVE_COMPLEMENTS = _set(
    """happy sad angry busy nervous proud sick tired uncomfortable comfortable famous rich poor safe warm awake
    alive upset jealous free ready curious anxious afraid crazy mad worried sleepy special responsible
    unconscious dead guilty speechless homeless better stronger weaker calm cold hungry thirsty dizzy bored
    restless hopeful helpless silent quiet strong weak brave careful charming clever cheerful confident fit
    furious healthy honest kind late lonely lucky open popular quick rude shy sorry suspicious useful welcome
    wild well wealthy wise attractive distraught old unable uneasy wet dry naked breathless nuts insane wild
    bananas motionless still hostage captive prisoner company pregnant aware more worthy unworthy fit unfit
    willing unwilling likely unlikely certain necessary"""
)
DITRANSITIVES = _set(
    """give gives gave given giving offer offers offered offering lend lends lent bring brings brought
    bringing send sends sent sending hand hands handed handing teach teaches taught teaching pay pays paid
    paying buy buys bought buying show shows showed shown showing cost costs award awards awarded grant
    grants granted wish wishes wished promise promises promised owe owes owed serve serves served pour pours
    poured earn earned win won feed feeds fed save saved tell tells told telling ask asked asking make makes
    made get got leave left find found pass passed throw threw refuse refuses refused refusing deny denies denied
    denying provide provides provided providing"""
)
GIVEN_NOUNS = _set(
    """flowers money advice directions credit chocolate chocolates tea coffee water food permission time strength
    hope help pleasure joy comfort courage confidence energy trouble shelter support lessons instructions
    information details stories french spanish english german italian latin maths math music gifts presents sweets
    candy cash soup bread juice milk medicine extra goodnight luck questions orders feedback access
    work-experience encouragement authority room power protection privacy refuge custody immunity asylum votes
    damages attention chess pause recognition acclaim praise entry bail parole admission instruction letters
    postcards poems lunch dinner breakfast work jobs employment sanctuary shelter fame wealth respect credibility
    leverage space peace solace satisfaction priority exposure guidance assistance aid care medication treatment
    training proof evidence notice warning thanks
    grief makeup chills goosebumps hell time reason courage strength"""
)
WEEKDAYS = _set("monday tuesday wednesday thursday friday saturday sunday")
DURATIONS = TIME_NOUNS | _set(
    "day days week weeks month months year years hour hours minute minutes times decade decades"
)
"""Behind a number, how long or how often (took her two years, called her several times)."""
COUNTED_PERSONS = _set(
    """children sons daughters brothers sisters siblings kids boys girls friends cats dogs parents nieces nephews
    cousins grandchildren babies companions compatriots colleagues husbands wives aunts uncles horses"""
)
"""Behind a number, mostly somebody's own (found her two sons)."""
LET = _set("let lets letting")
LET_NOUNS = _set(
    """hair hand arm head guard mind gaze voice body breath weight mother father brother sister husband wife son
    daughter child friend dog cat horse imagination anger temper smile jaw mouth face purse bag tongue heart past
    work own little younger older elder new whole long left right free other best first last hopes dress coat robe
    bow knife sword gun cup glass phone book pen curiosity pride fear grief pain attention thought mask team
    people company family"""
)
"""Behind let her, what belongs to her; another word is what she may do (let her stray)."""
TAKING = _set("take takes took taken taking hold holds held holding keep keeps kept keeping")
HELD = _set("hostage captive prisoner")
CAUSING = _set("cause causes caused causing")
CAUSED = _set(
    """pain trouble distress grief harm embarrassment discomfort anguish sorrow suffering problems difficulty
    difficulties anxiety concern"""
)
"""What somebody is caused; of her own are death, arrest and downfall."""
HANDLING = _set(
    """voice face hand help hold turn touch kiss reach pull push drop drag raise wave whisper shout scream wipe kick hit
    cover open shut stroke press stand stop sign call"""
)
"""Verbs, when an object follows, and nouns otherwise (made her face me, watched her face)."""
DEGREES = _set("very so too quite more less most rather extremely")
DIRECT_PREPOSITIONS = _set("following regarding concerning including considering during")
PLACED = _set("long shortly far right immediately straight")
"""Behind her and before a preposition, they say when or where (met her long before)."""
FULL_ADJECTIVES = ("ful", "less", "ous", "ible", "able")
DIRECTIONS = _set("into under over across toward towards out away off through past down up along around onto back")
"""Behind a word that is noun and verb, they show a movement, and so the verb (saw her run into ...)."""
MAKING = _set("make makes made making let lets letting")
MADE_TO = _set(
    """shift change try ache jump pause dream doubt hope worry love need spin sweat shake shout scream squeal groan moan
    flinch whimper grimace choke quiver gasp wince blush shudder tremble stumble"""
)
"""Verbs that are nouns, too: what somebody is made to do (made her jump)."""
NEVER_BEFORE_NOUNS = _set(
    """asleep awake alive alone afraid ashamed aboard ashore abroad adrift afloat overboard upstairs downstairs
    unopposed unmolested undefeated indoors outdoors speechless"""
)
"""Adjectives and adverbs that no noun follows: behind her they are said of her."""
ROLES = _set(
    """captain director president governor king queen chairman chairwoman chair head leader mayor minister secretary
    manager editor ambassador bishop pope member champion goalkeeper coach heir heiress partner guardian treasurer
    judge professor chief commander consul emperor empress regent abbot abbess principal dean deputy assistant
    star citizen knight duke duchess earl count baron patron spokesman spokeswoman chancellor"""
)
ROLE_GIVERS = _set(
    """make makes made making name names named naming elect elects elected electing appoint appoints appointed
    appointing crown crowns crowned declare declares declared proclaim proclaims proclaimed vote voted choose chose
    create created"""
)
"""Verbs that give a person a role (made her captain of)."""
JUDGING = _set(
    """call calls called calling consider considers considered think thought believe believed deem deemed judge judged
    find finds found label labelled labeled brand branded pronounce pronounced turn turns turned"""
)
JUDGED = _set(
    """lazy innocent brilliant talented pale cruel stupid ugly beautiful pretty fat thin ill sane insane unfit eligible
    incompetent insufferable unreliable ungrateful arrogant boring interesting amusing fascinating charming selfish
    stubborn weird crazy foolish silly rude unkind disloyal guilty bankrupt unwell attractive"""
)
"""Adjectives behind such a verb and her, at the end of a clause."""
GIVEN_IDIOMS = {
    "pause": _set("give gives gave given giving"),
    "good": _set("do does did doing done"),
    "justice": _set("do does did doing done"),
    "harm": _set("do does did doing done"),
    "dear": _set("cost costs"),
    "prize": _set("award awards awarded win wins won give gives gave earn earned"),
    "place": _set("award awards awarded earn earned"),
    "attention": _set("pay pays paid paying"),
    "heed": _set("pay pays paid paying"),
    "fame": _set("win wins won earn earns earned bring brings brought gain gains gained"),
    "acclaim": _set("win wins won earn earns earned bring brings brought gain gains gained"),
    "praise": _set("win wins won earn earns earned bring brings brought gain gains gained"),
    "recognition": _set("win wins won earn earns earned bring brings brought gain gains gained"),
}
"""Nouns that a verb gives to a person without an article (gave her pause, did her justice)."""
SO_MUCH = _set(
    "little no much some scant close great more wide widespread critical international national first second"
)
"""Between her and such a noun."""
FINING = _set("fine fines fined charge charges charged bet bets owe owed tax taxed")
RANKING = _set("rate rates rated rank ranks ranked vote voted place placed seed seeded")
HAVING = _set("have has had having")
LEFT_SO = _set(
    """leave leaves left find found keep kept declare declared get got want wanted have had see saw consider considered
    order orders ordered deem deems deemed"""
)
"""Verbs behind which a participle is said of the person (left her paralysed)."""
LIKING = _set(
    "like likes liked love loves loved know knows knew suit suits suited fit fits fitted please pleases pleased"
)
TAKEN = _set("taken made drawn shot written done seen found held kept worn told sung")
"""Participles that say of a picture or story what was done (photographs of her taken in Rome)."""
SHOWING = _set(
    "show shows showed shown showing film films filmed photograph photographs photographed depict depicts depicted"
)
"""Verbs of pictures, behind which even a noun in ing says what she does (shows her dancing)."""
COSTING = _set(
    "cost costs award awards awarded teach teaches taught teaching grant grants granted owe owes owed lend lends lent"
)
KEPT_BY_HER = _set(
    """class classes course courses subject craft trade students method methods wish wishes request requests petition
    party club company country campaign side application appeal name voice support art skills technique techniques
    system own"""
)
"""What she may have taught, granted or lent; other things behind these verbs were taught, granted or lent to her."""
TELLING = _set(
    """tell tells told telling assure assures assured warn warns warned inform informs informed remind reminds reminded
    convince convinces convinced persuade persuaded notify notified"""
)
"""Verbs that need somebody who is told, so that her before a subject and its verb is that person."""
TALES = _set("story stories tale tales secret secrets lie lies truth dream dreams")
"""What may be told of hers (the man who told her story was there)."""
FINITE_BE_AND_MODALS = _set(
    "is are was were has had will would can could may might must should did does do won't isn't"
)
RANKS = _set("chief prime vice head deputy assistant acting honorary interim general senior joint associate first poet")
"""Before a noun for a person: which role it is (chief editor, vice president)."""
HOW_MUCH = _set("little no much more enough some less")
GIVEN_MASSES = _set(
    """choice hope time comfort trouble doubt help sleep rest peace reason chance credit pleasure joy support confidence
    opportunity money pain warning respect sympathy mercy room space freedom thought power hardship grief relief
    satisfaction information advice encouragement guidance education leeway latitude"""
)
"""What somebody is given little, no or much of (left her little choice; not fed her little dog)."""
