"""How scorers and solvers call models: through the run that is being evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from toolkit.records import Message, Reply


class RunClient(Protocol):
    """Calls models on behalf of a run, within its budget."""

    async def complete(self, model: str, messages: Sequence[Message], **params: Any) -> Reply:
        """Call a model and wait for its reply."""

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text."""

    def supports_schema(self, model: str) -> bool:
        """Whether the model is known to accept a JSON schema as `response_format`."""


class TaggingClient:
    """A client whose calls carry tags, so that each is found again by its sample.

    Args:
        client: sends the requests.
        tags: of every call.
    """

    def __init__(self, client: RunClient, tags: Mapping[str, str]) -> None:
        self._client = client
        self._tags = dict(tags)

    async def complete(self, model: str, messages: Sequence[Message], **params: Any) -> Reply:
        """Call a model and wait for its reply."""
        params["tags"] = {**self._tags, **(params.get("tags") or {})}
        return await self._client.complete(model, messages, **params)

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text."""
        return await self._client.embed(model, texts)

    def supports_schema(self, model: str) -> bool:
        """Whether the model is known to accept a JSON schema as `response_format`."""
        return self._client.supports_schema(model)


# Set while a run scores, so that a scorer's calls belong to the run: its origin and its budget.
current_client: ContextVar[RunClient] = ContextVar("toolkit_eval_client")
