"""Pieces of a prefix that grows by a token, and edits of them: what is kept changes nothing."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand_sdk.grammar import Replacement
from evenhand_sdk.tiny import tiny_tokenizer
from evenhand_standard.decoding import token_edits
from evenhand_standard.decoding.token_edits import BROKEN, MOST_PIECES, TokenEditor

TOKENIZER = tiny_tokenizer("llama")
SIZE = len(TOKENIZER)


def pieces_of(ids: tuple[int, ...]) -> list[str]:
    """Token by token from the beginning: a character of several tokens belongs to its first one."""
    editor, out = TokenEditor(TOKENIZER), []
    while len(out) < len(ids):
        k = len(out)
        whole = next(
            (n for n in range(1, MOST_PIECES + 1) if k + n <= len(ids) and BROKEN not in editor._read(ids[k : k + n])),
            0,
        )
        out += [editor._read(ids[k : k + whole]) if whole else BROKEN, *[""] * (whole - 1)]
    return out


WORDS = st.sampled_from(["She", " he", " café", "東京", " 🙂", ".", "\n", " king", "naïve"])
TEXTS = st.lists(WORDS, max_size=14).map(lambda words: tuple(TOKENIZER("".join(words))["input_ids"]))
IDS = st.one_of(TEXTS, st.lists(st.integers(0, SIZE - 1), max_size=40).map(tuple))


@settings(max_examples=80, deadline=None)
@given(IDS, st.integers(1, 9))
def test_the_pieces_of_a_growing_prefix_are_those_of_the_whole(ids: tuple[int, ...], block: int) -> None:
    editor = TokenEditor(TOKENIZER)
    editor._memory = token_edits.PrefixMemory((), editor._settled, block=block)
    for end in (*range(len(ids) + 1), *reversed(range(len(ids)))):
        assert editor.pieces(ids[:end]) == pieces_of(ids[:end])
        assert editor.pieces(list(ids[:end])) == pieces_of(ids[:end])


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.data())
def test_edited_ids_read_as_the_edited_text_and_the_others_stay(ids: tuple[int, ...], data: st.DataObject) -> None:
    editor = TokenEditor(TOKENIZER)
    pieces = editor.pieces(ids)
    text = "".join(pieces)
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pairs = list(zip(places[::2], places[1::2], strict=False))
    edits = [Replacement(start, end, data.draw(st.sampled_from(["he", " she", "x"]))) for start, end in pairs]
    found = editor.edited(ids, pieces, edits)
    expected, done = "", 0
    for start, end, after, _ in edits:
        expected += text[done:start] + after
        done = end
    assert "".join(editor.pieces(found)) == expected + text[done:]
    if edits:
        ends = list(accumulate(map(len, pieces)))
        first = next(k for k, end in enumerate(ends) if end > edits[0].start)
        assert found[:first] == ids[:first]
    else:
        assert found == ids
