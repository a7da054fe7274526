"""Packed rows hold every text once, whole, and blind to its neighbours."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from evenhand.scoring_packing import LENGTH_STEP, Row, common, plan

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=20).map(tuple)


@st.composite
def rows(draw):
    """Texts that often begin alike, and the positions that are read."""
    found = []
    for ids in draw(st.lists(TOKENS, min_size=1, max_size=30)):
        positions = draw(st.lists(st.integers(0, len(ids) - 1), unique=True, max_size=4))
        found.append(Row(ids, tuple(sorted(positions))))
    return found


def seen_from(tree, slot):
    """The slots that a slot sees, in order, itself included."""
    first, _, before = next(s for s in tree.segments if s[0] <= slot < s[1])
    return [s for left, right in before for s in range(left, right)] + list(range(first, slot + 1))


@settings(max_examples=200, deadline=None)
@given(rows(), st.booleans(), st.booleans())
def test_each_read_sees_its_own_text_up_to_itself(texts, share, pack):
    found = plan(texts, longest=512, share=share, pack=pack) if any(r.positions for r in texts) else []
    wanted = [(r, position) for r, row in enumerate(texts) for position in row.positions]
    places = []
    for row in found:
        assert row.used == sum(len(tree) for _, tree in row.trees) <= row.length
        ends = [(begin, begin + len(tree)) for begin, tree in row.trees]
        assert all(one[1] <= other[0] for one, other in zip(ends, ends[1:], strict=False))
        for _, tree in row.trees:
            for slot, place in tree.reads:
                r, position = wanted[place]
                path = seen_from(tree, slot)
                assert tuple(tree.ids[s] for s in path) == texts[r].ids[: position + 1]
                assert [tree.positions[s] for s in path] == list(range(position + 1))
                places.append(place)
    assert sorted(places) == list(range(len(wanted)))


@settings(max_examples=100, deadline=None)
@given(rows())
def test_texts_of_a_masked_model_are_whole_and_share_nothing(texts):
    for row in plan(texts, longest=512, share=False) if any(r.positions for r in texts) else []:
        for _, tree in row.trees:
            assert len(tree.segments) == tree.rows == 1
            assert tuple(tree.ids) in {r.ids for r in texts}


def test_shared_beginnings_are_read_once_and_unread_ends_are_left_out():
    """Both begin `1 2 3`; of the second, position 3 is the last that is read, so token 6 is not needed."""
    (row,) = plan([Row((1, 2, 3, 4), (0, 1, 2, 3)), Row((1, 2, 3, 5, 6), (1, 2, 3))], longest=64)
    ((_, tree),) = row.trees
    assert tree.ids == [1, 2, 3, 4, 5]
    assert tree.positions == [0, 1, 2, 3, 3]
    assert tree.segments == [(0, 4, ()), (4, 5, ((0, 3),))]
    assert sorted(tree.reads) == [(0, 0), (1, 1), (1, 4), (2, 2), (2, 5), (3, 3), (4, 6)]
    assert tree.rows == 2


def test_rows_are_nearly_full():
    """400 texts of 5 to 29 tokens without a common beginning fill rows of 64 slots to at least 97 %."""
    texts = [Row((1000 + k, *range(4 + k * 7 % 25)), (0, 4 + k * 7 % 25)) for k in range(400)]
    found = plan(texts, longest=2048)
    assert sum(row.used for row in found) / sum(row.length for row in found) > 0.97
    assert len({row.length for row in found}) <= 2


def test_long_texts_of_one_length_waste_nothing():
    texts = [Row(tuple((k * 31 + j) % 97 for j in range(300)), (299,)) for k in range(10)]
    assert {row.length for row in plan(texts, longest=2048)} == {304}
    assert {row.length for row in plan(texts, longest=300)} == {300}
    assert all(row.plain for row in plan(texts, longest=2048))


def test_lengths_text_by_text_are_multiples_of_a_step():
    found = plan([Row(tuple(range(n)), (n - 1,)) for n in (3, 17, 9)], longest=20, pack=False)
    assert [row.length for row in found] == [20, 16, LENGTH_STEP]


def test_common_beginnings():
    assert [common((1, 2), (1, 2, 3)), common((), (1,)), common((1, 2, 3), (1, 3, 3))] == [2, 0, 1]
