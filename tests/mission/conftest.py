"""A provider that wants a key, and the API over the home of the test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keyring
import pytest
from starlette.testclient import TestClient

from tests.catalog.listing_server import Answer as Listed
from tests.catalog.listing_server import Asked, ListingServer
from tests.servers import Answer, MockProvider
from tests.servers.dialects import whole
from toolkit import toolkit as toolkit_module
from toolkit.api.bearer_tokens import BearerTokens
from toolkit.api.http_app import build_app
from toolkit.keys import os_keyring
from toolkit.toolkit import current

KEY = "sk-" + "k" * 40
WRONG = "sk-" + "w" * 40


class StrictProvider:
    """A provider that lists its models and answers only to the right key.

    Attributes:
        server: what it received is in `server.asked`.
        key: the key that it accepts.
        base_url: its address.
    """

    def __init__(self, server: ListingServer) -> None:
        self.server = server
        self.key = KEY
        self.models: list[dict[str, Any]] = [{"id": "small"}, {"id": "large"}]
        self.text = "works"
        server.routes["/v1/models"] = self._list
        server.routes["/v1/chat/completions"] = self._answer

    @property
    def base_url(self) -> str:
        return f"{self.server.origin}/v1"

    def _refusal(self, asked: Asked) -> Listed | None:
        if asked.headers.get("authorization") == f"Bearer {self.key}":
            return None
        return Listed({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, 401)

    def _list(self, asked: Asked) -> Listed:
        return self._refusal(asked) or Listed({"object": "list", "data": self.models})

    def _answer(self, asked: Asked) -> Listed:
        answer = whole(Answer(text=self.text), "openai", asked.body or {}, "id")
        return self._refusal(asked) or Listed(answer)


@pytest.fixture(autouse=True)
def trusted_keyring(home: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The in-memory keyring of this test run counts as a known one."""
    monkeypatch.setattr(os_keyring, "_trusted", {type(keyring.get_keyring())})


@pytest.fixture
def strict() -> Iterator[StrictProvider]:
    with ListingServer() as server:
        yield StrictProvider(server)


@pytest.fixture
def mock() -> Iterator[MockProvider]:
    """A scripted provider, saved as `mock`."""
    with MockProvider(Answer(text="works")) as server:
        current().providers.registry.add(
            "mock", base_url=server.base_url, is_local=True, needs_key=False, default_model="m"
        )
        yield server


class Api:
    """The HTTP API and gateway, asked without a socket."""

    def __init__(self) -> None:
        toolkit = current()
        toolkit.settings.make_home()
        token = BearerTokens(toolkit.settings.token_path).create("test").reveal()
        headers = {"authorization": f"Bearer {token}", "host": "127.0.0.1"}
        self._client = TestClient(build_app(toolkit), headers=headers)

    def __call__(self, method: str, path: str, **body: Any) -> Any:
        """Send a JSON body and return the answer's JSON; anything but success fails the test."""
        answer = self.raw(method, path, **body)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def raw(self, method: str, path: str, **body: Any) -> Any:
        """Send a JSON body and return the whole answer."""
        return self._client.request(method, path, json=body or None)


@pytest.fixture
def api(home: object) -> Api:
    return Api()


def reopen() -> None:
    """Close the toolkit of this home, so that the next use reads everything from its files."""
    current().close()
    toolkit_module._open.cache_clear()
