"""Secrets in every written form are taken out, and the last guard finds what is left."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.replay.cassettes.cassette_file import CassetteFile
from toolkit.replay.cassettes.exchange import Exchange
from toolkit.replay.cassettes.leaks import find_cassette_leaks
from toolkit.replay.cassettes.scrub import MARK, Scrubber, written_forms
from toolkit.secret import Secret

KEY = "sk-" + "k" * 40
keys = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=12, max_size=40)
noise = st.text(st.characters(codec="utf-8"), max_size=30)


@pytest.mark.parametrize(
    "write",
    [
        str,
        lambda key: quote(key, safe=""),
        lambda key: quote(key, safe="").lower() if "%" in quote(key, safe="") else key,
        lambda key: json.dumps(key)[1:-1],
        lambda key: json.dumps(json.dumps({"k": key})),
        lambda key: base64.b64encode(key.encode()).decode(),
        lambda key: base64.urlsafe_b64encode(key.encode()).decode(),
        lambda key: base64.b64encode(f"user:{key}".encode()).decode(),
        lambda key: base64.b64encode(f"us:{key}:and more".encode()).decode(),
        lambda key: base64.b64encode(f"u:{key}=".encode()).decode(),
    ],
)
def test_a_known_key_is_found_in_each_written_form(write):
    key = 'no/known+shape="' + "z" * 12
    scrubber = Scrubber([Secret(key)])
    text = f"before {write(key)} after"
    assert scrubber.find_leaks(text) == ["known key"]
    clean = scrubber.scrub_text(text)
    assert not scrubber.find_leaks(clean)
    assert not any(form in clean for form in written_forms(key))


@given(keys, noise, noise)
def test_whatever_the_key_is_nothing_of_it_is_left(key, before, after):
    scrubber = Scrubber([Secret(key)])
    body = f"{before}{key}{after}".encode()
    clean = scrubber.scrub_body(body)
    assert not scrubber.find_leaks(clean.decode("latin-1"))
    assert scrubber.scrub_body(clean) == clean


@given(noise, st.lists(st.integers(0, 200), max_size=6))
def test_pieces_put_together_are_the_scrubbed_whole(text, cuts):
    body = f"{text} {KEY} {text} Bearer {'b' * 30}".encode()
    ends = sorted({min(cut, len(body)) for cut in cuts} | {len(body)})
    chunks = [body[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    clean, sizes = Scrubber().scrub_chunks(chunks)
    assert clean == Scrubber().scrub_body(body)
    assert len(sizes) == len(chunks)
    assert sum(sizes) == len(clean)
    assert min(sizes) >= 0


def test_a_boundary_stays_where_the_text_around_it_stays():
    chunks = [f"data: {KEY}\n".encode(), b"data: two\n", b"data: three\n"]
    clean, sizes = Scrubber().scrub_chunks(chunks)
    assert clean == f"data: {MARK}\ndata: two\ndata: three\n".encode()
    assert sizes[1:] == [len(chunks[1]), len(chunks[2])]


def test_a_boundary_just_before_or_behind_a_key_stays_there():
    clean, sizes = Scrubber().scrub_chunks([b"data: ", KEY.encode(), b"\n", KEY.encode()])
    assert clean == f"data: {MARK}\n{MARK}".encode()
    assert sizes == [len("data: "), len(MARK), len("\n"), len(MARK)]


def test_a_key_cut_in_two_by_a_chunk_is_found():
    clean, sizes = Scrubber().scrub_chunks([b"x " + KEY[:20].encode(), KEY[20:].encode() + b" y"])
    assert clean == f"x {MARK} y".encode()
    assert sizes == [len("x ***"), len(" y")]


def test_bytes_that_are_no_text_come_back_as_they_were():
    body = bytes(range(256)) * 3
    assert Scrubber().scrub_body(body) == body


def test_headers_pass_an_allow_list():
    scrubber = Scrubber()
    asked = {"Authorization": "Bearer x", "Content-Type": "application/json", "X-Odd": "1"}
    assert scrubber.scrub_request_headers(asked) == {"content-type": "application/json"}
    answered = [
        ("Set-Cookie", "a=b"),
        ("openai-organization", "acme"),
        ("x-request-id", "r1"),
        ("cf-ray", "1"),
        ("Retry-After", "3"),
        ("x-ratelimit-remaining-tokens", "7"),
        ("anthropic-ratelimit-requests-limit", "8"),
    ]
    assert scrubber.scrub_answer_headers(answered) == {
        "anthropic-ratelimit-requests-limit": ["8"],
        "retry-after": ["3"],
        "x-ratelimit-remaining-tokens": ["7"],
    }


def test_addresses_lose_userinfo_credentials_and_fragments():
    scrubber = Scrubber()
    uri = f"https://me:pw@host.example:8443/v1/m:stream?alt=sse&key={KEY}&b=#frag"
    assert scrubber.scrub_uri(uri) == "https://host.example:8443/v1/m:stream?alt=sse&b="


@pytest.mark.parametrize("scheme", ["Bearer", "Basic"])
def test_credentials_of_a_request_are_learned_for_its_answer(scheme):
    value = "f" * 6 + "0" * 14
    sent = base64.b64encode(f"me:{value}".encode()).decode() if scheme == "Basic" else value
    scrubber = Scrubber()
    scrubber.learn_from("https://h/", {"Authorization": f"{scheme} {sent}"})
    assert value not in scrubber.scrub_text(f"you sent {value}")


def test_account_ids_go_from_texts_and_from_the_fields_of_an_error():
    scrubber = Scrubber()
    organisation, project = "org-" + "a1B2" * 5, "proj_" + "9x8Y" * 5
    text = f"Rate limit reached in organization {organisation}, project {project}"
    assert scrubber.scrub_text(text) == f"Rate limit reached in organization {MARK}, project {MARK}"
    body = b'{"error": {"message": "no"}, "user_id": "user_someone"}'
    assert b"user_someone" not in scrubber.scrub_body(body, is_error=True)
    assert scrubber.scrub_body(body) == body  # an argument of a tool may be called user_id


def test_prose_is_left_alone():
    text = "An organisation-wide user-friendly project; org-chart, user-authentication-flow."
    assert Scrubber().scrub_text(text) == text


def test_the_mark_itself_is_no_leak():
    scrubber = Scrubber()
    shapes = f"Bearer {KEY} https://h/?key={KEY} https://a:{KEY}@h/ AKIA{'A' * 16}"
    assert not scrubber.find_leaks(scrubber.scrub_text(shapes))


def test_short_secrets_do_not_wreck_the_text():
    assert Scrubber([Secret("abc")]).scrub_text("abcdef") == "abcdef"


def cassette_of(answer: bytes, kind: str = "application/json") -> CassetteFile:
    headers = {"content-type": [kind]}
    return CassetteFile((Exchange("POST", "https://h/v1", answer_headers=headers, body=answer),))


def test_the_guard_reads_json_escapes_and_joins_the_tokens_of_a_stream():
    scrubber = Scrubber()
    escaped = '{"a": "' + "".join(f"\\u{ord(c):04x}" for c in KEY) + '"}'
    assert find_cassette_leaks(cassette_of(escaped.encode()), scrubber) == ["openai"]
    events = "".join(
        f"data: {json.dumps({'choices': [{'delta': {'content': KEY[i : i + 5]}}]})}\n\n"
        for i in range(0, len(KEY), 5)
    )
    assert find_cassette_leaks(cassette_of(events.encode(), "text/event-stream"), scrubber) == [
        "openai"
    ]
    assert not find_cassette_leaks(cassette_of(b'{"a": "fine"}'), scrubber)


@pytest.mark.parametrize("userinfo", ["user:s3cret-of-mine", "u:p%40ss-of-mine", "only-a-token"])
def test_credentials_of_an_address_are_scrubbed_from_what_a_server_repeats(userinfo):
    scrubber = Scrubber([])
    scrubber.learn_from(f"https://{userinfo}@example.test/v1", {})
    password = userinfo.rpartition(":")[2]
    for form in {password, unquote(password)}:
        assert form not in scrubber.scrub_text(f"no access for {form}, sorry")
