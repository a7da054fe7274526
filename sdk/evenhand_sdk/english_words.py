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

BARE_VERBS = _set(
    """go leave come be do feel get take make give become understand know think see hear say speak tell learn
    grow sit lie wait keep carry bring choose decide enter finish forget move open pay prepare read realize
    realise remember write eat sing believe buy cope die follow join lose notice put sell settle solve stop
    succeed survive teach throw recover relax sew ski swim wear weep shiver shine bake laugh cry smile direct
    attempt struggle marry blush seem appear look wonder hate want suffer swear admit accept agree apologize
    apologise consider continue create disappear approach hesitate undress exit arrive glow stare shrug wince
    rewrite repeat return retire resign duck sneak crawl stumble vanish arrest admit prove promise pretend
    listen dress collapse explain examine depart breathe perform hurry stray emerge kneel wander obey behave
    react swallow unlock deliver ascend descend proceed rejoin resume lean bend cling stammer mutter yell
    grab squirm giggle gasp unload withdraw unpack unwind recognise recognize forgive remain achieve acquire
    adapt adjust adopt argue avoid awaken bathe beg begin bleed celebrate concentrate confess confide cower
    creep cringe crumble crumple defend deny deserve destroy devour disagree discover discuss dissolve drown
    earn endure enjoy exist explore fetch flee flourish gather glide grieve happen heal hide identify ignore
    imagine improve inhale exhale insist investigate linger mourn navigate observe obtain overcome overhear
    plead ponder pray prefer protect pursue rebuild receive recite regain reject relent remarry resist
    respond retrieve reveal seek shrink slither snuggle spend starve stifle straighten submit succumb tend
    thrive transform translate traverse waver withstand writhe yearn"""
)

NOUN_VERBS = _set(
    """work dance play sleep talk sign start paint rest drink answer call change explain lift load move
    return run walk wash cross fall escape drive fix cook study climb practice practise gain focus plan rise
    pick stay act find fill fly pass pack rush win close stand jog stroll climb grin frown nod sigh shudder tremble
    glance glare ride dive"""
)
"""Verbs that are also nouns: a verb after help, let and watch; rather a noun after make (her escape), see
and hear."""

OPENERS = _set("the a an his her their its it them him this that these those my your our me us you")
"""Behind her and a word, they show that the word was a verb (let her carry the bag)."""

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
NOUNS_AND_ADJECTIVES = _set("female male")
"""Listed as nouns, and mostly said of another noun (female voters)."""
SMALL_WORDS = _set("a an the and or nor but of in on at to for by with from as is")
"""In lower case in the title of a work."""

CLAUSE_OPENERS = _set(
    """when while after before although though as since if because until once in during despite throughout upon with by
    following like unlike for at on from given besides"""
)
"""First words of a sentence that lets its subject wait behind a comma."""
BODY_PARTS = _set(
    """arm hand leg foot eye ear knee shoulder thigh elbow wrist ankle side breast cheek hip lung kidney index thumb
    forearm temple heel calf shin"""
)
"""Behind left or right, which are no verb and no adverb then (her left arm)."""
LATE_ADVERBS = _set("overnight again enough forever anyway instead abroad everywhere tonight nationwide worldwide")
"""Adverbs that end a clause (made her famous overnight)."""
TURNING = _set("turn turns turned turning")
GIVING = _set(
    """give gives gave given giving leave leaves left allow allows allowed offer offers offered bring brings brought
    show shows showed shown cost costs cause causes caused earn earns earned win wins won buy buys bought afford
    affords afforded lend lends lent do does did spare spared save saves saved"""
)
COMPOUNDED = {
    "back": _set(
        """door doors yard garden gate pocket pockets seat room porch teeth catalogue catalog pain pains problem
        problems injury injuries surgery brace muscles leg legs window story rent taxes pay wages bedroom office row"""
    ),
    "home": _set(
        """town towns state country village city county province district region nation island team ground club page
        life address base office studio university crowd planet phone computer"""
    ),
}
"""Nouns that back and home are said of (her back door), so that nobody is sent home there and nothing back."""
HIS_OWN = _set("back past right left half now works often every otherwise will might")
"""Behind his, nouns and what stands before one, though elsewhere they are adverbs or verbs (his back, his now wife)."""
WAYS = _set(
    """upward upwards downward downwards forward forwards backward backwards inward inwards outward outwards onward
    onwards sideways skyward homeward northward southward eastward westward heavenward"""
)
"""Which way somebody is moved (pulled her upward)."""
BEHIND_WILL = _set("be have not never always soon also still likely then too as play win drive")
BEHIND_WORKS = _set("too fine well better as again perfectly")
"""Behind his and such a word, what makes it a verb (his will never fail, his works too)."""
OF_ONESELF = _set(
    "time strength courage hope help energy confidence attention trust power wealth fame peace life support"
)
"""What somebody mostly gives, saves or leaves of her own (she gave her time)."""
COPULAS = _set("is was are were be been being become becomes became remain remains remained")
HOMEWARD = _set(
    """take takes took taken taking bring brings brought bringing drive drives drove driven driving send sends sent
    sending walk walks walked walking follow follows followed following escort escorts escorted escorting carry
    carries carried carrying invite invites invited inviting let lets letting fly flies flew flown flying
    accompany accompanies accompanied accompanying ride rode help helps helped helping fetch fetched fetching
    lead leads led leading drag dragged dragging order ordered ordering welcome welcomes welcomed welcoming
    chase chased haul hauled shipped bear bore lift lifted rush rushed whisk whisked dispatch dispatched steer
    steered guide guided towed cheer cheered wave waved summon summoned recall recalled deport deported
    deporting transport transported beckon beckoned pull pulled pulling"""
)
"""Verbs that somebody is brought home by (drove her home); another verb has a home for its object (sold her home)."""
AT_HOME = _set(
    """see sees saw seen seeing call calls called calling keep keeps kept keeping has have had expect expects expected
    expecting wish wished return returns returned want wants wanted wanting get gets got getting"""
)
"""Verbs that have her home for their object, or her alone (kept her home from school, kept her home in order)."""
OWNED_EVERY = _set(
    """move movement word need whim step breath thought mood wish desire action gesture expression mistake waking
    decision feature curve look glance command demand request emotion feeling fibre fiber pore nerve muscle"""
)
"""What is somebody's own behind every (her every move; not: gave her every opportunity)."""
LEFT_HOME = _set("alone early late sick unattended crying with without")
"""Behind left her home, what shows that she was left there."""
HURTING = _set(
    "hurt hurts hurting injure injures injured broke break broken strained scratched turned turn arched washed"
)
"""What is done to a back."""
PAST_ONLY = _set(
    """went came took gave began became ran wrote spoke fell grew knew threw flew drove broke chose wore tore sang swam
    drank ate woke stole sank shook"""
)
"""Past forms that are no participles, so that none stands before a noun."""
LOVED_ONES = _set("beloved betrothed intended deceased departed naked sacred wicked hundred hatred kindred")
PAST_OR_NOUN = _set("left saw thought cut hit shot set felt read rose wound ground lay drew put let won lost held kept")
"""Past forms that are nouns or adjectives, too."""

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
    inherit office right rights quota quotas doors door war wars earn earns earned own owned serve only"""
)
"""Words without which no share, and no law, is stated."""
