"""The spend logs of litellm's proxy: rows of `LiteLLM_SpendLogs`, as JSON, JSON lines or CSV.

`GET /spend/logs`, `GET /spend/logs/ui` and a copy of the table have the same fields. The hash of
the caller's key and the rest of `metadata`, which names people, is not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from toolkit.imports.foreign_file import ForeignFile
from toolkit.imports.imported_call import (
    Findings,
    ImportedCall,
    find_count,
    find_money,
    model_name,
    require_moment,
)
from toolkit.records import Operation

TOOL: Final = "litellm"
_SIGNS: Final = frozenset({"request_id", "call_type", "spend", "startTime"})
_KNOWN: Final = (
    *("request_id", "call_type", "spend", "total_tokens", "prompt_tokens", "completion_tokens"),
    *("startTime", "endTime", "completionStartTime", "model", "model_id", "model_group"),
    *("custom_llm_provider", "metadata", "cache_hit", "request_tags", "messages", "response"),
    *("status", "session_id", "api_key", "user", "end_user", "requester_ip_address", "api_base"),
    *("cache_key", "team_id", "organization_id", "request_duration_ms", "litellm_call_id"),
    *("proxy_server_request", "mcp_namespaced_tool_name", "agent_id", "billing_agent_id"),
    *("created_at", "updated_at"),
)
_EMBEDDINGS: Final = ("embedding", "aembedding")
_CHAT: Final = (
    *("completion", "acompletion", "text_completion", "atext_completion", ""),
    *("responses", "aresponses", "anthropic_messages", "generate_content", "agenerate_content"),
)


def recognizes(file: ForeignFile) -> bool:
    """Whether a file holds such rows."""
    return file.first.keys() >= _SIGNS or bool(_paged(file.document))


def read(file: ForeignFile) -> Findings:
    """Every row for a model call."""
    found = Findings(TOOL)
    found.read_each(_paged(file.document) or file.rows, lambda row: _read_row(row, found))
    return found


def _paged(document: Any) -> list[Any]:
    """The rows of a page of `/spend/logs/ui`; empty for anything else."""
    if isinstance(document, Mapping) and isinstance(data := document.get("data"), list):
        first = data[0] if data else None
        if isinstance(first, Mapping) and first.keys() >= _SIGNS:
            return data
    return []


def _read_row(row: Mapping[str, Any], found: Findings) -> ImportedCall | None:
    found.note_fields(row, _KNOWN)
    kind = str(row["call_type"] or "")
    if kind not in (*_CHAT, *_EMBEDDINGS):
        found.skipped[f"calls of the kind {kind!a}"] += 1
        return None
    if str(row.get("cache_hit")).lower() == "true":
        found.skipped["answers from litellm's cache, for which no provider was called"] += 1
        return None
    begun = require_moment(row["startTime"])
    metadata = _decoded(row.get("metadata")) or {}
    failed = str(row.get("status") or metadata.get("status") or "success") != "success"
    error = metadata.get("error_information") or {}
    answer = _decoded(row.get("response"))
    operation: Operation = "embeddings" if kind in _EMBEDDINGS else "chat"
    return ImportedCall(
        key=str(row["request_id"]),
        started_at=begun,
        model=model_name(str(row["model"]), row.get("custom_llm_provider") or None, TOOL),
        operation=operation,
        status="error" if failed else "ok",
        error_code="LITELLM_ERROR" if failed else None,
        error_message=str(error.get("error_message") or "")[:2_000] or None if failed else None,
        input_tokens=None if failed else find_count(row.get("prompt_tokens")),
        output_tokens=None if failed else find_count(row.get("completion_tokens")),
        cost_usd=find_money(row.get("spend")),
        duration_ms=_since(begun, row.get("endTime")),
        ttft_ms=_first_token(begun, row),
        messages=_messages(row),
        output_text=_answer_text(answer),
        finish_reason=_finish_reason(answer),
        tags=_tags(row),
    )


def _decoded(value: Any) -> Any:
    """JSON columns come as values or as text, depending on the way out of the database."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping | list) else None


def _since(begun: datetime, moment: Any) -> float | None:
    if moment in (None, ""):
        return None
    return (require_moment(moment) - begun).total_seconds() * 1000


def _first_token(begun: datetime, row: Mapping[str, Any]) -> float | None:
    """litellm writes the end also as the start of the answer where nothing was streamed."""
    moment = row.get("completionStartTime")
    return None if moment == row.get("endTime") else _since(begun, moment)


def _messages(row: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The conversation; newer versions keep it only in the body that the proxy received."""
    body = _decoded(row.get("proxy_server_request")) or {}
    asked = body.get("input") if isinstance(body, Mapping) else None
    if isinstance(asked, str):
        return [{"role": "user", "content": asked}]
    own = _decoded(row.get("messages"))
    items = own or (isinstance(body, Mapping) and body.get("messages")) or asked
    items = items if isinstance(items, list) else []
    return [item for item in items if isinstance(item, Mapping)] or None


def _choice(answer: Any) -> Mapping[str, Any]:
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else {}


def _answer_text(answer: Any) -> str | None:
    content = (_choice(answer).get("message") or {}).get("content")
    if isinstance(content, str):
        return content
    output = answer.get("output") if isinstance(answer, Mapping) else None
    texts = [  # of the Responses API
        str(part.get("text") or "")
        for item in (output if isinstance(output, list) else ())
        for part in item.get("content") or ()
        if part.get("type") == "output_text"
    ]
    return "".join(texts) or None


def _finish_reason(answer: Any) -> str | None:
    reason = _choice(answer).get("finish_reason")
    return reason if isinstance(reason, str) else None


def _tags(row: Mapping[str, Any]) -> dict[str, str]:
    tags = {}
    if row.get("model_group"):
        tags["model_group"] = str(row["model_group"])
    if row.get("session_id"):
        tags["session"] = str(row["session_id"])
    for name in _decoded(row.get("request_tags")) or ():
        tags[f"tag:{name}"] = "yes"
    return tags
