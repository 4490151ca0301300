"""The API as a real server on a real socket, over one scripted provider."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx
import keyring
import pytest
import uvicorn

from tests.api.every_api import gateway, running_gateway
from tests.servers import MockProvider
from toolkit.api.bearer_tokens import BearerTokens
from toolkit.api.http_app import build_app
from toolkit.api.http_server import open_socket, server_config
from toolkit.keys import os_keyring
from toolkit.toolkit import Toolkit, current

__all__ = ["gateway", "running_gateway"]  # fixtures for the tests of this folder


@dataclass
class Served:
    """A running API: its address, its toolkit, a token for everything."""

    url: str
    toolkit: Toolkit
    tokens: BearerTokens
    token: str
    provider: MockProvider

    def ask(self, method: str, path: str, *, token: str | None = None, **options: Any) -> Any:
        headers = {"authorization": f"Bearer {token or self.token}", **options.pop("headers", {})}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, **options)


@pytest.fixture
def served(home, monkeypatch):
    monkeypatch.setattr(os_keyring, "_trusted", {type(keyring.get_keyring())})
    toolkit = current()
    toolkit.settings.make_home()
    tokens = BearerTokens(toolkit.settings.token_path)
    token = tokens.create("test").reveal()
    with MockProvider() as provider:
        toolkit.providers.registry.add(
            "mock", base_url=provider.base_url, is_local=True, needs_key=False, default_model="m"
        )
        listening = open_socket("127.0.0.1", 0)
        server = uvicorn.Server(server_config(build_app(toolkit)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield Served(url=url, toolkit=toolkit, tokens=tokens, token=token, provider=provider)
        server.should_exit = True
        thread.join(10)
        toolkit.close()
