"""How scorers and solvers call models: through the run that is being evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Protocol

from toolkit.records import Message, Reply


class ModelClient(Protocol):
    """Calls models on behalf of a run, within its budget."""

    async def complete(self, model: str, messages: Sequence[Message], **params: Any) -> Reply:
        """Call a model and wait for its reply."""

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """One vector for each text."""

    def supports_schema(self, model: str) -> bool:
        """Whether the model is known to accept a JSON schema as `response_format`."""


# Set while a run scores, so that a scorer's calls belong to the run: its origin and its budget.
current_client: ContextVar[ModelClient] = ContextVar("toolkit_eval_client")
