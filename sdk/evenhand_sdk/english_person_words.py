"""Word lists behind the `english_person` modules: verbs that link, words that stand between, titles and things."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


PAST_FORMS = _set(
    """lost went came took gave got made won saw found left kept held told began became ran wrote spoke met led sat
    stood fell felt thought brought bought taught caught fought sold built sent spent drew grew knew threw flew rose
    drove rode broke chose wore swore tore hid shot hit put set cut let read lay paid laid heard understood forgot
    sang swam drank ate slept wept dealt meant dreamt woke fled bled fed sought stole struck stuck swept swung"""
)
"""Verbs behind a noun for a person, which end in no ed."""
PLAIN_ADJECTIVES = _set(
    """blind deaf old young poor rich fat elderly disabled straight gay lesbian wealthy older younger senior bisexual
    homosexual heterosexual"""
)
"""Adjectives that are written with a capital only in names and titles."""

PEOPLE_DO = _set(
    """accept accepts agree agrees applaud arrive arrives ask asks ate attend attends avoid avoids became become
    becomes beg begs believe believes benefits borrow borrows breathe bring brings burn buy buys celebrate
    celebrates cheer choose chooses come comes communicate communicates complain complains comprise comprises
    consist consists constitute constitutes consume consumes contribute contributes cooks cope cries crowds cry
    decide decides demands depend depends deserve deserves die died dies disagree disagrees donate donates
    drinks dwell earn earns eat eats enjoy enjoys enter enters exercise fears feel feels fled float flocks
    follow follows forget forgets gather gathered gathers get gets give gives go goes grow grows hates have hear
    hears hope include includes inhabit inhabits join joins keep keeps know knows laugh laughs learn learns
    leave leaves lend lends live lived lives lose loses lost make makes meet meetes meets migrate migrates need
    needs obey obeys occupys oppose opposes own owns paid participate participates pay pays pray prays prefer
    prefers prosper prospers protests queue read reads receive received receives reject rejects relies rely
    remain remained remains remember remembers rent require requires reside retire roam saves say says see seem
    seems sees sell sells send sends serve serves settle settles shop sing sings sit sits sleep sleeps slept
    snore speak speaks spend spends starve starved starves struggles suffer suffered suffers survive survives
    sweat swim take takes teach teaches tell tells tend tends thank think thinks thrive thrives travel travels
    trusts visits votes wait waits walk wander want wants wears weigh went wept win wins worry worship worships
    write writes"""
)
"""What people do: verbs that are rarely meant as nouns behind an article and an adjective (the poor live)."""
MANNERS = _set("origin nature character content tone style outlook spirit theme inspiration colour color appearance")
"""What an adjective with `in` is said of: no person (Christian in origin)."""
PERSON_ONLY = _set("elderly homeless deaf blind disabled obese unemployed wealthy affluent impoverished")
"""Adjectives that are said of persons, so that a verb may follow even where it could be a noun (the elderly ride)."""
OR_DO = _set(
    "use ride love like hate vote drink share play form visit cook struggle sign dance trust fear protest demand wear"
)
REPORTED = _set(
    """implied said thought believed reported known rumoured rumored revealed shown supposed assumed meant claimed found
    discovered presumed proved proven alleged perceived understood deemed pronounced declared"""
)
"""Verbs that report what somebody is (she is said to be blind)."""

PREFIXES = _set("pan bi trans homo hetero demi ace poly anti non")
"""First parts of compounds, whatever the second one is (Pan-Slavic)."""
ABSTRACT_ENDINGS = ("tion", "sion", "ness", "ism", "ship", "Damage")
"""Of words at the beginning of a sentence that are no names of persons."""

PERSON_PRONOUNS = _set(
    """i you he she we they who everyone everybody someone somebody anyone anybody nobody those them her him me us
    themselves himself herself myself yourself ourselves both all many most some few none neither one ones"""
)
CONTRACTED = _set("i'm you're he's she's we're they're who's he'd she'd they'd we'd i'd")

LINKING = _set(
    """be am is are was were been being isn't aren't wasn't weren't feel feels felt feeling seem seems seemed look
    looks looked appear appears appeared become becomes became becoming get gets got getting grow grows grew growing
    remain remains remained stay stays stayed born die dies died dying raised identify identifies identified
    identifying considered came come comes hail hails hailed originally turn turned sound sounds sounded acting act"""
)
AUXILIARIES = _set(
    """has have had will would can could may might must should shall do does did not n't never to also be been being
    used going likely able ought supposed happen happened trying tend tends
    isn't aren't wasn't weren't hasn't haven't hadn't won't wouldn't can't couldn't don't didn't doesn't"""
)
ADVERBS = _set(
    """very so too not also both quite rather always still never only already just once even more most less least
    pretty really extremely fairly fully partly half mostly currently now then born either neither somewhat visibly
    openly proudly legally totally completely part severely clearly obviously ethnically biracial how"""
)
ADJECTIVES = _set(
    """old young new little small big large tall short great good bad poor rich wealthy white black brown asian latino
    latina hispanic native indigenous arab jewish muslim christian hindu buddhist sikh catholic protestant gay
    straight lesbian bisexual queer trans transgender cis blind deaf disabled able-bodied mute autistic fat thin
    slim heavy obese skinny slender chubby overweight strong weak sick ill healthy mean nice kind brave proud smart
    clever wise stupid dumb lazy busy happy sad angry quiet loud lonely single married divorced widowed pregnant
    elderly aged senior junior male female adult middle-aged teenage teen local foreign former late current first
    second third last next other own dear fellow average typical random famous known unknown innocent guilty unarmed
    armed homeless unemployed retired working middle upper lower class blue-collar white-collar pretty beautiful
    handsome ugly lovely cute attractive hot tough fit well-dressed working-class urban rural suburban southern
    northern eastern western british french irish scottish welsh english spanish german dutch swiss greek turkish
    chinese japanese korean indian mexican african american european latin caribbean only whole same different many
    several few two three four five six seven eight nine ten hundred thousand dead alive free enslaved living
    ordinary normal regular loud-mouthed bearded bald blonde blond gray-haired grey-haired well-off polite rude
    humble skilled modern devout pious orthodox secular practicing practising non-disabled neurotypical cisgender
    heterosexual homosexual thick frail fragile vulnerable serial practicing practising up-and-coming self-made ex
    former"""
)
ADJECTIVE_ENDINGS = (
    "ish", "ful", "ous", "less", "ive", "able", "ible", "ical", "onal", "ic", "ed", "ly", "ese",
)  # fmt: skip
NOT_ADJECTIVES = _set(
    """music traffic clinic topic fabric critic attic picnic republic logic magic panic plastic ceramic arithmetic
    comic epidemic mosaic garlic olive archive motive hive dive drive narrative table cable vegetable stable fish
    dish family feed seed weed speed reed breed creed shed bed finish polish rubbish parish garden"""
)
"""End as adjectives do."""
GROWING = _set("grow grows grew growing grown brought bring end ended wake woke")
COMING = _set("come comes came coming")
DESCRIBING = _set(
    """described describes describe seen regarded viewed known portrayed depicted identified identify identifies
    identifying perceived treated labelled labeled classified raised"""
)
COMBINING = _set("Anglo Franco Indo Sino Russo Greco Judeo Austro Serbo Luso Hispano Italo Euro Turco Balto Dano Perso")
"""First parts of compounds that name two peoples or languages."""
COLOURS = _set("black white brown red yellow heavy thin straight fat slim lean slight stout")
"""Adjectives that without a noun mostly do not name persons (the black, the white)."""
DETERMINERS_ONE = _set("a an one another each every any this that")
DETERMINERS_MANY = _set("these those many few several some all both most two three four five six ten fellow other")
RELATIONS = _set(
    """mother father mom mum dad parent son daughter child brother sister sibling husband wife spouse partner aunt
    uncle niece nephew cousin grandmother grandfather grandma grandpa grandson granddaughter stepmother stepfather
    stepson stepdaughter girlfriend boyfriend fiance fiancee fiancé fiancée bride groom widow widower
    mother-in-law father-in-law sister-in-law brother-in-law son-in-law daughter-in-law mothers fathers sons
    daughters brothers sisters husbands wives in-laws aunts uncles grandmothers grandfathers grandsons
    granddaughters queen king consort lover mistress heir heiress parents children siblings kids ex-wife
    ex-husband half-brother half-sister"""
)
"""Nouns for somebody's relatives: a fact about a real person says which of them there are."""
FOLLOWERS = RELATIONS | _set("men women boys girls ladies gentlemen maid maids page pages")
"""Nouns for whom a real person may have, whose group is a fact as well (Nelson and his men)."""
HAVING = _set("had has married marries took wed divorced outlived fathered bore raised lost left")
"""Verbs that say whose relatives the nouns behind them are (Henry VIII had six wives)."""
BEFORE_VERBS = _set("also later then never once eventually soon only")
"""Adverbs between a person and such a verb."""
OFFICES = _set("DJ MC CEO CFO COO MP PM VP QC KC US UK EU UN BBC NBC CBS ABC CNN NBA NFL FBI CIA AP")
"""Capital letters before a name that are no initials."""
NAME_TITLES = _set(
    """a an mr mrs ms miss mx dr prof sir dame lady lord father mother brother sister aunt auntie uncle cousin grandma
    granny grandpa grandfather grandmother captain coach officer nurse doctor professor president senator judge
    reverend rev pastor rabbi imam sergeant sgt general gen colonel col lieutenant lt major private detective king
    queen prince princess mayor governor pope bishop agent chef dad mom mum papa mama and the when if because while
    but so then as after before since until although though where who what why how with for from to at in on by of
    or nor yet once unless that which whose dear hello hi hey yes no oh both only even although did does do has is
    was were can could will would should may might have are am let ask tell thank monday tuesday wednesday thursday
    friday saturday sunday january february march april may june july august september october november december
    minister secretary chancellor ambassador congressman congresswoman representative councillor councilman
    councilwoman commissioner inspector sheriff deputy admiral commander corporal marshal archbishop cardinal deacon
    saint principal director actor actress singer songwriter author writer novelist poet painter artist guitarist
    drummer pianist musician rapper composer producer politician journalist reporter historian philosopher scientist
    lawyer engineer teacher student student-athlete player striker goalkeeper defender midfielder quarterback pitcher
    businessman businesswoman boss guest host presenter comedian model fellow friend neighbour neighbor classmate
    perhaps maybe sometimes often soon meet meeting married marry
    today yesterday tomorrow later finally meanwhile however also now here there thanks young old little poor big
    this these those his her my our your their its every each some not never i he she we they you it like"""
)
"""Capitalised words before a first name that do not make it a surname."""
TITLES_OF_SURNAMES = _set("mr mrs ms miss mx dr prof professor rev reverend gov sen rep gen col capt lt sgt hon judge")
"""Titles behind which a word with a capital is a surname (Dr. King)."""
SECOND_NAMES = _set(
    """Ann Anne Anna Beth Elizabeth Ellen Helen Jane Jean Jo Joan Joe Bob Kate Katherine Lou Louise Lynn Lynne Mae
    Margaret Maria Marie Mary Sue Theresa Teresa"""
)
"""Second parts of double first names, which are hardly ever surnames (Mary Beth)."""
THING_NOUNS = _set(
    """Street St Avenue Ave Road Rd Lane Drive Boulevard Park County City Town Village University College School
    Academy Institute Hospital Church Cathedral Chapel Abbey Island Islands River Lake Bay Bridge Square Station
    Airport Building Tower Hall House Hotel Theatre Theater Museum Library Stadium Arena Award Awards Prize Medal
    Trophy Cup Foundation Company Corporation Inc Ltd Co Brothers Group Press Records Act Doctrine Memorial
    Monument Mountain Mount Beach Point Harbor Harbour Valley Canal Fort Creek Heights Hill Hills Springs Day Show
    Center Centre Society Club Association Committee Council Union League Party Army Navy Team Band Orchestra
    Choir Festival Conference Convention Treaty Agreement Court Department Ministry Office Agency Bank Fund Trust
    Project Programme Program Series Saga Trilogy Game Games Tournament Championship Championships Match Magazine
    Journal Times News Post Herald Tribune Network Radio Television Channel Studios Pictures Films Airlines
    Airways Railway Railroad Motors Industries Technologies Systems Brotherhood Sisterhood Empire Republic
    Parliament Congress Senate Assembly Commission Organization Organisation Federation Alliance Movement Crusade
    Inquisition Forces Force Corps Guard Guards Regiment Brigade Fleet Marines Police Service Services
    Commissioners Bureau Authority Administration Reformation Revolution War Wars Battle Massacre Rebellion
    Uprising Bible Testament Gallery Gardens Zoo Market Mall Plaza Reservoir Dam Glacier Desert Forest Sea Ocean
    Peninsula Campaign Cape Coast Gulf Strait Open Masters"""
)
SEAS = _set("atlantic pacific arctic antarctic baltic adriatic")
"""What ends like an adjective of a people and names a sea (Black Atlantic)."""
TEAMS = _set(
    """warriors knights kings rangers raiders rebels saints pirates braves vikings trojans spartans cowboys yankees
    patriots giants dragons highlanders crusaders gladiators buccaneers rovers wanderers"""
)
"""Nouns for persons that teams are called by (the New Zealand Warriors)."""
RECORDS = _set(
    "champion champions championship championships title titles record records record-holder medallist medalist"
)
"""What a continent or a country has won by sport, which says nothing of the person (European champion)."""
SURNAME_THINGS = _set(
    """Park Hill Hills Lane Hall House Church Day Bridge Beach Field Court Bay Point Post Market Forest Banks Rivers
    Brooks West Castle Chapel Abbey Game Marsh Heath Wells Street Drive Sea Cape Towers Masters Show Dam Bank Band"""
)
"""Things that are surnames, too: directly behind a first name, they make a person (Mary Park)."""
NAMED_THINGS = _set(
    """hospital museum hotel pub bridge airport street school foundation award prize theatre theater stadium station
    building house estate trophy medal lecture lectures scholarship fellowship collection library gallery centre
    center brand company firm store stores band trio quartet quintet orchestra show film novel series song album
    case trial murder affair scandal doctrine act bill law test method effect syndrome disease theorem equation
    constant number telescope ship ferry line railway park garden gardens highway road tunnel dam plant factory
    mine farm ranch brewery"""
)
"""Things that bear the name of a person (the Walter Reed hospital)."""
