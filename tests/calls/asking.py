"""A client over a local server, with its rows kept in a list instead of a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.calls.chat_request import build_request
from toolkit.calls.client import Client
from toolkit.keys.service import ResolvedKey
from toolkit.providers.provider import Provider
from toolkit.records import Call, ChatRequest
from toolkit.secret import Secret
from toolkit.settings import Settings

KEY = "sk-" + "q" * 40
TYPES = {"openai": "openai-compatible", "anthropic": "anthropic", "gemini": "gemini"}
PATHS = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta"}


def quick_settings(**changes: Any) -> Settings:
    """No retries, and deadlines that a busy machine keeps; `changes` shorten them."""
    values = {
        "connect_timeout_s": 10.0,
        "first_token_timeout_s": 60.0,
        "chunk_timeout_s": 30.0,
        "total_timeout_s": 120.0,
        "max_retries": 0,
        **changes,
    }
    return Settings(**values)


def make_provider(base_url: str, style: str = "openai", **changes: Any) -> Provider:
    """A local provider of a style."""
    values: dict[str, Any] = {"name": "mock", "type": TYPES.get(style, style), "is_local": True}
    return Provider(base_url=base_url, **{**values, **changes})


@dataclass
class Asking:
    """A client for one provider, and the rows that it has written."""

    provider: Provider
    settings: Settings = field(default_factory=quick_settings)
    key: str | None = KEY
    calls: list[Call] = field(default_factory=list)
    record: Callable[[Call], None] | None = None
    processors: Sequence[Any] = ()

    def __post_init__(self) -> None:
        self.client = Client(
            settings=self.settings,
            resolve=lambda model: (self.provider, model.split("/", 1)[1]),
            key_for=self._key_for,
            record=self.record or self.calls.append,
            processors=self.processors,
        )

    def _key_for(self, provider: Provider, explicit: Secret | None) -> ResolvedKey | None:
        if explicit is None and self.key is None:
            return None
        secret = explicit or Secret(self.key or "")
        return ResolvedKey(secret=secret, source="argument", name="default", fingerprint="f" * 8)

    def request(
        self, prompt: Any = "hello", *, stream: bool = False, **options: Any
    ) -> ChatRequest:
        return build_request("mock/m", prompt, options, stream=stream)

    async def complete(self, prompt: Any = "hello", **options: Any) -> Any:
        return await self.client.complete(self.request(prompt, **options))

    def stream(self, prompt: str = "hello", **options: Any) -> Any:
        return self.client.stream(self.request(prompt, stream=True, **options))


def asking(base_url: str, style: str = "openai", **changes: Any) -> Asking:
    """A client for a server of a style."""
    return Asking(make_provider(base_url, style), **changes)
