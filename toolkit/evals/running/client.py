"""What an evaluation asks with: the call path, one cap for the whole run, and answers kept."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from toolkit.calls.chat_request import build_request
from toolkit.errors import InvalidInput, ToolkitError
from toolkit.pricing.budget import Cap
from toolkit.records import ChatRequest, Message, Receipt, Reply, Timing, Usage

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit

_EARLIER = """
    SELECT model, messages, params, output_text, call_id, request_id, input_tokens, output_tokens,
           usage_source, finish_reason, ttft_ms, duration_ms
    FROM calls
    WHERE status = 'ok' AND source = 'live' AND operation = 'chat' AND origin = 'eval'
      AND output_text IS NOT NULL AND messages IS NOT NULL AND list_contains(?, model)
    QUALIFY row_number() OVER (PARTITION BY model, messages, params ORDER BY started_at) = 1"""


class EvalClient:
    """Asks for one run.

    Args:
        toolkit: the toolkit.
        run_id: becomes `origin_id` of every call.
        cap_usd: the most that the run may spend, USD, earlier parts of a resumed run included;
            None: no cap.
        cached_models: take answers that these models gave earlier to exactly the same request.
    """

    def __init__(
        self,
        toolkit: Toolkit,
        run_id: str,
        cap_usd: Decimal | None = None,
        cached_models: Iterable[str] = (),
    ) -> None:
        self._toolkit = toolkit
        self._run_id = run_id
        self._schema_support: dict[str, bool] = {}
        if cap_usd is not None:
            toolkit.budgets.set(Cap(kind="run", name=run_id, limit_usd=cap_usd, period="ever"))
        rows = toolkit.store.rows(_EARLIER, [list(cached_models)]) if cached_models else []
        self._earlier = {_fingerprint(r["model"], r["messages"], r["params"]): r for r in rows}

    async def complete(self, model: str, messages: Sequence[Message], **params: Any) -> Reply:
        """Ask a model, unless the answer is kept.

        Raises:
            BudgetExceeded: the run's cap would be passed; nothing was sent.
            ToolkitError: what went wrong; every attempt has its row.
        """
        options = {**params, "origin": "eval", "origin_id": self._run_id}
        request = build_request(model, list(messages), options)
        kept = self._earlier.get(_fingerprint(model, request.messages, request.params))
        if kept is not None:
            return _replay(kept, request)
        return await self._toolkit.client.complete(request)

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Turn texts into vectors.

        Raises:
            ToolkitError: what went wrong.
        """
        embed = getattr(self._toolkit, "aembed", None)
        if embed is None:
            raise InvalidInput("this toolkit cannot embed", model=model)
        embedding = await embed(model, list(texts), origin="eval", origin_id=self._run_id)
        vectors: Sequence[Sequence[float]] = embedding.vectors
        return vectors

    def supports_schema(self, model: str) -> bool:
        """Whether the catalog says that the model accepts a JSON schema."""
        if model not in self._schema_support:
            try:
                capabilities = self._toolkit.catalog.show(model)["capabilities"]
            except ToolkitError:
                capabilities = ()
            self._schema_support[model] = "json_schema" in (capabilities or ())
        return self._schema_support[model]


def _fingerprint(model: str, messages: Any, params: Any) -> str:
    messages, params = (
        json.loads(value) if isinstance(value, str) else value for value in (messages, params)
    )
    kept: Mapping[str, Any] = params or {}
    return json.dumps([model, list(messages), dict(kept)], sort_keys=True, default=str)


def _replay(row: Mapping[str, Any], request: ChatRequest) -> Reply:
    """An earlier answer as a reply, with the timing it had then; it costs nothing now."""
    return Reply(
        text=row["output_text"],
        usage=Usage(
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            source=row["usage_source"],
        ),
        finish_reason=row["finish_reason"],
        receipt=replace(Receipt(), note="taken from an earlier call"),
        timing=replace(Timing(), ttft_ms=row["ttft_ms"], duration_ms=row["duration_ms"]),
        call_id=row["call_id"],
        request_id=row["request_id"],
        model=request.model,
        flags=("cached",),
    )
