"""What is written for machines is left alone: tags, targets of links, paths, commands; prose beside it is not."""

from __future__ import annotations

import pytest

from evenhand_sdk import counterfactuals
from evenhand_sdk.counterfactual import swap_prefix

MARKUP = [
    ('<a href="/women">her page</a>', '<a href="/women">his page</a>'),
    ('<div class="men">He</div>', '<div class="men">She</div>'),
    ("<input name='he' value=\"she\"> He ran.", "<input name='he' value=\"she\"> She ran."),
    ("<she>he</she>", "<she>she</she>"),
    ("<br/>He<em>his</em> car", "<br/>She<em>her</em> car"),
    ('<img src="her.jpg" alt="her car">', '<img src="her.jpg" alt="his car">'),
    ("<p class=man title='He ran'>She</p>", "<p class=man title='She ran'>He</p>"),
    ("[her](./his/her.html) site", "[his](./his/her.html) site"),
    ('[he](she "his page") ran', '[she](she "her page") ran'),
    ("See C:\\Users\\Her\\his.txt for him.", "See C:\\Users\\Her\\his.txt for her."),
    ("Open /home/she/his_file.txt for him.", "Open /home/she/his_file.txt for her."),
    ("It is in ~/men or ../women/her, he said.", "It is in ~/men or ../women/her, she said."),
    ("He opened men/women.csv and her.jpg.", "She opened men/women.csv and her.jpg."),
    ("She reads r/women and /u/her.", "He reads r/women and /u/her."),
    ("\\textbf{she} said \\label{fig:his}", "\\textbf{he} said \\label{fig:his}"),
    ("He cites \\citep[p. 3]{women} and \\input{her}.", "She cites \\citep[p. 3]{women} and \\input{her}."),
    ("\\begin{men}He ran.\\end{men}", "\\begin{men}She ran.\\end{men}"),
    ("\\man He ran.", "\\man She ran."),
]
PROSE = [
    ("He lost his/her keys.", "She lost her/his keys."),
    ("He/she ran and/or men/women sang.", "She/he ran and/or women/men sang."),
    ("His age < 5, her age > 6.", "Her age < 5, his age > 6."),
    ("She asked him.then she left.", "He asked her.then he left."),
    ("He wrote it [sic](her mother said).", "She wrote it [sic](his father said)."),
    ("She is a mother / daughter.", "He is a father / son."),
    ("The man (he/him) met (she/her) me.", "The woman (she/her) met (he/him) me."),
]


@pytest.mark.parametrize(("text", "after"), MARKUP + PROSE)
def test_markup_stays_and_prose_is_swapped(text: str, after: str) -> None:
    assert [found.text for found in counterfactuals(text, "gender")] == [after]


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ('He saw <a href="/women">her', 'She saw <a href="/women">his'),
        ("He opened ./men/women", "She opened ./men/women"),
        ("He clicked [her](women)", "She clicked [his](women)"),
        ("He cites \\ref{fig:men}", "She cites \\ref{fig:men}"),
        ('He saw <img alt="men', 'She saw <img alt="women'),
        ("He/she and men/women", "She/he and women/men"),
    ],
)
def test_a_growing_text_tells_markup_by_how_it_begins(text: str, after: str) -> None:
    assert swap_prefix(text, "gender") == after
