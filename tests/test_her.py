"""Her as an object and as a determiner, in sentences that were written for this test."""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals, load_axis

HIM = """
That left {} little choice.
They gave {} no hope.
The board made {} vice president.
The coach had {} run two miles.
They told {} dinner was ready.
The child beside {} laughed about it.
A street named for {} opened in May.
Their love for {} grew.
It took {} years to recover.
They wanted {} back.
They sent {} home.
We found {} asleep on the sofa.
They left {} alone in the house.
The noise kept {} awake.
I saw {} cross the street.
We heard {} sing last night.
She watched {} dance.
They made {} captain of the team.
The board named {} director.
The film made {} famous.
It made {} a star.
The coach called {} lazy.
They elected {} president in 1990.
The news left {} speechless.
I gave {} flowers and a card.
We sent {} letters every week.
They told {} stories about the sea.
They offered {} shelter for the night.
The court granted {} custody of the house.
The school awarded {} first prize.
The state denied {} entry in May.
They taught {} French at home.
She asked {} questions all day.
The mistake cost {} dearly.
I wished {} luck.
They promised {} help with the roof.
They bought {} lunch.
You owe {} money.
I envy {} that view.
Please let {} in.
The guard let {} pass.
It helped {} win the race.
I helped {} move house.
They paid {} little attention.
They paid {} well.
The dog followed {} home.
They drove {} home after work.
They took {} there by car.
She joined {} there in 1950.
We met {} outside.
I will call {} tomorrow.
The crowd cheered {} loudly.
Everyone likes {} best.
They told {} everything.
They gave {} nothing.
They gave {} two weeks to answer.
They fined {} five hundred dollars.
They beat {} six times.
She outlived {} by ten years.
With {} gone, the shop closed.
With {} away, nobody cooked.
They stood behind {} as the doors closed.
The letter reached {} late.
The jury found {} guilty.
The doctor declared {} dead at noon.
They considers {} brilliant.
I believe {} innocent.
Critics thought {} too young for the part.
They crowned {} queen of the fair.
It drove {} mad.
It turned {} pale.
They set {} free in June.
The rain soaked {} thoroughly.
I have known {} since childhood.
I have loved {} ever since.
Nobody believed {} when it happened.
They sent {} abroad to study.
They want {} dead.
They want {} back.
The fans want {} gone.
I need {} here.
I like {} more than you do.
They put {} under arrest.
They caught {} stealing apples.
I can hear {} coming.
We saw {} being led away.
The wave swept {} overboard.
They hit {} twice.
They rated {} number one.
The paper called {} "the voice of a generation".
The press dubbed {} The Iron Hand.
It gave {} pause.
It did {} good.
It does {} justice.
It cost {} dear.
The story won {} fame.
The book earned {} praise from all sides.
The role brought {} wide acclaim.
The plan saved {} time and money.
The lawyer got {} bail.
We find {} amusing.
The trip made {} realise the danger.
They watched {} grow up.
The accident left {} paralysed.
It kept {} busy.
The editor had {} rewrite the piece.
She had {} arrested.
They saw {} perform live.
They saw {} off at the station.
I saw {} first.
I knew {} well.
I knew {} personally.
The team signed {} last year.
The police questioned {} further.
The voters returned {} unopposed.
They married {} soon after.
They welcomed {} home with flowers.
They left {} home alone.
The fall rendered {} incapable of work.
The board deemed {} unworthy of it.
It was {} who came.
Those who love {} will always come.
They told {} I'd go.
I tell {} we’ve been there.
We asked {} who's there.
They said to {} it's over.
They pulled {} upward.
The noise made {} jump.
It made {} worry about us.
We helped {} unload and left.
They gave {} time to think.
It drove {} nuts.
They called {} every evening.
They drove {} past the house.
"""
HIS = """
They fed {} little dog.
They told {} story to a friend.
In {} damaged car they found a map.
They were kind to {} beloved.
They kept {} back door open.
They hurt {} back.
They drove to {} home town.
They took {} years of service for granted.
The loss cost {} party votes.
They gave {} all.
They left {} house at noon.
I saw {} cross and chain.
We heard {} song last night.
They made {} captain resign.
They told {} story to the press.
The court granted {} custody petition.
I like {} best friend.
They gave {} two sons a home.
They beat {} six brothers.
They stood behind {} desk.
The jury found {} guilty plea odd.
I believe {} innocent smile.
I need {} help.
They hit {} left arm.
It won {} fame-hungry friends money.
The plan saved {} time capsule.
They praised {} first novel.
They saw {} live show.
I knew {} well-kept garden.
The team signed {} last contract in May.
They married {} younger sister.
The state denied {} entry visa.
They bought {} lunch box.
You owe {} money lender a visit.
She asked {} question twice.
The dog followed {} home-made trail.
Despite {} being late we won.
They objected to {} singing at night.
The fans loved {} dancing.
They admired {} quickly drawn maps.
They lost {} only known copy.
They read {} long, boring letters.
They liked {} more recent songs.
It was one of {} most famous roles.
We used {} all-time record.
They sang {} "Ode to Rain".
They hid {} (very old) book.
It ended {} ten-year reign.
It ended {} 10 years in office.
It marked {} 50th birthday.
They sold {} home in May.
They burned {} home down.
They saw {} home destroyed.
We left {} home at noon.
They searched {} home and car.
The marriage was {} first and mine.
They felt {} hopes rise.
I caught {} meaning.
They felt {} every move.
They broke {} will and left.
They saw {} upward climb.
The news made {} change of plan known.
They felt {} strength to the end.
They changed {} will.
I know {} past.
They defended {} right to speak.
They ate {} half.
We sang with {} now famous friend.
They read {} teacher's book.
They saw {} otherwise downcast face.
"""
HER = """
They lay with {} back to the wall.
They patted {} back, and smiled.
They left {} home at noon.
They took {} now empty glass.
They ran with all {} might.
They took {} half of the money.
They praised {} often quoted words.
They read many of {} works twice.
They knew of {} past sins.
They saw {} .714 percentage.
They felt {} every move.
They found that {} will stipulates it.
"""
HERS = """
They held a hand in {} again.
They said that {} will be next.
They saw a friend of {} who sang.
The last turn was {}.
"""

OWNED = [
    ("She gave her time to the club.", "He gave his time to the club."),
    ("They gave her time to rest.", "They gave him time to rest."),
    ("She told her half of the story.", "He told his half of the story."),
    ("He loved her half to death.", "She loved him half to death."),
    ("They paid her $50 an hour.", "They paid him $50 an hour."),
    ("She saw his .714 share.", "He saw her .714 share."),
    ("The house is his now.", "The house is hers now."),
    ("The crown was his now that it was over.", "The crown was hers now that it was over."),
    ("A painting of his now hangs here.", "A painting of hers now hangs here."),
    ("A friend of his works for the railway.", "A friend of hers works for the railway."),
    ("My phone works and his works too.", "My phone works and hers works too."),
    ("Mine never works but his often does.", "Mine never works but hers often does."),
    ("A pupil of his will play.", "A pupil of hers will play."),
    ("My plan failed, but his will never fail.", "My plan failed, but hers will never fail."),
    ("That seat was his right away.", "That seat was hers right away."),
    ("It is his right to stay.", "It is her right to stay."),
    ("A brother of his left the army.", "A sister of hers left the army."),
    ("They gave her every opportunity.", "They gave him every opportunity."),
    ("They felt her every move.", "They felt his every move."),
    ("They visited her every other day.", "They visited him every other day."),
    ("The facts told her otherwise last year.", "The facts told him otherwise last year."),
    ("We kept her home from school.", "We kept him home from school."),
    ("They called her home.", "They called him home."),
    ("I saw her home.", "I saw him home."),
    ("They deported her home.", "They deported him home."),
    ("She left her home early in May.", "He left his home early in May."),
    ("She wanted her home to be quiet.", "He wanted his home to be quiet."),
    ("She got her home insured.", "He got his home insured."),
    ("He left her home alone.", "She left him home alone."),
    ("They sold her home.", "They sold his home."),
    ("Anyone who meets her will at once like her.", "Anyone who meets him will at once like him."),
    ("They broke her will and left.", "They broke his will and left."),
    ("Her back hurt.", "His back hurt."),
    ("Her now husband sang.", "His now wife sang."),
    ("She sold her half of the house.", "He sold his half of the house."),
    ("They gave her half of the cake.", "They gave him half of the cake."),
    ("She hid her past from them.", "He hid his past from them."),
    ("With all her might, she ran.", "With all his might, he ran."),
    ("The marriage was her first and mine.", "The marriage was his first and mine."),
]
"""What his and her own, and where they stand alone, before words that may be an adverb, a verb or a noun."""


@pytest.mark.parametrize("text", HIM.strip().splitlines())
def test_her_becomes_him(text: str) -> None:
    assert counterfactuals(text.format("her"), load_axis("gender"), "male")[0].text == masculine(text, "him")


@pytest.mark.parametrize("text", HIS.strip().splitlines())
def test_her_becomes_his(text: str) -> None:
    assert counterfactuals(text.format("her"), load_axis("gender"), "male")[0].text == masculine(text, "his")


@pytest.mark.parametrize("text", HER.strip().splitlines())
def test_his_becomes_her(text: str) -> None:
    assert counterfactuals(text.format("his"), load_axis("gender"), "female")[0].text == text.format("her")


@pytest.mark.parametrize("text", HERS.strip().splitlines())
def test_his_alone_becomes_hers(text: str) -> None:
    assert counterfactuals(text.format("his"), load_axis("gender"), "female")[0].text == text.format("hers")


@pytest.mark.parametrize(("text", "expected"), OWNED)
def test_what_is_owned_is_told_from_what_happens_to_somebody(text: str, expected: str) -> None:
    assert counterfactuals(text, load_axis("gender"))[0].text == expected


def masculine(text: str, pronoun: str) -> str:
    """The sentence with the pronoun; the few other words of a group in these sentences change with it."""
    for one, other in (
        ("She ", "He "),
        ("queen", "king"),
        ("sister", "brother"),
        ("brothers", "sisters"),
        ("sons", "daughters"),
    ):
        text = text.replace(one, other) if one in text else text
    return text.format(pronoun)


@pytest.mark.parametrize("text", ["She-wolves slept.", "The she-wolf slept.", "A he-goat slept."])
def test_a_pronoun_in_a_compound_stays_at_the_beginning_of_a_text_too(text: str) -> None:
    assert counterfactuals(text, load_axis("gender")) == []


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("That is **her** book.", "That is **his** book."),
        ("Read [her](https://example.org/a) letter.", "Read [his](https://example.org/a) letter."),
        ("Read [her][1] letter.", "Read [his][1] letter."),
        ("This is ***her*** desk.", "This is ***his*** desk."),
        ("She hugged **his** nephew.", "He hugged **her** niece."),
        ("She lost <em>her</em> dog.", "He lost <em>his</em> dog."),
        ('They sold <a href="x" class="y">her</a> house.', 'They sold <a href="x" class="y">his</a> house.'),
        ("They sold <b>[her](x)</b> house.", "They sold <b>[his](x)</b> house."),
        ('That is "her" dog, she says.', 'That is "his" dog, he says.'),
        ("The `her` column is her [first](x) one.", "The `his` column is his [first](x) one."),
        # and nothing of hers follows, or the mark closes more than the pronoun
        ("I told **her** the truth.", "I told **him** the truth."),
        ("I saw **her**.", "I saw **him**."),
        ("They asked <b>her</b> to go.", "They asked <b>him</b> to go."),
        ("*I met her* yesterday.", "*I met him* yesterday."),
        ("<td>her</td><td>book</td>", "<td>him</td><td>book</td>"),
        ('"I love her" was the title.', '"I love him" was the title.'),
        ("It is **his**.", "It is **hers**."),
    ],
)
def test_marks_of_emphasis_and_links_are_no_part_of_the_sentence(text: str, after: str) -> None:
    assert counterfactuals(text, load_axis("gender"))[0].text == after
