"""Word lists behind `english_grammar`: each says which words, after or before her and his, decide the
reading."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


PREPOSITIONS = _set(
    """about above across after against along among around as at before behind below beneath beside besides
    between beyond by despite during except for from in inside into like near of off on onto out outside
    over past per since than through throughout till to toward towards under underneath until upon via with
    within without down amid"""
)

FUNCTION_WORDS = _set(
    """about above across after against along among around as at before behind below beneath beside besides
    between beyond by despite during except for from in inside into like near of off on onto out outside
    over per since than through throughout till to toward towards under underneath until unto up upon via
    with within without down amid and but or nor yet so because although though while if unless whether
    when whenever where wherever whereas once a an the this that these those some any no every each either
    neither another both all what which whose my your our their his her its i you he she it we they me him
    us them who whom himself herself itself themselves myself yourself ourselves hers someone anyone
    everyone nobody something anything everything nothing somebody everybody none is am are was were be
    been being do does did has have had having would shall should can could may must isn't aren't wasn't
    weren't don't doesn't didn't hasn't haven't hadn't won't wouldn't shouldn't can't cannot couldn't isn’t
    aren’t wasn’t weren’t don’t doesn’t didn’t hasn’t haven’t hadn’t won’t wouldn’t shouldn’t can’t
    couldn’t he's she's it's he’s she’s it’s he'd she'd he’d she’d he'll she'll he’ll she’ll i'm i’m again
    ago ahead alone already also always altogether anymore anyway anywhere apart aside away else elsewhere
    enough even ever everywhere farther forever forward further here hereby how however indeed indoors
    instead just maybe meanwhile much nearby never nevertheless nonetheless not now nowhere often otherwise
    outdoors perhaps quite rather regardless sometimes somewhere soon still then there therefore thus today
    together tomorrow tonight too twice upstairs downstairs well why yesterday overseas abroad backstage
    afterwards afterward beforehand please thanks north south east west northward southward somewhat
    halfway half unconditionally"""
)
"""Words that cannot begin a noun phrase behind a possessive, or almost never do."""

NOUN_OR_ADVERB = _set("""back home past will might right left""")
"""A noun after a preposition (on her back, against her will), an adverb or a verb otherwise (called her
back)."""

SOFT_ADVERBS = _set(
    """later earlier better hard fast early late straight daily weekly last next more most less least very
    first"""
)
"""Adverbs at the end of a clause (saw her last night, paid her more), adjectives before a noun (her last
job)."""

TIME_NOUNS = _set(
    """week month year night spring summer autumn fall winter weekend morning evening time monday tuesday
    wednesday thursday friday saturday sunday january february march april may june july august september
    october november december"""
)

LY_NON_ADVERBS = _set(
    """only early elderly daily weekly monthly yearly nightly hourly quarterly family friendly unfriendly
    lovely likely unlikely lively lonely ugly silly holy unholy curly orderly costly deadly kindly worldly
    saintly ghostly scholarly neighborly neighbourly cowardly burly surly homely stately timely untimely
    brotherly sisterly motherly fatherly womanly manly ladylike reply belly jelly assembly supply ally bully
    fly butterfly rally folly lily anomaly monopoly melancholy tally doily trolley"""
)

FINITE_VERBS = _set(
    """said says told tells asked asks knew knows went goes came comes saw sees took takes got gets thought thinks
    became becomes began begins ran wrote seemed seems wanted wants needed decided decides agreed agrees smiled
    nodded laughed replied answered explained arrived stayed remained looked turned started tried liked hated hoped
    hopes believed believes lasted works worked gave brought bought sent sold stood won drove ate flew heard threw
    taught caught fought sang swam slept stole wore woke chose drew hid shook sat understood lent met wrote followed"""
)
"""Verbs of the main clause behind a relative (the man who met her said ..., a friend of his became ...)."""

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

BARE_VERBS = _set(
    """go leave come be do feel get take make give become understand know think see hear say speak tell
    learn grow sit lie wait keep carry bring choose decide enter finish forget move open pay prepare read
    realize realise remember write eat sing believe buy cope die follow join lose notice put sell settle
    solve stop succeed survive teach throw recover relax sew ski swim wear weep shiver shine bake laugh cry
    smile direct attempt struggle marry blush seem appear look wonder hate want suffer swear admit accept
    agree apologize apologise consider continue create disappear approach hesitate undress exit arrive glow
    stare shrug wince rewrite repeat return retire resign duck sneak crawl stumble vanish arrest admit prove promise
    pretend listen dress collapse explain examine depart breathe perform hurry stray emerge kneel wander obey behave
    react swallow unlock deliver ascend descend proceed rejoin resume lean bend cling stammer mutter yell grab squirm
    giggle gasp"""
)

NOUN_VERBS = _set(
    """work dance play sleep talk sign start paint rest drink answer call change explain lift load move
    return run walk wash cross fall escape drive fix cook study climb practice practise gain focus plan rise
    pick stay act find fill fly pass pack rush win close stand jog stroll climb grin frown nod sigh shudder tremble
    glance glare ride dive"""
)
"""Verbs that are also nouns: a verb after help, let and watch; rather a noun after make (her escape), see
and hear."""

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

OPENERS = _set("the a an his her their its it them him this that these those my your our me us you")
"""Behind her and a word, they show that the word was a verb (let her carry the bag)."""

ING_NOUNS = _set(
    """painting building meeting clothing wedding drawing evening morning reading writing training feeling
    earring ring king thing ceiling offspring string spring sibling sling wing swing lightning upbringing
    beginning ending being understanding thinking cooking singing dancing acting teaching engineering
    nursing findings belongings savings earnings surroundings feelings paintings drawings writings meetings
    wedding-ring housing lodging stocking stockings darling duckling blessing blessings greeting greetings
    saying handwriting bookkeeping training gardening knitting sewing parking standing schooling hearing
    breathing opening warning rating timing tracking pricing shopping"""
)

STATE_VERBS = _set(
    """make makes made making keep keeps kept keeping find finds found finding leave leaves left leaving
    drive drives drove driven get gets got getting render rendered consider considers considered think
    thinks thought call calls called turn turned want wanted set declare declared believe believed hold
    holds held holding"""
)

ADJECTIVE_COMPLEMENTS = _set(
    """happy sad angry busy nervous proud sick tired uncomfortable comfortable famous rich poor safe warm
    awake alive upset jealous free ready curious anxious afraid crazy mad worried sleepy special responsible
    unconscious dead guilty speechless homeless better stronger weaker calm cold hungry thirsty dizzy bored
    restless hopeful helpless silent quiet strong weak brave careful charming clever cheerful confident fit
    furious healthy honest kind late lonely lucky open popular quick rude shy sorry suspicious useful
    welcome wild well wealthy wise attractive distraught old unable uneasy wet dry naked breathless
    motionless still hostage captive prisoner company pregnant aware more"""
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
    training proof evidence notice warning thanks"""
)

NUMBERS = _set("one two three four five six seven eight nine ten twenty fifty hundred several many few")

OBJECT_VERBS = _set(
    """told tell tells asked ask asks thanked thank thanks married marry hired hire fired fire invited
    invite met meet let helped help reminded remind persuaded convinced assured informed joined greeted
    trusted interviewed promoted congratulated encouraged"""
)
"""Verbs whose object is nearly always a person."""

NOT_INFLECTED = _set(
    """can could will would may might must shall should ought did had am be been being can't couldn't won't wouldn't
    mustn't shouldn't didn't hadn't always perhaps besides towards afterwards upstairs sometimes thus this as us yes
    less plus"""
)
"""Behind he and they alike; some of them only look like verbs in s."""

PLURAL_VERBS = _set("are were have do don't aren't weren't haven't")
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
SMALL_WORDS = _set("a an the and or nor but of in on at to for by with from as is")
"""In lower case in the title of a work."""

DIRECTIONS = _set("into under over across toward towards out away off through past down up along around onto back")
"""Behind a word that is noun and verb, they show a movement, and so the verb (saw her run into ...)."""
MAKING = _set("make makes made making let lets letting")
CLAUSE_OPENERS = _set(
    """when while after before although though as since if because until once in during despite throughout upon with by
    following like unlike for at on from given besides"""
)
"""First words of a sentence that lets its subject wait behind a comma."""
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
BODY_PARTS = _set(
    """arm hand leg foot eye ear knee shoulder thigh elbow wrist ankle side breast cheek hip lung kidney index thumb
    forearm temple heel calf shin"""
)
"""Behind left or right, which are no verb and no adverb then (her left arm)."""
LATE_ADVERBS = _set("overnight again enough forever anyway instead abroad everywhere tonight nationwide worldwide")
"""Adverbs that end a clause (made her famous overnight)."""
TAKEN = _set("taken made drawn shot written done seen found held kept worn told sung")
"""Participles that say of a picture or story what was done (photographs of her taken in Rome)."""
TURNING = _set("turn turns turned turning")
SHOWING = _set(
    "show shows showed shown showing film films filmed photograph photographs photographed depict depicts depicted"
)
"""Verbs of pictures, behind which even a noun in ing says what she does (shows her dancing)."""
COSTING = _set(
    "cost costs award awards awarded teach teaches taught teaching grant grants granted owe owes owed lend lends lent"
)
KEPT_BY_HER = _set(
    """class classes course courses subject craft trade students method methods wish wishes request requests petition
    application appeal name voice support art skills technique techniques system own"""
)
"""What she may have taught, granted or lent; other things behind these verbs were taught, granted or lent to her."""
SHARE_SIGNS = _set(
    """percent cent percentage percentages census average median capita out half third quarter fifth tenth thirds
    quarters majority minority proportion share population ratio likely represented underrepresented
    overrepresented outnumber outnumbers outnumbered rate rates risk expectancy incidence prevalent prevalence
    study studies survey surveys poll polls researchers statistics longer earn"""
)
LAW_SIGNS = _set(
    """law laws statute statutes decree decrees edict edicts constitution legislation legislature act acts
    amendment parliament court ruling curfew curfews ban bans banned barred bars forbid forbids forbade
    forbidden prohibit prohibits prohibited outlawed conscript conscripts conscripted conscription criminalised
    criminalized legalised legalized decriminalised decriminalized legalises legalizes criminalises criminalizes
    discriminate discriminated discrimination discriminatory segregated segregation emancipated emancipation
    disenfranchised admitted entitled eligible excluded exempt allowed permitted required vote voted franchise
    inherit office right rights quota quotas doors door war wars earn earns earned own owned serve"""
)
"""Words without which no share, and no law, is stated."""
