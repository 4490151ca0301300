"""One probe of one provider, as rows: the free listing first, then, where the budget allows it, one
small completion and a streamed one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from toolkit.errors import BudgetExceeded, KeyRequired, ToolkitError
from toolkit.health.connection_checks import MAX_TOKENS, probe_provider
from toolkit.health.evidence import error_columns
from toolkit.pricing.receipts import charge
from toolkit.records import Call, ChatRequest

if TYPE_CHECKING:
    from toolkit.calls.client import Client
    from toolkit.health.health_host import HealthHost
    from toolkit.keys.service import ResolvedKey
    from toolkit.providers.checks import ProbeResult
    from toolkit.providers.provider import Provider

_ASKED: Final = "Answer with the one word: works"
_INPUT_TOKENS: Final = 64
_DEADLINE_S: Final = 60.0
_RESTS: Final = "the built-in server is stopped; it starts on the first call"
_KEY_WORDS: Final = re.compile(r"(?i)api[ _-]?key|credential|unauthori[sz]ed|authenticat")

Row = dict[str, Any]


async def probe_listing(
    host: HealthHost, provider: Provider, at: datetime, *, is_manual: bool = True
) -> Row:
    """Request the free listing; twice if there was no answer: one lost packet is not an outage.

    Returns:
        The row of `probes`, without outcome and state.
    """
    blank = _blank(provider, at, "list", is_manual)
    if await asyncio.to_thread(_is_resting, host, provider.name):
        return {**blank, "status": "skipped", "error_message": _RESTS}
    try:
        result = await _list(host, provider, is_manual)
        if result.reachable.answer == "refused":
            result = await _list(host, provider, is_manual)
    except ToolkitError as error:
        return {**blank, "status": "error", **error_columns(error)}
    values = {"latency_ms": result.latency_ms, "details": {"checks": result.as_dict()["checks"]}}
    return {**blank, **values, **_failure_of(result)}


def _is_resting(host: HealthHost, provider: str) -> bool:
    """Whether it is the built-in server while it is not needed: that is not an outage."""
    return host.providers.registry.is_built_in(provider) and host.local.status() is None


async def _list(host: HealthHost, provider: Provider, is_manual: bool) -> ProbeResult:
    """Request without a key only if the provider's key check needs it."""
    provider = host.providers.registry.locate(provider)
    trouble: KeyRequired | None = None
    try:
        key = await asyncio.to_thread(host.keys.resolve, provider, None)
    except KeyRequired as error:
        key, trouble = None, error
    verifies = is_manual or provider.key_check_path is not None
    secret = None if key is None else key.secret
    result = await probe_provider(provider, secret, settings=host.settings, verify_key=verifies)
    if trouble is not None:
        check = replace(
            result.key, answer="could_not_check", reason=trouble.message, hint=trouble.hint
        )
        return replace(result, key=check, error=result.error or trouble)
    if key is not None and key.source != "argument" and (verifies or _is_refused(result)):
        await asyncio.to_thread(
            host.keys.note_check, key.fingerprint, result.key.answer, result.key.reason
        )
    return result


def _is_refused(result: ProbeResult) -> bool:
    return result.key.answer == "refused"


def _failure_of(result: ProbeResult) -> Row:
    """The columns of a listing that failed; empty if the provider answered normally."""
    error = result.error
    bad = next((check for check in result.checks[:3] if check.answer == "refused"), None)
    if bad is not None:
        row: Row = {"status": "error", "error_message": bad.reason}
        if error is not None:
            row |= error_columns(error)
        elif bad.question == "key":
            row |= {"error_code": "AUTHENTICATION_FAILED", "blame": "client"}
        else:
            row |= {"blame": "network"}
        return row
    if error is None or error.cause not in ("rate_limited", "error_in_body", "no_list"):
        return {}
    if error.cause == "error_in_body" and _KEY_WORDS.search(error.provider_message or ""):
        return {"status": "error", **error_columns(error), "error_cause": "auth", "blame": "client"}
    status = "skipped" if error.cause == "no_list" else "error"
    return {"status": status, **error_columns(error)}


async def probe_calls(
    host: HealthHost, provider: Provider, at: datetime, left_usd: Decimal
) -> list[Row]:
    """Call the provider's default model, whole and then streamed, as far as the budget allows.

    Returns:
        Rows of `probes` (kind `call`, `stream`), without outcome and state; none if the model has
        no known price (unless it is local) or the worst case exceeds what is left of any budget.
    """
    model = provider.default_model
    if model is None:
        return []
    try:
        key = await asyncio.to_thread(host.keys.resolve, provider, None)
    except KeyRequired:
        return []
    name = f"{provider.name}/{model}"
    await host.prices.prepare(name)
    tokens = await asyncio.to_thread(_tokens_for, provider, model)
    reserved = _worst_case(host, provider, model, tokens)
    rows, left = list[Row](), left_usd
    for kind in ("call", "stream"):
        if reserved is None or reserved > left:
            break
        try:
            row = await _ask(host, provider, key, kind=kind, at=at, tokens=tokens)
        except BudgetExceeded:
            break  # another budget has less left; that shows nothing about the provider
        row["details"] = {"reserved_usd": str(reserved)}
        rows.append(row)
        left -= reserved if row["cost_usd"] is None else row["cost_usd"]
        if row["status"] != "ok":
            break
    return rows


async def _ask(
    host: HealthHost,
    provider: Provider,
    key: ResolvedKey | None,
    *,
    kind: str,
    at: datetime,
    tokens: int,
) -> Row:
    asked = replace(provider, max_retries=0, timeout_s=_DEADLINE_S)
    request = ChatRequest(
        request_id=str(uuid7()),
        model=f"{provider.name}/{provider.default_model}",
        messages=({"role": "user", "content": _ASKED},),
        params={"max_tokens": tokens},
        stream=kind == "stream",
        origin="health",
    )
    calls: list[Call] = []
    client = _client_for(host, asked, key, calls)
    row = {**_blank(provider, at, kind, False), "model": request.model}
    try:
        if kind == "stream":
            stream = client.stream(request)
            async for _ in stream:
                pass
        else:
            await client.complete(request)
    except ToolkitError as error:
        if isinstance(error, BudgetExceeded) and not calls:
            raise
        row |= {"status": "error", **error_columns(error)}
    finally:
        await client.aclose()
    return row | _measured(calls)


def _measured(calls: list[Call]) -> Row:
    """The cost of all `calls` of a probe, and the timing of the last one."""
    if not calls:
        return {}
    last = calls[-1]
    costs = [call.cost_usd for call in calls if call.cost_usd is not None]
    return {
        "call_id": last.call_id,
        "latency_ms": last.duration_ms,
        "ttft_ms": last.ttft_ms,
        "cost_usd": sum(costs, Decimal(0)) if len(costs) == len(calls) else None,
    }


def _client_for(
    host: HealthHost, provider: Provider, key: ResolvedKey | None, calls: list[Call]
) -> Client:
    """A client for this probe: no retries, prices of the catalog, the daily budget."""
    from toolkit.calls.client import Client

    def record(call: Call) -> None:
        calls.append(call)
        host.record(call)

    return Client(
        settings=host.settings,
        resolve=lambda model: (provider, model.partition("/")[2]),
        key_for=lambda *_: key,
        record=record,
        prices_for=host.prices.prices_for,
        processors=host.processors,
    )


def _tokens_for(provider: Provider, model: str) -> int:
    """Output tokens: as many as a reasoning model needs, unless it is known not to be one."""
    from toolkit.catalog.sources import litellm_map
    from toolkit.catalog.sources.hosts_of_url import host_of

    facts = litellm_map.find_facts(host_of(provider), model)
    plain = facts is not None and facts.capabilities.get("reasoning") is False
    return _INPUT_TOKENS if plain else MAX_TOKENS


def _worst_case(host: HealthHost, provider: Provider, model: str, tokens: int) -> Decimal | None:
    """The maximum cost of one question, USD; None without a known price."""
    price = host.prices.prices_for(provider.name, model, datetime.now(UTC)).in_force
    if price is None:
        return Decimal(0) if provider.is_local else None
    return charge({"input": _INPUT_TOKENS, "output": tokens, "request": 1}, price).usd


def _blank(provider: Provider, at: datetime, kind: str, is_manual: bool) -> Row:
    return {
        "probe_id": str(uuid7()),
        "probed_at": at,
        "provider": provider.name,
        "kind": kind,
        "status": "ok",
        "is_manual": is_manual,
        "cost_usd": Decimal(0) if kind == "list" else None,
    }


def summarise(rows: list[Row]) -> Mapping[str, Any]:
    """The representative row of a probe: the failed one, else the last."""
    return next((row for row in rows if row["status"] == "error"), rows[-1])
