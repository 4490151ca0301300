"""Server-sent events come out the same however the bytes were split."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.calls.parsers.sse import Event, EventSplitter, LineTooLong
from toolkit.calls.transport.exchange_record import MAX_LINE_BYTES

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
WORDS = st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20)
LINES = st.one_of(
    WORDS.map(lambda w: b"data: " + w.encode()),
    WORDS.map(lambda w: b"data:" + w.encode()),
    WORDS.map(lambda w: b"event: " + w.encode()),
    WORDS.map(lambda w: b": " + w.encode()),
    st.just(b"id: 7"),
    st.just(b""),
    WORDS.map(lambda w: w.encode()),
)


def split_whole(data: bytes) -> tuple[list[Event], int, bytes]:
    return split_in([data])


def split_in(parts: list[bytes]) -> tuple[list[Event], int, bytes]:
    splitter = EventSplitter()
    events = [event for part in parts for event in splitter.feed(part)]
    events += splitter.finish()
    return events, splitter.comments, bytes(splitter.foreign)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(
    st.lists(st.tuples(LINES, LINE_ENDS), max_size=30),
    st.lists(st.integers(0, 10_000), max_size=40),
    st.booleans(),
)
def test_any_split_gives_the_same_events(
    lines: list[tuple[bytes, bytes]], places: list[int], bom: bool
) -> None:
    data = (b"\xef\xbb\xbf" if bom else b"") + b"".join(line + end for line, end in lines)
    assert split_in(cut(data, places)) == split_whole(data)


@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=20))
def test_any_bytes_are_taken_without_an_error(data: bytes, places: list[int]) -> None:
    assert split_in(cut(data, places)) == split_whole(data)


@given(st.lists(st.tuples(WORDS, st.lists(WORDS, min_size=1, max_size=3)), max_size=10))
def test_names_and_data_lines_are_kept(written: list[tuple[str, list[str]]]) -> None:
    data = "".join(
        f"event: {name}\n" + "".join(f"data: {line}\n" for line in lines) + "\n"
        for name, lines in written
    )
    events, _, _ = split_whole(data.encode())
    assert [event.data.decode() for event in events] == ["\n".join(lines) for _, lines in written]
    assert [event.name for event in events] == [name for name, _ in written]


def test_a_missing_last_empty_line_loses_nothing() -> None:
    events, _, _ = split_whole(b'data: {"a": 1}\n\ndata: [DONE]')
    assert [event.data for event in events] == [b'{"a": 1}', b"[DONE]"]


def test_what_is_no_event_stream_is_kept_for_judgement() -> None:
    events, _, foreign = split_whole(b'{"error": {"message": "no"}}\n')
    assert events == [] and b'"no"' in foreign


@pytest.mark.parametrize("size", [1, 1000, 100_000])
def test_a_line_is_bounded_however_it_arrives(size: int) -> None:
    splitter = EventSplitter()
    with pytest.raises(LineTooLong):
        for _ in range(MAX_LINE_BYTES // size + 2):
            splitter.feed(b"a" * size)
