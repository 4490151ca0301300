"""The file gives back exactly what was put in, and is whole or refused."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import CassetteError
from toolkit.replay.cassettes.cassette_file import (
    CassetteFile,
    lay_out_json,
    read_cassette,
    render_cassette,
    write_cassette,
)
from toolkit.replay.cassettes.exchange import Chunk, Exchange

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
texts = st.text(st.characters(codec="utf-8"), max_size=80).map(lambda text: text.encode())
bodies = texts | st.binary(max_size=80)


@given(bodies, bodies, st.sampled_from(["text/event-stream", "application/json"]))
@settings(max_examples=150)
def test_bodies_come_back_as_they_were(tmp_path_factory, asked, body, kind):
    """Whatever the bytes: line ends, control characters, emoji, no text at all."""
    path = tmp_path_factory.mktemp("file") / "a.yaml"
    half = len(body) // 2
    exchange = Exchange(
        "POST",
        "https://h/v1?a=b",
        {"content-type": "application/json"},
        asked,
        429,
        "Too Many",
        {"content-type": [kind]},
        body,
        1.5,
        2.25,
        (Chunk(half, 3.125), Chunk(len(body) - half, 4.0)),
        "broken",
    )
    write_cassette(path, CassetteFile((exchange,), {"note": "x"}))
    back = read_cassette(path)
    assert back.metadata == {"note": "x"}
    assert back.exchanges[0].body == body
    assert back.exchanges[0].pieces() == [body[:half], body[half:]]
    assert back.exchanges[0].key == exchange.key
    assert back.exchanges[0].cut == "broken"


@given(json_values)
def test_laid_out_json_means_the_same(value):
    body = json.dumps(value, ensure_ascii=False).encode()
    laid_out = lay_out_json(body)
    assert json.loads(laid_out) == json.loads(body)
    assert lay_out_json(laid_out) == laid_out


def test_laying_out_touches_no_token():
    body = b'{"b":1.50,"a":1e5,"b2":-0.0,"s":"\\u00e9 \\/ {,}","list":[1, 2,3],"e":{},"n":[ ]}'
    lines = [line.strip().rstrip(",") for line in lay_out_json(body).decode().splitlines()]
    assert lines == [
        "{",
        '"b": 1.50',
        '"a": 1e5',
        '"b2": -0.0',
        '"s": "\\u00e9 \\/ {,}"',
        '"list": [1, 2, 3]',
        '"e": {}',
        '"n": []',
        "}",
    ]


@pytest.mark.parametrize("body", [b"", b"{", b"data: {}", b"[1,]", b'"text"', b"\xff{}"])
def test_what_is_no_json_object_is_left_alone(body):
    assert lay_out_json(body) == body


def test_a_stream_is_readable_line_by_line():
    body = 'data: {"content": "schön 😀"}\n\ndata: [DONE]\n\n'.encode()
    headers = {"content-type": ["text/event-stream"]}
    text = render_cassette(
        CassetteFile((Exchange("POST", "https://h/", answer_headers=headers, body=body),))
    )
    assert '        data: {"content": "schön 😀"}\n' in text


def test_control_characters_beside_emoji_come_back():
    """PyYAML's own emitter loses these; libyaml's writes them as escapes."""
    for text in ("\x85\U00010000", "\u2028\U0001f600\n", "\ufeff\U0001f600"):
        content = CassetteFile((Exchange("GET", "https://h/", body=text.encode()),))
        write_cassette(Path("a.yaml"), content)
        assert read_cassette(Path("a.yaml")).exchanges[0].body == text.encode()


def test_the_order_and_the_numbers_of_a_digest_do_not_depend_on_line_ends(tmp_path):
    """A checkout on Windows may turn line ends; the content is the same."""
    path = tmp_path / "a.yaml"
    exchange = Exchange("POST", "https://h/", request_body=b'{"a": "b\\nc"}', body=b"one\ntwo\n")
    write_cassette(path, CassetteFile((exchange,)))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_cassette(path).exchanges[0].body == b"one\ntwo\n"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a refusing folder")
def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CassetteError, match="could not be written"):
        write_cassette(tmp_path / "a.yaml", CassetteFile((Exchange("GET", "https://h/"),)))


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path):
    (tmp_path / "suite").write_text("in the way")
    with pytest.raises(CassetteError, match="could not be written"):
        write_cassette(
            tmp_path / "suite" / "a.yaml", CassetteFile((Exchange("GET", "https://h/"),))
        )


def test_a_tape_too_large_is_not_written(tmp_path):
    path = tmp_path / "a.yaml"
    body = b"x" * (33 * 1024 * 1024)
    with pytest.raises(CassetteError, match="larger than 32 MB"):
        write_cassette(path, CassetteFile((Exchange("GET", "https://h/", body=body),)))
    assert not list(Path(tmp_path).iterdir())


def test_times_are_kept_to_the_microsecond(tmp_path):
    path = tmp_path / "a.yaml"
    exchange = Exchange("GET", "https://h/", body=b"ab", chunks=(Chunk(2, 12.345678),))
    write_cassette(path, CassetteFile((exchange,)))
    assert math.isclose(read_cassette(path).exchanges[0].chunks[0].at_ms, 12.346)
