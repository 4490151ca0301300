"""The door of the API: Host, Origin, token, limits and body, before any route runs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import JSONResponse

from toolkit.api import json_bodies
from toolkit.api.bearer_tokens import BearerToken, BearerTokens
from toolkit.api.guard import MAX_BODY_BYTES, Guard
from toolkit.api.json_bodies import LARGE_BYTES, BodyRefused, check_bounds
from toolkit.api.token_limits import Limits

HOSTS = {"127.0.0.1": True, "127.0.0.1:8601": True, "localhost": True, "[::1]:8601": True,
         "evil.example": False, "127.0.0.1.evil.example": False}  # fmt: skip
ORIGINS = {None: True, "http://evil.example": False, "null": False, "http://127.0.0.1:3000": False}


async def _echo(scope, receive, send):
    request = Request(scope, receive)
    body = await request.body()
    answer = {"token": request.state.token.name, "bytes": len(body)}
    await JSONResponse(answer)(scope, receive, send)


@pytest.fixture
def door(tmp_path):
    tokens = BearerTokens(tmp_path / "token")
    text = tokens.create("t").reveal()
    return Guard(_echo, tokens=tokens, limits=Limits()), {"authorization": f"Bearer {text}"}


def _ask(guard, method="GET", path="/v1/models", **options):
    async def go():
        transport = httpx.ASGITransport(guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **options)

    return asyncio.run(go())


@pytest.mark.parametrize(("host", "origin"), itertools.product(HOSTS, ORIGINS))
def test_only_known_hosts_and_no_foreign_page_may_ask(door, host, origin):
    guard, auth = door
    headers = {**auth, "host": host} | ({"origin": origin} if origin else {})
    answer = _ask(guard, headers=headers)
    assert (answer.status_code == 200) == (HOSTS[host] and ORIGINS[origin])
    if answer.status_code != 200:
        assert answer.json()["error"]["code"] in {"HOST_NOT_ALLOWED", "ORIGIN_NOT_ALLOWED"}


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic dDp0", "Bearer tk_\x7f"]
)
def test_without_a_good_token_every_answer_is_the_same_401(door, header):
    guard, _ = door
    answer = _ask(guard, headers={"authorization": header} if header is not None else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json() == _ask(guard).json()


def test_a_token_in_the_query_is_no_token(door):
    guard, auth = door
    text = auth["authorization"].split()[1]
    assert _ask(guard, path=f"/v1/models?token={text}&access_token={text}").status_code == 401


def test_a_damaged_token_file_closes_the_door(door):
    guard, auth = door
    guard.tokens.path.write_text("{")
    answer = _ask(guard, headers=auth)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "KEY_STORE_FAILED"


def test_a_body_must_be_json(door):
    guard, auth = door
    form = _ask(guard, "POST", content=b"a=1", headers={**auth, "content-type": "text/plain"})
    assert form.status_code == 415
    good = _ask(guard, "POST", json={"a": 1}, headers=auth)
    assert good.json() == {"token": "t", "bytes": 7}


def test_a_body_is_counted_whatever_length_it_claims(door):
    guard, auth = door

    async def endless():
        for _ in range(MAX_BODY_BYTES // 65536 + 2):
            yield b" " * 65536

    headers = {**auth, "content-type": "application/json", "content-length": "3"}
    assert _ask(guard, "POST", content=endless(), headers=headers).status_code == 413


def test_json_nested_too_deeply_is_refused(door):
    guard, auth = door
    headers = {**auth, "content-type": "application/json"}
    answer = _ask(guard, "POST", content=b"[" * 100_000 + b"]" * 100_000, headers=headers)
    assert answer.status_code == 400


# Texts that look like JSON: the marks that are counted, quotes and backslashes in every order.
_texts = st.text(st.sampled_from('[]{},"\\a')) | st.text()
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(_texts, children),
    max_leaves=20,
)


def _depth(value):
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 0


def _marks(value):
    """Brackets that open, and commas."""
    if not isinstance(value, list | dict):
        return 0
    inner = value if isinstance(value, list) else list(value.values())
    return 1 + max(0, len(inner) - 1) + sum(map(_marks, inner))


def _is_refused(body):
    try:
        check_bounds(body)
    except BodyRefused:
        return True
    return False


@given(json_values, st.integers(2, 64), st.integers(0, 5), st.integers(0, 12))
def test_depth_and_values_are_counted_outside_strings(value, window, depth, values):
    body = json.dumps(value).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_bodies, "_WINDOW", window)  # so that every window ends somewhere else
        patch.setattr(json_bodies, "MAX_DEPTH", depth)
        patch.setattr(json_bodies, "MAX_VALUES", 10_000)
        assert _is_refused(body) == (_depth(value) > depth)
        patch.setattr(json_bodies, "MAX_DEPTH", 10_000)
        patch.setattr(json_bodies, "MAX_VALUES", values)
        assert _is_refused(body) == (_marks(value) > values)


def test_a_token_has_its_limits_per_minute_and_at_once():
    now = [0.0]
    limits = Limits(clock=lambda: now[0])
    token = BearerToken(name="t", digest="", requests_per_minute=3, concurrency=2)
    assert limits.enter(token) is None
    assert limits.enter(token) is None
    assert limits.enter(token) == 1.0
    limits.leave(token)
    assert limits.enter(token) is None
    limits.leave(token)
    now[0] = 20.0
    assert limits.enter(token) == 40.0
    now[0] = 60.0
    assert limits.enter(token) is None


def test_one_token_at_its_limit_does_not_hold_up_another():
    limits = Limits()
    busy, calm = (BearerToken(name=n, digest="", concurrency=1) for n in ("busy", "calm"))
    assert limits.enter(busy) is None
    assert limits.enter(busy) is not None
    assert limits.enter(calm) is None


def test_what_ended_makes_room_for_others_under_the_limit_of_the_whole_server():
    limits = Limits(total=2)
    one, two, three = (BearerToken(name=n, digest="", concurrency=9) for n in "abc")
    for _ in range(5):
        assert limits.enter(one) is None and limits.enter(two) is None
        assert limits.enter(three) == 1.0
        limits.leave(one)
        assert limits.enter(three) is None
        limits.leave(two)
        limits.leave(three)


# ---- bodies -------------------------------------------------------------------------------------


HOSTILE = {
    "escapes": b'{"a":"' + b'\\"' * 1_000_000,
    "open strings": b'"' * 1_000_001,
    "backslash at the end": b'{"a":"' + b"x" * 1_000_000 + b"\\",
    "no marks": b"a" * 3_000_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_counting_a_body_looks_at_each_byte_once(name):
    """With a pattern that backtracks, 40 KB of the first took 50 s; this would never end."""
    with contextlib.suppress(BodyRefused):
        check_bounds(HOSTILE[name])


@pytest.mark.parametrize("body", [b'{"a":"' + b"x" * LARGE_BYTES, b'{"a":[' + b" " * LARGE_BYTES])
def test_a_large_body_that_is_cut_off_is_refused_before_it_is_parsed(body):
    with pytest.raises(BodyRefused, match="is not closed"):
        check_bounds(body)


@pytest.mark.parametrize("body", [b"[],", b"{},", b'"",', b"1,"])
def test_a_body_of_millions_of_values_is_refused(body):
    with pytest.raises(BodyRefused, match="more than 300,000 values"):
        check_bounds(b"[" + body * 400_000)


def test_a_token_without_the_scope_is_refused_before_its_body_is_read(door):
    guard, _ = door
    text = guard.tokens.create("reader", scopes=("read",)).reveal()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "headers": [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {text}".encode())],
    }
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 403


# ---- clients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "x-goog-api-key"])
def test_a_token_is_found_where_other_apis_put_their_key(door, header):
    guard, auth = door
    text = auth["authorization"].split()[1]
    assert _ask(guard, headers={header: text}).status_code == 200
    assert _ask(guard, headers={header: "wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [("LOCALHOST", 200), ("localhost:evil", 421), ("localhost:80:80", 421), ("[::1]:x", 421)],
)
def test_a_host_header_is_read_strictly_and_in_any_case(door, host, status):
    guard, auth = door
    assert _ask(guard, headers={**auth, "host": host}).status_code == status


@pytest.mark.parametrize("hosts", [("127.0.0.1", "evil.example"), ("127.0.0.1", "127.0.0.1")])
def test_two_host_headers_are_refused(door, hosts):
    guard, auth = door
    headers = [*auth.items(), *(("host", host) for host in hosts)]
    assert _ask(guard, headers=headers).status_code == 421


def test_a_token_at_its_limit_gets_a_429_with_its_wait(tmp_path):
    tokens = BearerTokens(tmp_path / "token")
    text = tokens.create("t", requests_per_minute=1).reveal()
    guard = Guard(_echo, tokens=tokens, limits=Limits())
    headers = {"authorization": f"Bearer {text}"}
    assert _ask(guard, headers=headers).status_code == 200
    answer = _ask(guard, headers=headers)
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
    assert answer.json()["error"]["code"].upper() == "RATE_LIMIT_EXCEEDED"


ALLOWED = "app://obsidian.md"


@pytest.fixture
def open_door(door):
    guard, auth = door
    origins = (ALLOWED, "vscode-webview://*")
    return Guard(_echo, tokens=guard.tokens, limits=Limits(), origins=origins), auth


@pytest.mark.parametrize("origin", [ALLOWED, "vscode-webview://1a2b"])
def test_an_allowed_origin_gets_its_preflight_and_its_answer(open_door, origin):
    guard, auth = open_door
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "a, b"}
    answer = _ask(guard, "OPTIONS", headers={"origin": origin, **wanted})
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-allow-headers"] == "a, b"
    answer = _ask(guard, headers={**auth, "origin": origin})
    assert answer.headers["access-control-allow-origin"] == origin
    assert "Origin" in answer.headers["vary"]
    refused = _ask(guard, headers={"origin": origin})  # the page must be able to read the error
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, origin)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "app://obsidian.md.evil"])
def test_another_origin_is_refused_and_gets_no_preflight(open_door, origin):
    guard, auth = open_door
    headers = {**auth, "origin": origin, "access-control-request-method": "POST"}
    for method in ("OPTIONS", "GET"):
        answer = _ask(guard, method, headers=headers)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


def test_requests_that_have_ended_do_not_count_as_open(door):
    """A counter that is not released would answer 429 for ever after the 512th request."""
    guard, auth = door
    guard.limits = Limits(total=2)
    assert {_ask(guard, headers=auth).status_code for _ in range(6)} == {200}


def test_an_ended_request_makes_room_and_no_more_than_that():
    limits, token = Limits(total=2), BearerToken(name="t", digest="")
    assert [limits.enter(token) for _ in range(3)] == [None, None, 1.0]
    limits.leave(token)
    assert [limits.enter(token) for _ in range(2)] == [None, 1.0]
