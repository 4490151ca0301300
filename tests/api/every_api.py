"""A running gateway before one provider for each API, and the clients' own packages."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import anthropic
import httpx
import openai
import pytest
import uvicorn

from tests.servers import MockProvider
from toolkit.api.bearer_tokens import BearerTokens
from toolkit.api.http_app import build_app
from toolkit.api.http_server import open_socket, server_config
from toolkit.settings import Settings
from toolkit.toolkit import Toolkit

# type of the provider, path of its base URL, model
PROVIDERS = {
    "openai": ("openai-compatible", "/v1", "m"),
    "responses": ("openai", "/v1", "responses/m"),
    "anthropic": ("anthropic", "", "claude-sonnet-4-5"),
    "gemini": ("gemini", "/v1beta", "gemini-2.5-pro"),
    "converse": ("bedrock", "", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
    "cohere": ("cohere_chat", "", "command-a-reasoning-08-2025"),
    "ollama": ("ollama_chat", "", "qwen3"),
}


@dataclass
class Gateway:
    """A running gateway before one provider for each API."""

    url: str
    token: str
    provider: MockProvider
    toolkit: Toolkit

    @cached_property
    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.url + "/v1", api_key=self.token, max_retries=0)

    @cached_property
    def claude(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key=self.token, max_retries=0)

    def post(self, path: str, body: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.post(self.url + path, json=body, headers=headers, timeout=60)


@contextmanager
def served_by_thread(toolkit: Toolkit) -> Iterator[str]:
    """The API of a toolkit, as a server in a thread of this process; gives its address."""
    listening = open_socket("127.0.0.1", 0)
    server = uvicorn.Server(server_config(build_app(toolkit)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def running_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with pytest.MonkeyPatch.context() as patch, MockProvider() as provider:
        for name in [name for name in os.environ if name.startswith(("TOOLKIT_", "AWS_"))]:
            patch.delenv(name)
        home = tmp_path_factory.mktemp("home")
        identity = home / "credentials"
        identity.write_text(f"[default]\naws_access_key_id={'A' * 20}\naws_secret_access_key=s\n")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(identity))
        patch.setenv("AWS_REGION", "us-east-1")
        settings = Settings(home=home, health_interval_s=0)
        settings.make_home()
        toolkit = Toolkit(settings=settings)
        for name, (kind, path, model) in PROVIDERS.items():
            toolkit.providers.registry.add(
                name,
                type=kind,
                base_url=provider.origin + path,
                is_local=True,
                needs_key=False,
                max_retries=0,
                default_model=model,
            )
        token = BearerTokens(settings.token_path).create("test").reveal()
        with served_by_thread(toolkit) as url:
            yield Gateway(url, token, provider, toolkit)
        toolkit.close()


@pytest.fixture
def gateway(running_gateway: Gateway) -> Gateway:
    """The gateway of the test's file, without what earlier tests have scripted and broken."""
    running_gateway.provider.forget()
    running_gateway.toolkit.client._policy._gate._breakers.clear()
    return running_gateway


def model_of(api: str) -> str:
    return f"{api}/{PROVIDERS[api][2]}"
