"""The API as a real server on a real socket, over one scripted provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import keyring
import pytest

from tests.api.every_api import gateway, running_gateway, served_by_thread
from tests.servers import MockProvider
from toolkit.api.bearer_tokens import BearerTokens
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
        with served_by_thread(toolkit) as url:
            yield Served(url=url, toolkit=toolkit, tokens=tokens, token=token, provider=provider)
        toolkit.close()
