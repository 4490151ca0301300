"""The client of an eval run: the call path, one budget for the run, and answers to reuse."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from toolkit.calls.chat_request import build_request
from toolkit.evals.running.dependencies import EvalDependencies
from toolkit.pricing.budget import Cap
from toolkit.records import ChatRequest, Message, Receipt, Reply, Timing, Usage
from toolkit.store.queries.evals import first_answers


class EvalClient:
    """Sends the requests of one run.

    Args:
        deps: the parts of the toolkit that are used.
        run_id: becomes `origin_id` of every call.
        cap_usd: the most that the run may spend, USD, earlier parts of a resumed run included;
            None: no cap.
        cached_models: reuse answers that these models gave earlier to exactly the same request.
    """

    def __init__(
        self,
        deps: EvalDependencies,
        run_id: str,
        cap_usd: Decimal | None = None,
        cached_models: Iterable[str] = (),
    ) -> None:
        self._deps = deps
        self._run_id = run_id
        self._schema_support: dict[str, bool] = {}
        if cap_usd is not None:
            deps.budgets().set(Cap(kind="run", name=run_id, limit_usd=cap_usd, period="ever"))
        rows = first_answers(deps.store, tuple(cached_models))
        self._earlier = {_fingerprint(r["model"], r["messages"], r["params"]): r for r in rows}

    async def complete(self, model: str, messages: Sequence[Message], **params: Any) -> Reply:
        """Call a model, unless an earlier answer is reused.

        Raises:
            BudgetExceeded: the run's cap would be passed; nothing was sent.
            ToolkitError: what went wrong; every attempt has its row.
        """
        options = {**params, "origin": "eval", "origin_id": self._run_id}
        request = build_request(model, list(messages), options)
        kept = self._earlier.get(_fingerprint(model, request.messages, request.params))
        if kept is not None:
            return _replay(kept, request)
        return await self._deps.client().complete(request)

    async def embed(self, model: str, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Turn texts into vectors.

        Raises:
            ToolkitError: what went wrong.
        """
        embedding = await self._deps.embed(
            model, list(texts), origin="eval", origin_id=self._run_id
        )
        vectors: Sequence[Sequence[float]] = embedding.vectors
        return vectors

    def supports_schema(self, model: str) -> bool:
        """Whether the catalog says that the model accepts a JSON schema."""
        if model not in self._schema_support:
            capabilities = self._deps.capabilities_of(model)
            self._schema_support[model] = "json_schema" in capabilities
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
