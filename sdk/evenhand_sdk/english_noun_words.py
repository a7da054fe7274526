"""Nouns that name persons, what they end in, and those of them that only say of what kind a thing is."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


PERSON_NOUNS = _set(
    """person people man men male female males females woman women child children boy girl kid baby infant toddler
    teen teenager youth youngster adult adolescent elder senior retiree pensioner individual human being folk
    folks guy gal lady gentleman gentlemen fellow bloke dude chap lad lass somebody someone anyone everyone nobody
    citizen resident national native immigrant migrant refugee foreigner expat newcomer settler villager farmer
    peasant worker employee employer boss manager colleague coworker co-worker staff crew team member leader ruler
    owner holder landlord tenant neighbour neighbor friend buddy pal mate roommate classmate partner lover spouse
    husband wife wives bride groom fiance fiancee boyfriend girlfriend mother father mom mum dad parent
    grandparent grandmother grandfather grandma grandpa son daughter sibling brother sister twin cousin aunt uncle
    niece nephew relative family families group groups couple household community communities population minority
    minorities majority crowd audience public congregation generation voter voters electorate applicant candidate
    client customer patient passenger driver pilot captain sailor soldier officer cop policeman policewoman police
    detective guard prisoner inmate suspect victim survivor witness criminal thief gangster robber attacker
    shooter protester protestor activist advocate politician president minister senator mayor governor congressman
    congresswoman representative judge lawyer attorney doctor physician surgeon nurse dentist therapist
    psychologist scientist researcher engineer programmer developer designer architect professor lecturer teacher
    tutor coach student pupil scholar graduate author writer poet novelist journalist reporter editor artist
    painter sculptor musician singer rapper dancer actor actress performer comedian composer conductor director
    producer filmmaker photographer model athlete player footballer boxer runner swimmer champion winner loser
    hero heroine star celebrity celebrities icon singer-songwriter songwriter drummer guitarist pianist violinist
    bassist vocalist chef cook baker butcher waiter waitress server bartender barista cleaner janitor maid butler
    servant slave slaves nanny babysitter carpenter plumber electrician mechanic builder mason tailor seamstress
    hairdresser barber shopkeeper merchant trader businessman businesswoman entrepreneur investor banker
    accountant clerk cashier secretary assistant receptionist librarian analyst consultant executive ceo chairman
    chairwoman founder philanthropist millionaire billionaire beggar orphan widow widower stranger visitor guest
    tourist traveller traveler pilgrim believer worshipper worshiper convert missionary priest pastor preacher
    monk nun rabbi imam cleric clergyman bishop saint prophet king queen prince princess duke duchess lord
    nobleman aristocrat hunter fisherman cowboy warrior fighter veteran recruit general colonel sergeant
    lieutenant marine astronaut inventor explorer historian philosopher economist mathematician physicist chemist
    biologist pharmacist veterinarian firefighter paramedic fireman mailman postman delivery-man salesman
    saleswoman salesperson agent broker spokesperson spokesman spokeswoman volunteer participant respondent
    speaker listener reader viewer user consumer shopper buyer seller donor recipient feminist nationalist
    extremist terrorist fundamentalist socialist communist liberal conservative democrat republican dad's
    hairstylist stylist bodyguard sheriff deputy trooper ranger lifeguard trainer instructor counselor counsellor
    caregiver carer grandson granddaughter grandchild grandchildren stepfather stepmother schoolboy schoolgirl
    newborn mob gang gangs tribe tribes clan youths hipster nerd geek punk thug bachelor bride-to-be mother-in-law
    father-in-law beginner biker blogger camper caretaker climber coder commander commuter councillor cricketer
    cyclist dealer defender diner follower gardener gamer golfer helper hiker homeowner interpreter inspector
    interviewer jogger juggler jeweller jeweler labourer laborer lawmaker lodger miner murderer observer operator
    organizer organiser porter presenter promoter publisher rider sprinter striker stripper superstar supplier
    supporter surfer surveyor taxpayer trucker translator undertaker vendor walker weaver welder whistleblower
    wrestler bandleader cellist envoy ambassador diplomat delegate spy aviator breadwinner brewer bystander
    cartoonist choreographer chancellor commentator contestant correspondent critic curator dean deacon detainee
    dissident fan freshman geographer gymnast hostage humorist illustrator intellectual intern juror landowner
    legislator linguist magician magistrate manufacturer midwife midwives militant mogul monarch official outlaw
    peer pioneer playwright podcaster pundit racer rebel referee rower screenwriter sharpshooter skipper sniper
    socialite solicitor soloist soprano specialist strategist streamer successor teammate tenor theologian troops
    tycoon vagrant villain wanderer warlord wizard witch goalkeeper midfielder quarterback pitcher batsman bowler
    skater skier skateboarder motorist passer-by passersby hitchhiker squatter shepherd blacksmith locksmith
    mentor apprentice trainee amateur professional expert genius ally enemy rival ancestor descendant heir
    grandparents newlyweds couples twins siblings crewman interviewee nominee trustee in-law in-laws boxer golfer
    swimmer jockey racer skater angler drummer guitarist pianist violinist cellist bassist vocalist hiker climber
    sailor smoker drinker dancer gambler banker broker tailor cobbler shoemaker potter baker brewer gardener
    plumber roofer mason sculptor printmaker engraver printer publisher essayist lyricist librettist filmmaker
    showrunner animator cinematographer videographer photographer photojournalist newsreader broadcaster presenter
    anchor youtuber influencer vlogger rapper songwriter composer conductor organist trumpeter saxophonist devotee
    escapee evacuee returnee addict scout cadet marshal friar abbot prelate cardinal archbishop patriarch vicar
    curate rector seminarian disciple apostle martyr mystic guru yogi swami lama mufti mullah ayatollah caliph
    sultan emir shah tsar emperor empress chieftain chief
    abbess acharya acolyte acrobat actuary admiral admirer adviser advisor alumna alumni alumnus amputee
    apostate artisan ascetic assassin astrologer attaché attendant attendee auditor aviatrix backbencher bailiff
    ballerina bandit bandmaster bard baron baroness barrister beatboxer beguine bellhop biographer boatbuilder
    bobsledder bodybuilder bombardier bosun bouncer breeder bricklayer brigadier brigand buccaneer burgher
    burglar busker cabbie caller cantor castaway castellan catcher caterer challenger chaplain chauffeur
    chiropractor choirboy chorister chronicler clairvoyant clown coauthor cofounder collector commodore commoner
    competitor comptroller concierge concubine confectioner conjurer conscript conservator constable consul
    contender contralto convalescent copywriter cornerback corporal cosmonaut countess courier courtesan
    couturier cowhand creator crofter crooner croupier crusader curler daimyo dandy deaconess debutante deejay
    dervish distiller diva diver divorcee docent draftee drifter dropout drover druid earl embroiderer emcee
    emissary ensign entrant exegete eyewitness fakir farmhand fencer fiancé fiancée financier firstborn
    fishmonger forger fortune-teller foundling fraudster frontrunner fullback gaoler geisha gendarme glassblower
    glazier goaltender goddaughter godfather godmother godson goldsmith governess greengrocer grocer grown-up
    guerrilla guide gunsmith haberdasher hacker hafiz halfback hazzan headmaster headmistress healer heiress
    heretic hermit highlander hitman hobo honeymooner hooligan host hostess hotelier househusband housewife
    housewives hurdler hustler idol impersonator impresario infielder informant informer inquisitor insider
    insurgent interlocutor ironmonger islander jailer joiner judoka jurist karateka khan kickboxer kidnapper
    lamplighter landgrave landscaper laundress laureate legate lexicographer linebacker logger looter lumberjack
    madam maestro maharaja marcher margrave marquess masseur masseuse matron mayoress mentee mercenary messenger
    milliner mime minstrel misfit mistress moderator moneylender mountaineer muezzin namesake navigator nawab
    netminder newlywed ninja nizam notary nuncio onlooker opponent originator osteopath outfielder outpatient
    outsider overseer pandit paratrooper partisan pasha pathfinder pauper pawnbroker pickpocket pirate plasterer
    poacher poetess postgraduate powerlifter premier preschooler prioress privateer prodigy prosecutor proselyte
    prostitute provost psychoanalyst publican puppeteer purser quartermaster rajah rancher rapist rebbe recluse
    regent restaurateur restorer retailer ringmaster rioter ronin runner-up saboteur sacristan sadhu samurai
    satrap schoolchild schoolchildren schoolmaster schoolteacher scribe seer seneschal sentry serf shaman
    sharecropper shipwright shogun shortstop silversmith skydiver smuggler snowboarder sommelier sophomore
    sorcerer sorceress spectator spinster squire stalker starlet stenographer stevedore steward stewardess
    stockbroker stoker stonemason stowaway subscriber sufferer suffragette suitor superintendent supermodel
    supervisor swindler trailblazer trapper treasurer troubadour truant typist umpire undergraduate understudy
    underwriter upholsterer urchin usher usurer valet vandal vassal verger viceroy vintner virtuoso viscount
    vizier waif weightlifter wheelwright wholesaler winger woodcutter yeoman zealot"""
)
PERSON_ENDINGS = (
    "man", "men", "woman", "women", "person", "people", "persons", "worker", "workers", "player", "players",
    "maker", "makers", "holder", "holders", "fighter", "fighters", "ologist", "ologists", "ician", "icians",
    "arian", "arians", "ist", "ists", "lover", "lovers", "goer", "goers", "keeper", "keepers", "seeker", "seekers",
)  # fmt: skip
NOT_PERSONS = _set(
    """human ottoman woman's talisman specimen regimen abdomen acumen omen semen stamen caiman caveman's consist
    persist assist insist resist enlist checklist playlist blacklist shortlist wishlist whitelist tracklist setlist
    subsist desist consists persists assists insists resists enlists checklists playlists blacklists republics olympics
    politics classics athletics physics mathematics economics"""
)

ATTRIBUTES = _set(
    """national native individual human official public liberal conservative democrat republican professional amateur
    adult male female socialist communist nationalist general intellectual militant feminist terrorist extremist
    fundamentalist expert marine patriarch"""
)
"""Nouns for persons that are adjectives before another noun (national anthem, liberal arts)."""
KINDS = _set(
    "family community customer patient police student youth worker employee team staff member voter consumer user"
)
"""Nouns for persons that often say of what kind a thing is (family business, customer service)."""
OF_A_KIND = _set(
    """service services care office business businesses home homes house houses name names club clubs school station
    court law union council market firm company room life values title record records card support base forum crest
    farm estate estates fortune centre center health heritage history lore organisation organization"""
)
"""What such nouns say the kind of."""
_PLURAL_KINDS = (
    "rights arts sports games affairs sciences comics graphics news series politics economics physics mathematics "
    "athletics gymnastics electronics systems relations resources operations services communications"
)
PLURAL_KINDS = frozenset(_PLURAL_KINDS.split())
"""Nouns with an s that say what kind of person the next noun names (civil rights activist)."""
OF_A_PEOPLE = _set(
    """war era invasion spring cat dog fry bank account jazz grammar language food cuisine history literature art
    studies empire republic revolution army wine cheese bread horse border school forest"""
)
"""Nouns that an adjective of a people makes the name of a thing (Swiss bank, Spanish civil war, Arab spring)."""
