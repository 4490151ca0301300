"""The same name has the same colour wherever it is drawn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from toolkit.charts.palette import CATEGORIES, GREY, VERMILION, colours_of

names = st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=12)


@given(names, st.randoms())
def test_colours_depend_on_names_and_not_on_their_order(found, random):
    shuffled = list(found)
    random.shuffle(shuffled)
    assert colours_of(found) == colours_of(shuffled)


@given(names)
def test_six_names_have_six_hues_and_the_rest_are_grey(found):
    colours = list(colours_of(found).values())
    hues = [colour for colour in colours if colour != GREY]
    assert len(set(hues)) == len(hues) == min(len(found), len(CATEGORIES))


@given(names)
def test_red_is_the_last_hue_to_be_given(found):
    colours = colours_of(found)
    assert VERMILION not in colours.values() or len(found) >= len(CATEGORIES)


@given(st.text(min_size=1))
def test_a_name_alone_keeps_one_colour(name):
    assert colours_of([name]) == colours_of([name, name])
