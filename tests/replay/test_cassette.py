"""Recording and playing: any client, every outcome, one file, nothing live in replay."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
import requests
import vcr
import yaml

import toolkit as tk
from tests.servers.mock_provider import MockProvider
from toolkit.calls.attempt_spec import current_source
from toolkit.errors import (
    AuthenticationFailed,
    CassetteError,
    CassetteMissing,
    CassetteStale,
    InvalidInput,
)
from toolkit.replay.cassettes.cassette_file import read_cassette
from toolkit.replay.cassettes.open_cassette import cassette

ASKED: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
KEY = "sk-" + "live" * 8


@pytest.fixture
def provider() -> Iterator[MockProvider]:
    with MockProvider() as server:
        yield server


def open_cassette(mode: str = "auto") -> Any:
    return cassette("suite/case", mode=mode, secrets=())


def ask(url: str, body: Any = ASKED) -> httpx.Response:
    with httpx.Client() as client:
        headers = {"authorization": f"Bearer {KEY}"}
        return client.post(f"{url}/chat/completions", json=body, headers=headers)


def text_of(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def test_the_face_opens_a_cassette():
    assert tk.cassette is cassette


def test_what_was_recorded_is_played_when_the_server_is_gone():
    with MockProvider() as server:
        url = server.base_url
        server.enqueue("recorded words")
        with open_cassette() as opened:
            assert opened.mode == "record"
            assert text_of(ask(url)) == "recorded words"
    with open_cassette() as opened:
        assert opened.mode == "replay"
        assert text_of(ask(url)) == "recorded words"
    assert not opened.unplayed


def test_a_local_server_may_come_back_on_another_port():
    """Loopback addresses are one host: local servers take whichever port is free."""
    with MockProvider() as server, open_cassette():
        ask(server.base_url)
    with open_cassette("replay"):
        assert ask("http://localhost:9/v1").status_code == 200


def test_a_request_that_was_not_recorded_is_an_error_and_never_live(provider):
    with open_cassette():
        ask(provider.base_url)
    changed = {**ASKED, "messages": [{"role": "user", "content": "goodbye"}]}
    with pytest.raises(CassetteMissing) as caught, open_cassette("replay"):
        ask(provider.base_url, changed)
    assert "messages[0].content: recorded 'hello', requested 'goodbye'" in caught.value.message
    assert len(provider.requests) == 1


def test_a_member_without_a_value_is_a_difference_too(provider):
    with open_cassette():
        ask(provider.base_url)
    with (
        pytest.raises(CassetteMissing, match="extra: recorded nothing, requested None"),
        open_cassette("replay"),
    ):
        ask(provider.base_url, {**ASKED, "extra": None})


def test_a_miss_that_the_code_swallowed_is_raised_at_the_end(provider):
    with open_cassette():
        ask(provider.base_url)
    with pytest.raises(CassetteMissing, match="no matching request"), open_cassette("replay"):
        _ask_and_swallow(provider.base_url)


def _ask_and_swallow(url: str) -> None:
    with contextlib.suppress(CassetteMissing):
        ask(url, {"other": 1})


def test_identical_requests_are_played_in_the_order_of_their_answers(provider):
    provider.enqueue("first", status=429, headers={"retry-after": "2", "x-ratelimit-limit": "9"})
    provider.enqueue("second")
    with open_cassette():
        ask(provider.base_url)
        ask(provider.base_url)
    with open_cassette("replay") as opened:
        first, second = ask(provider.base_url), ask(provider.base_url)
        assert (first.status_code, first.headers["retry-after"]) == (429, "2")
        assert first.headers["x-ratelimit-limit"] == "9"
        assert text_of(second) == "second"
        assert not opened.unplayed
        with pytest.raises(CassetteMissing, match="have been played"):
            ask(provider.base_url)
        opened.misses.clear()


def test_the_order_of_json_members_does_not_matter(provider):
    with open_cassette():
        ask(provider.base_url, {"a": 1, "b": {"c": 2, "d": 3}})
    with open_cassette("replay"):
        ask(provider.base_url, {"b": {"d": 3, "c": 2}, "a": 1})


def test_a_stream_keeps_its_pieces_and_their_times(provider):
    provider.enqueue(chunks=["one ", "two ", "three"], chunk_delay_s=0.03)
    body = {**ASKED, "stream": True}

    def pieces() -> list[bytes]:
        with (
            httpx.Client() as client,
            client.stream("POST", f"{provider.base_url}/chat/completions", json=body) as answer,
        ):
            return list(answer.iter_raw())

    with open_cassette():
        recorded = pieces()
    with open_cassette("replay") as opened:
        assert pieces() == recorded
        assert not opened.unplayed
    exchange = read_cassette(opened.path).exchanges[0]
    assert [chunk.size for chunk in exchange.chunks] == [len(piece) for piece in recorded]
    times = [chunk.at_ms for chunk in exchange.chunks]
    assert times == sorted(times)
    assert times[-1] - times[0] >= 50


def test_recording_does_not_hold_a_stream_back(provider):
    """The first piece reaches the caller while the server still waits with the next."""
    provider.enqueue(chunks=["one ", "two "], chunk_delay_s=0.3)
    with (
        open_cassette(),
        httpx.Client() as client,
        client.stream(
            "POST", f"{provider.base_url}/chat/completions", json={**ASKED, "stream": True}
        ) as answer,
    ):
        arriving = answer.iter_raw()
        while b"one" not in next(arriving):
            pass
        assert len(provider.stamps) == 1
        list(arriving)


@pytest.mark.parametrize("reset", [False, True])
def test_a_stream_cut_in_the_middle_is_cut_again_in_replay(provider, reset):
    provider.enqueue(chunks=["one ", "two ", "three"], drop_after=2, reset=reset)

    def read() -> bytes:
        got = b""
        with (
            httpx.Client() as client,
            client.stream(
                "POST", f"{provider.base_url}/chat/completions", json={**ASKED, "stream": True}
            ) as answer,
            pytest.raises(httpx.TransportError),
        ):
            for piece in answer.iter_raw():
                got += piece
        return got

    with open_cassette():
        recorded = read()
    with open_cassette("replay"):
        assert read() == recorded
    assert len(provider.requests) == 1


async def _ask_with_aiohttp(url: str, body: Any = ASKED) -> tuple[int, list[bytes], str]:
    pieces, failure = [], ""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        response = await session.request(
            "POST", f"{url}/chat/completions", data=json.dumps(body).encode()
        )
        try:
            while piece := await response.content.readany():
                pieces.append(piece)
        except aiohttp.ClientPayloadError as error:
            failure = type(error).__name__
        response.close()
    return response.status, pieces, failure


def test_aiohttp_is_recorded_piece_by_piece_and_played(provider):
    provider.enqueue(chunks=["one ", "two ", "three"], chunk_delay_s=0.02)
    body = {**ASKED, "stream": True}
    with open_cassette():
        recorded = asyncio.run(_ask_with_aiohttp(provider.base_url, body))
    with open_cassette("replay"):
        assert asyncio.run(_ask_with_aiohttp(provider.base_url, body)) == recorded
    assert len(recorded[1]) >= 3
    assert len(provider.requests) == 1


def test_aiohttp_sees_a_recorded_cut_again(provider):
    provider.enqueue(chunks=["one ", "two ", "three"], drop_after=2)
    body = {**ASKED, "stream": True}
    with open_cassette():
        recorded = asyncio.run(_ask_with_aiohttp(provider.base_url, body))
    with open_cassette("replay"):
        played = asyncio.run(_ask_with_aiohttp(provider.base_url, body))
    assert recorded[2] == "ClientPayloadError"
    assert (b"".join(played[1]), played[2]) == (b"".join(recorded[1]), recorded[2])


async def _length_by_aiohttp(url: str) -> str | None:
    async with aiohttp.ClientSession() as session, session.head(url) as response:
        return response.headers.get("content-length")


@pytest.mark.parametrize(
    "length",
    [
        lambda url: httpx.head(url).headers.get("content-length"),
        lambda url: requests.head(url, timeout=60).headers.get("content-length"),
        lambda url: asyncio.run(_length_by_aiohttp(url)),
    ],
    ids=["httpx", "requests", "aiohttp"],
)
def test_a_head_request_is_answered_with_the_length_that_was_recorded(length, provider):
    url = f"{provider.base_url}/models"
    with open_cassette():
        recorded = length(url)
    with open_cassette("replay"):
        assert length(url) == recorded
    assert int(recorded) > 0


def test_a_body_recorded_by_one_library_plays_in_every_other(provider):
    url = f"{provider.base_url}/chat/completions"
    with open_cassette():
        recorded = text_of(ask(provider.base_url))
        requests.post(url, json={"n": 1}, timeout=5)
        asyncio.run(_ask_with_aiohttp(provider.base_url, {"n": 2}))
    with open_cassette("replay") as opened:
        answer = requests.post(url, json=ASKED, timeout=5).json()
        assert answer["choices"][0]["message"]["content"] == recorded
        assert ask(provider.base_url, {"n": 2}).status_code == 200
        assert asyncio.run(_ask_with_aiohttp(provider.base_url, {"n": 1}))[0] == 200
        assert not opened.unplayed


def test_a_compressed_answer_is_kept_readable(provider):
    import gzip

    body = gzip.compress(b'{"secret-free": "answer"}')
    provider.enqueue(body=body, headers={"content-encoding": "gzip"})
    with open_cassette() as opened:
        assert ask(provider.base_url).json() == {"secret-free": "answer"}
    with open_cassette("replay"):
        assert ask(provider.base_url).json() == {"secret-free": "answer"}
    assert "secret-free" in opened.path.read_text()


def test_concurrent_calls_share_a_cassette(provider):
    def both(number: int) -> str:
        return text_of(ask(provider.base_url, {**ASKED, "seed": number % 8}))

    with open_cassette(), ThreadPoolExecutor(8) as pool:
        recorded = list(pool.map(both, range(24)))
    with open_cassette("replay") as opened, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(both, range(24))) == recorded
        assert not opened.unplayed


def test_plain_vcrpy_plays_the_file(provider):
    provider.enqueue("for everyone")
    with open_cassette() as opened:
        ask(provider.base_url)
    match_on = ["method", "uri", "body"]
    with vcr.use_cassette(str(opened.path), record_mode="none", match_on=match_on) as plain:
        assert text_of(ask(provider.base_url)) == "for everyone"
        assert plain.all_played


def test_the_file_can_be_read_by_people(provider):
    with open_cassette() as opened:
        ask(provider.base_url)
    text = opened.path.read_text()
    assert '          "content": "hello"' in text
    data = yaml.safe_load(text)
    assert data["version"] == 1
    assert data["metadata"]["name"] == "suite/case"


def test_no_credential_reaches_the_file(provider):
    """Header, userinfo, query, body and the provider's echo, in each written form."""
    from base64 import b64encode
    from urllib.parse import quote

    odd = 'pa"ss/wo+rd=' + "x" * 12
    echoes = f"{KEY} {quote(odd, safe='')} {json.dumps(odd)} {b64encode(odd.encode()).decode()}"
    provider.enqueue(body={"error": {"message": f"bad key {echoes}"}}, status=401)
    url = provider.base_url.replace("://", f"://someone:{quote(odd, safe='')}@")
    with open_cassette() as opened, httpx.Client() as client:
        client.post(
            f"{url}/chat/completions?key={KEY}&alt=sse",
            json={"prompt": f"my key is {KEY}"},
            headers={"x-api-key": KEY, "cookie": "session=" + "c" * 20},
        )
    written = opened.path.read_text()
    for form in (KEY, odd, quote(odd, safe=""), "someone:", "c" * 20, json.dumps(odd)[1:-1]):
        assert form not in written
    assert b64encode(odd.encode()).decode() not in written
    assert "alt=sse" in written
    with open_cassette("replay"), httpx.Client() as client:
        other = "sk-" + "other" * 8
        client.post(
            f"{provider.base_url}/chat/completions?alt=sse&key={other}",
            json={"prompt": f"my key is {other}"},
        )


def test_a_known_key_split_over_the_tokens_of_a_stream_is_not_written(provider):
    key = "sk-" + "split" * 6
    provider.enqueue(chunks=["your key is ", key[:9], key[9:20], key[20:], " indeed"])
    with (
        pytest.raises(CassetteError, match="still contains"),
        open_cassette() as opened,
        httpx.Client() as client,
    ):
        client.post(
            f"{provider.base_url}/chat/completions",
            json={**ASKED, "stream": True},
            headers={"authorization": f"Bearer {key}"},
        )
    assert not opened.path.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("   \n", "is empty"),
        ("version: 1\ninteractions:\n- request:\n    body: 'x", "not a complete cassette"),
        ("version: 1\ninteractions: []\n", "has no digest"),
        ("just words", "structure of a cassette"),
        ("a: &a [1, 2]\nb: *a\n", "aliases are not allowed"),
        ("!!python/object/apply:os.system [true]", "not a complete cassette"),
        ("[" * 5000, "not a complete cassette"),
    ],
)
def test_a_file_that_is_no_whole_cassette_is_stale_and_never_live(provider, content, words):
    path = Path("cassettes/suite/case.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(CassetteStale, match=words), open_cassette("auto"):
        ask(provider.base_url)
    assert not provider.requests
    assert path.read_text() == content


def test_an_edited_cassette_is_stale(provider):
    with open_cassette() as opened:
        ask(provider.base_url)
    written = opened.path.read_text()
    opened.path.write_text(written.replace("You said", "You sang"))
    with pytest.raises(CassetteStale, match="changed after"), open_cassette():
        ask(provider.base_url)
    opened.path.write_text(written)
    with open_cassette():
        ask(provider.base_url)


def test_every_proper_beginning_of_a_cassette_is_stale(provider):
    with open_cassette() as opened:
        ask(provider.base_url)
    whole = opened.path.read_text()
    for end in range(0, len(whole) - 2, 37):
        opened.path.write_text(whole[:end])
        with pytest.raises(CassetteStale), open_cassette():
            pass


def test_a_huge_file_is_refused_before_it_is_read():
    path = Path("cassettes/suite/case.yaml")
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    with pytest.raises(CassetteStale, match="is 50 MB"), open_cassette():
        pass


def test_replay_of_nothing_says_so():
    with pytest.raises(CassetteMissing, match="there is no cassette"), open_cassette("replay"):
        pass


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../out",
        "/etc/passwd",
        "a//b",
        "a/../../b",
        "a\\b",
        "con/x",
        ".hidden",
        "a b",
        "x" * 101,
    ],
)
def test_a_name_cannot_lead_out_of_the_folder(name):
    with pytest.raises(InvalidInput):
        cassette(name)


def test_an_unknown_mode_is_refused():
    with pytest.raises(InvalidInput, match="is not a valid mode"):
        cassette("a/b", mode="once")  # type: ignore[arg-type]


def test_one_cassette_at_a_time_in_a_process(provider):
    with open_cassette():
        ask(provider.base_url)
        with pytest.raises(InvalidInput, match="another one is open"), cassette("a/b", secrets=()):
            pass
    with open_cassette("replay"):
        ask(provider.base_url)


def test_two_processes_cannot_record_the_same_cassette(provider):
    """The second recorder holds a lock of the operating system, as a process would."""
    import subprocess
    import sys

    code = (
        "import sys\nfrom pathlib import Path\n"
        "from toolkit.replay.cassettes.recording_lock import recording_lock\n"
        "with recording_lock(Path('cassettes/suite/case.yaml')):\n"
        "    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    root = str(Path(__file__).resolve().parents[2])
    holder = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": root},
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(CassetteError, match="another process"), open_cassette("record"):
            ask(provider.base_url)
        assert not provider.requests
    finally:
        holder.kill()
        holder.communicate()
    with open_cassette("record"):
        ask(provider.base_url)


def test_an_error_of_our_own_leaves_no_half_cassette(provider):
    with pytest.raises(ZeroDivisionError), open_cassette() as opened:
        ask(provider.base_url)
        _ = 1 / 0
    assert not opened.path.exists()
    assert not list(opened.path.parent.iterdir())


def test_a_failure_of_the_provider_is_what_was_to_be_recorded(provider):
    provider.enqueue(status=401)
    with pytest.raises(AuthenticationFailed), open_cassette() as opened:
        ask(provider.base_url)
        raise AuthenticationFailed("the provider said no")
    assert opened.path.exists()


def test_recording_again_replaces_the_file_only_when_it_is_whole(provider):
    provider.enqueue("before")
    with open_cassette():
        ask(provider.base_url)
    with pytest.raises(ZeroDivisionError), open_cassette("record"):
        ask(provider.base_url)
        _ = 1 / 0
    with open_cassette():
        assert text_of(ask(provider.base_url)) == "before"


def test_nothing_recorded_is_an_error_not_an_empty_file():
    with (
        pytest.raises(CassetteError, match="nothing was recorded"),
        open_cassette("record") as opened,
    ):
        pass
    assert not opened.path.exists()


def test_rows_know_that_they_were_recorded_or_played(provider):
    """The mark is the process's, as the taps are: a thread that was there before sees it."""
    seen: list[str] = []
    looked, go = threading.Event(), threading.Event()

    def look() -> None:
        go.wait(5)
        seen.append(current_source())
        looked.set()

    thread = threading.Thread(target=look)
    thread.start()
    assert current_source() == "live"
    with open_cassette():
        assert current_source() == "record"
        ask(provider.base_url)
    with open_cassette():
        go.set()
        looked.wait(5)
        ask(provider.base_url)
    thread.join()
    assert seen == ["replay"]
    assert current_source() == "live"
