"""The four checks against real servers: what works, what is refused, what nobody can tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.catalog.listing_server import ListingServer
from tests.servers.threaded import QuietHandler, ThreadedServer
from toolkit.errors import (
    AuthenticationFailed,
    InvalidRequest,
    ModelNotFound,
    RateLimited,
    ServerError,
)
from toolkit.health.connection_checks import MAX_TOKENS, probe_provider
from toolkit.providers.provider import Provider
from toolkit.secret import Secret
from toolkit.settings import Settings

KEY = Secret("sk-" + "g" * 40)
LISTING = json.dumps({"object": "list", "data": [{"id": "small"}, {"id": "large"}]})
Respond = Callable[[str, str | None], tuple[int, str]]


class Server(ThreadedServer):
    """Answers GET by a function of path and bearer key; counts what was asked."""

    def __init__(self, respond: Respond) -> None:
        asked = self.asked = []

        class Handler(QuietHandler):
            def do_GET(self):
                sent = (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
                asked.append((self.path, sent))
                status, body = respond(self.path, sent)
                self.answer(
                    body.encode(), status, {"location": body} if 300 <= status < 400 else None
                )

        super().__init__(Handler)
        self.url = f"{self.origin}/v1"
        self.start()


@pytest.fixture
def serve():
    running = []

    def start(respond: Respond) -> Server:
        running.append(Server(respond))
        return running[-1]

    yield start
    for server in running:
        server.stop()


def guarded(path, key):
    """A server that lists its models with the right key only."""
    return (200, LISTING) if key == KEY.reveal() else (401, '{"error": {"message": "bad key"}}')


def probe(url: str, key: Secret | None = KEY, *, options=None, **fields):
    provider = Provider(
        name="corp", base_url=url, **{"is_local": True, "default_model": "small", **fields}
    )
    return asyncio.run(
        probe_provider(provider, key, settings=Settings(), **(options or {})),
    )


def answers(result) -> tuple[str, ...]:
    short = {"works": "+", "refused": "-", "could_not_check": "?"}
    return "".join(short[check.answer] for check in result.checks)


def test_a_good_provider_works_on_three_rungs_for_free(serve):
    server = serve(guarded)
    result = probe(server.url)
    assert answers(result) == "+++?"
    assert result.is_good
    assert result.models == ("small", "large")
    assert result.latency_ms > 0
    assert "--call" in result.model.hint
    assert {path for path, _ in server.asked} == {"/v1/models"}


@pytest.mark.parametrize("path", ["/api/tags", "/v1/models"])
def test_a_probe_of_ollama_lists_and_asks_about_no_single_model(path):
    models = [{"name": f"m{n}:1b", "model": f"m{n}:1b", "id": f"m{n}:1b"} for n in range(50)]
    with ListingServer() as server:
        server.put(path, {"models" if path == "/api/tags" else "data": models})
        server.put("/api/show", {"capabilities": ["completion"]})
        result = probe(server.origin, None, options={"verify_key": False}, type="ollama",
                       needs_key=False, default_model="m7:1b")  # fmt: skip
    assert answers(result) == "+++?"
    assert len(result.models) == 50
    asked = [(one.method, one.path) for one in server.asked]
    assert asked == [("GET", p) for p in ("/api/tags", "/v1/models")[: 1 + (path == "/v1/models")]]


def test_a_wrong_key_is_refused_and_not_repeated(serve):
    wrong = Secret("sk-" + "w" * 40)
    echo = serve(lambda path, key: (401, json.dumps({"error": {"message": f"bad key {key}"}})))
    result = probe(echo.url, wrong)
    assert answers(result) == "++-?"
    assert wrong.reveal() not in json.dumps(result.as_dict())


def test_a_listing_that_anybody_gets_says_nothing_of_the_key(serve):
    result = probe(serve(lambda path, key: (200, LISTING)).url)
    assert answers(result) == "++??"
    assert "without a key" in result.key.reason
    assert not result.is_good


def test_the_extra_question_can_be_left_out(serve):
    server = serve(lambda path, key: (200, LISTING))
    result = probe(server.url, options={"verify_key": False})
    assert answers(result) == "+++?"
    assert len(server.asked) == 1


def test_a_free_check_of_keys_is_used_where_there_is_one(serve):
    def respond(path, key):
        if path == "/v1/key":
            return (200, "{}") if key == KEY.reveal() else (401, "{}")
        return 200, LISTING

    server = serve(respond)
    assert answers(probe(server.url, key_check_path="/key")) == "+++?"
    assert answers(probe(server.url, Secret("x" * 30), key_check_path="/key")) == "++-?"


def test_no_key_where_one_is_needed_is_no_refusal(serve):
    server = serve(guarded)
    result = probe(server.url, None)
    assert answers(result) == "++??"
    assert "keys set corp" in result.key.hint
    assert answers(probe(server.url, None, needs_key=False)) == "++-?"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, '{"error": {"message": "no right to list"}}', "++??"),
        (429, "{}", "++??"),
        (404, '{"error": {"message": "no such path"}}', "++??"),
        (500, "{}", "+-??"),
        (503, "busy", "+-??"),
        (200, "<!doctype html><title>Sign in</title>", "+-??"),
        (200, "", "+-??"),
        (200, '{"hello": 1}', "+???"),
        (302, "https://elsewhere.example/v1/models", "+-??"),
    ],
)
def test_each_way_to_fail_is_its_own_answer(serve, status, body, expected):
    result = probe(serve(lambda path, key: (status, body)).url)
    assert answers(result) == expected
    assert result.error is not None


def test_nobody_there(serve):
    server = serve(guarded)
    server.stop()
    result = probe(server.url)
    assert answers(result) == "+-??"
    assert result.error.blame == "network"


def test_a_redirect_is_not_followed_with_the_key(serve):
    thief = serve(lambda path, key: (200, LISTING))
    server = serve(lambda path, key: (307, thief.url + "/models"))
    assert probe(server.url).reachable.answer == "refused"
    assert thief.asked == []


@pytest.mark.parametrize(
    ("url", "local"),
    [("https://169.254.169.254", True), ("http://127.0.0.1:9999", False), ("", True)],
)
def test_a_forbidden_address_is_not_asked(url, local):
    result = probe(url, is_local=local)
    assert answers(result) == "-???"
    assert result.latency_ms is None


def test_an_unknown_host_could_not_be_checked_and_is_not_reachable():
    assert answers(probe("https://no-such-host.invalid/v1", is_local=False)) == "?-??"


def test_a_model_that_is_not_listed_is_told_with_close_names(serve):
    result = probe(serve(guarded).url, default_model="smal")
    assert result.model.answer == "could_not_check"
    assert "small" in result.model.hint


def test_a_call_is_made_only_when_asked_for_and_with_room_to_think(serve):
    asked = []

    async def ask(model, params):
        asked.append((model, dict(params)))

    server = serve(guarded)
    probe(server.url, options={"ask": ask})
    assert asked == []
    result = probe(server.url, options={"ask": ask, "call": True})
    assert answers(result) == "++++"
    assert asked == [("small", {"max_tokens": MAX_TOKENS})]
    assert MAX_TOKENS >= 1024


def test_a_call_proves_the_key_where_the_listing_could_not(serve):
    async def ask(model, params):
        pass

    server = serve(lambda path, key: (200, LISTING))
    assert answers(probe(server.url, options={"ask": ask, "call": True})) == "++++"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModelNotFound("no such model"), "+++-"),
        (AuthenticationFailed("bad key"), "++-?"),
        (RateLimited("slow down"), "+++?"),
        (ServerError("busy"), "+++?"),
        (InvalidRequest("no"), "+++-"),
    ],
    ids=lambda value: getattr(value, "code", value),
)
def test_what_a_failed_call_says(serve, error, expected):
    async def ask(model, params):
        raise error

    assert answers(probe(serve(guarded).url, options={"ask": ask, "call": True})) == expected


def test_a_model_with_another_name_for_the_limit_is_asked_again(serve):
    asked = []

    async def ask(model, params):
        asked.append(dict(params))
        if "max_tokens" in params:
            raise InvalidRequest("no", provider_message="Use 'max_completion_tokens' instead.")

    result = probe(serve(guarded).url, options={"ask": ask, "call": True})
    assert answers(result) == "++++"
    assert asked == [{"max_tokens": MAX_TOKENS}, {"max_completion_tokens": MAX_TOKENS}]
