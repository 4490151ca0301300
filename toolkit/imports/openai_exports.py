"""OpenAI's usage and cost exports: sums by day or hour, each read as one row.

The dashboard's CSV and JSON files, and answers of `/v1/organization/usage/...` and
`/v1/organization/costs`. A row stands for many requests: it has the flag `aggregated`, and their
number is its tag `requests`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from toolkit.imports.foreign_file import ForeignFile
from toolkit.imports.imported_call import (
    Findings,
    ImportedCall,
    NotUnderstood,
    find_count,
    find_money,
    model_name,
    require_moment,
)
from toolkit.records import Operation

TOOL: Final = "openai"
_USAGE_SIGNS: Final = frozenset({"start_time", "num_model_requests", "input_tokens"})
_COST_SIGNS: Final = frozenset({"start_time", "amount_value"})
_LEGACY_SIGNS: Final = frozenset({"aggregation_timestamp", "n_requests", "snapshot_id"})
_GROUPS: Final = ("project_id", "batch", "service_tier", "line_item")
_KNOWN: Final = (
    *("object", "start_time", "end_time", "start_time_iso", "end_time_iso", "model", "api_key_id"),
    *("num_model_requests", "input_tokens", "output_tokens", "input_cached_tokens", "user_id"),
    *("amount", "amount_value", "amount_currency", "organization_id", "project_name", "user_email"),
    *("input_uncached_tokens", "input_text_tokens", "output_text_tokens", "api_key_name"),
    *("input_cached_text_tokens", "organization_name", "quantity", "api_key_redacted", *_GROUPS),
)
_IDENTITY: Final = ("model", "api_key_id", "user_id", *_GROUPS)
_KINDS: Final = ("completions", "embeddings")


def recognizes(file: ForeignFile) -> bool:
    """Whether a file is such an export."""
    fields = file.first.keys()
    if fields >= _USAGE_SIGNS or fields >= _COST_SIGNS or fields >= _LEGACY_SIGNS:
        return True
    return any(True for _ in _entries(file.document))


def read(file: ForeignFile) -> Findings:
    """Every sum whose period has ended; a later export has the rest."""
    found = Findings(TOOL)
    now = datetime.now(UTC)
    entries = file.rows or list(_entries(file.document))
    found.read_each(entries, lambda entry: _read_entry(entry, now, found))
    return found


def _entries(document: Any) -> Iterator[Mapping[str, Any]]:
    """The results of all buckets, each with its bucket's times."""
    data = document.get("data") if isinstance(document, Mapping) else None
    for bucket in data if isinstance(data, list) else ():
        if not isinstance(bucket, Mapping):
            continue
        if bucket.get("object") == "bucket":
            times = {name: bucket.get(name) for name in ("start_time", "end_time")}
            yield from ({**times, **result} for result in bucket.get("results") or ())
        elif bucket.keys() >= _LEGACY_SIGNS:
            yield bucket


def _read_entry(entry: Mapping[str, Any], now: datetime, found: Findings) -> ImportedCall | None:
    if "aggregation_timestamp" in entry:
        return _read_legacy(entry)
    found.note_fields(entry, _KNOWN)
    started_at = require_moment(entry["start_time"])
    if entry.get("end_time") not in (None, "") and require_moment(entry["end_time"]) > now:
        raise NotUnderstood("sums of a period that has not ended")
    kind = str(entry.get("object") or "").removeprefix("organization.").split(".")
    tags = {name: str(entry[name]) for name in _GROUPS if entry.get(name) not in (None, "")}
    identity = [str(entry.get(name)) for name in _IDENTITY]
    if "amount" in entry or "amount_value" in entry:
        return _read_cost(entry, started_at, tags, identity)
    if len(kind) > 1 and kind[1] not in _KINDS:
        raise NotUnderstood(f"usage of {kind[1]}, which has no tokens")
    operation: Operation = "embeddings" if kind[1:2] == ["embeddings"] else "chat"
    requests = find_count(entry["num_model_requests"])
    return ImportedCall(
        key="|".join(["usage", operation, started_at.isoformat(), *identity]),
        started_at=started_at,
        model=model_name(str(entry.get("model") or "all-models"), TOOL, TOOL),
        operation=operation,
        input_tokens=find_count(entry.get("input_tokens")),
        output_tokens=find_count(entry.get("output_tokens")),
        cached_input_tokens=find_count(entry.get("input_cached_tokens")),
        tags={**tags, "requests": str(requests)},
        flags=("aggregated",),
    )


def _read_cost(
    entry: Mapping[str, Any], started_at: datetime, tags: dict[str, str], identity: list[str]
) -> ImportedCall | None:
    amount = entry.get("amount")
    if isinstance(amount, Mapping):
        value, currency = amount.get("value"), amount.get("currency")
    else:
        value, currency = entry.get("amount_value"), entry.get("amount_currency")
    if str(currency or "usd").lower() != "usd":
        raise NotUnderstood(f"costs in the currency {currency}")
    cost = find_money(value)
    if cost is None:
        return None
    item = str(entry.get("line_item") or "all-models").partition(",")[0]
    return ImportedCall(
        key="|".join(["cost", started_at.isoformat(), *identity]),
        started_at=started_at,
        model=model_name(item, TOOL, TOOL),
        cost_usd=cost,
        tags=tags,
        flags=("aggregated",),
    )


def _read_legacy(entry: Mapping[str, Any]) -> ImportedCall:
    started_at = require_moment(entry["aggregation_timestamp"])
    model = str(entry["snapshot_id"])
    return ImportedCall(
        key="|".join(["activity", started_at.isoformat(), model, str(entry.get("operation"))]),
        started_at=started_at,
        model=model_name(model, TOOL, TOOL),
        operation="embeddings" if "embedding" in model else "chat",
        input_tokens=find_count(entry.get("n_context_tokens_total")),
        output_tokens=find_count(entry.get("n_generated_tokens_total")),
        tags={"requests": str(entry["n_requests"])},
        flags=("aggregated",),
    )
