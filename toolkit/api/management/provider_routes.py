"""The provider API under `/api`: providers, their models, health and calls.

Every route is a plain function, run in a thread: the registry, the keys and the store block.
Keys come in and never go out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel

from toolkit.api.access import require_scope
from toolkit.api.bearer_tokens import BearerToken
from toolkit.api.management.hints import http_hint
from toolkit.api.management.key_routes import add_key_routes
from toolkit.api.management.request_bodies import (
    CapabilityProbe,
    Enabled,
    Export,
    HealthCheck,
    Import,
    ProviderCreate,
    ProviderTrial,
    ProviderUpdate,
)
from toolkit.catalog.parsing import read_moment
from toolkit.errors import InvalidInput
from toolkit.pricing.spend import SpendKey
from toolkit.providers.checks import ProbeResult
from toolkit.providers.provider import Provider
from toolkit.store.queries import CallFilter
from toolkit.store.queries.calls import call_summaries
from toolkit.store.queries.models import model_list

if TYPE_CHECKING:
    from toolkit.store.queries import Query as StoreQuery
    from toolkit.store.store import Store
    from toolkit.toolkit import Toolkit


class Page(BaseModel):
    """Some of many rows.

    Attributes:
        data: the rows from `offset` on, at most `limit`.
        total: how many there are.
    """

    data: list[dict[str, Any]]
    total: int
    limit: int
    offset: int


def page_of(rows: Sequence[dict[str, Any]], limit: int, offset: int) -> Page:
    """One page of rows that are all at hand."""
    return Page(
        data=list(rows[offset : offset + limit]), total=len(rows), limit=limit, offset=offset
    )


def page_rows(store: Store, query: StoreQuery, page: tuple[int, int]) -> Page:
    """One page of a query's rows."""
    limit, offset = page
    counted = store.rows(f"SELECT count(*) AS n FROM ({query.sql})", query.params)  # noqa: S608 - the toolkit's own SQL, values bound
    rows = store.rows(f"{query.sql} LIMIT {int(limit)} OFFSET {int(offset)}", query.params)
    return Page(data=rows, total=int(counted[0]["n"]), limit=limit, offset=offset)


# The routes that export and import providers, encrypted where keys are included.


def add_transfer_routes(router: APIRouter, toolkit: Toolkit) -> None:
    """Add `POST /api/providers/export` and `POST /api/providers/import`."""
    manage = Depends(require_scope("manage"))

    @router.post("/providers/export", tags=["providers"], summary="Export providers")
    def export_providers(body: Export | None = None, token: BearerToken = manage) -> dict[str, Any]:
        body = body or Export.model_validate({})
        transfer = toolkit.providers.transfer
        if body.passphrase is None:
            return {"document": transfer.write(body.names, style=body.style), "has_keys": False}
        if body.style == "toml":
            raise InvalidInput("an export with keys is JSON", hint="Leave `style` out.")
        document = transfer.write_with_keys(body.passphrase.get_secret_value(), body.names)
        return {"document": document, "has_keys": True}

    @router.post("/providers/import", tags=["providers"], summary="Import providers")
    def import_providers(body: Import, token: BearerToken = manage) -> dict[str, Any]:
        transfer = toolkit.providers.transfer
        passphrase = None if body.passphrase is None else body.passphrase.get_secret_value()
        plan = transfer.preview(
            body.document.encode(), on_conflict=body.on_conflict, passphrase=passphrase
        )
        if not body.dry_run:
            transfer.apply(plan, skip_refused=body.skip_refused, store=body.key_store)
        return {
            "saved": not body.dry_run,
            "providers": [
                {
                    "name": row.name,
                    "finding": row.finding,
                    "action": row.action,
                    "reason": row.reason,
                    "warning": row.warning,
                }
                for row in plan.rows
            ],
            "keys": len(plan.keys),
            "refused_keys": plan.refused_keys,
        }


Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Text = Annotated[str | None, Query(max_length=512)]
When = Annotated[
    str | None,
    Query(max_length=64, description="A day, a time, or how long ago: 2026-11-21, 6h, 30d."),
]


def build_management(toolkit: Toolkit) -> APIRouter:
    """The routes under `/api`."""
    router = APIRouter()
    _add_provider_routes(router, toolkit)
    _add_change_routes(router, toolkit)
    add_transfer_routes(router, toolkit)
    add_key_routes(router, toolkit)
    _add_model_routes(router, toolkit)
    _add_probe_route(router, toolkit)
    _add_reading_routes(router, toolkit)
    return router


class ProviderPage(Page):
    """A page of providers, with the entries that could not be read.

    Attributes:
        problems: `name`, `message` and `hint` of each entry that is not acceptable.
    """

    problems: list[dict[str, Any]]


def _add_provider_routes(router: APIRouter, toolkit: Toolkit) -> None:
    read, manage = Depends(require_scope("read")), Depends(require_scope("manage"))

    @router.get("/presets", tags=["providers"], summary="Built-in presets and where to get a key")
    def list_presets(token: BearerToken = read) -> dict[str, Any]:
        return {"data": [preset.as_dict() for preset in toolkit.providers.presets()]}

    @router.get("/providers", tags=["providers"], summary="Presets and custom providers")
    def list_providers(  # noqa: PLR0913, PLR0917 - one parameter per filter
        type: Text = None,
        place: Literal["cloud", "local"] | None = None,
        active: bool | None = None,
        search: Text = None,
        removed: bool = False,
        limit: Limit = 100,
        offset: Offset = 0,
        token: BearerToken = read,
    ) -> ProviderPage:
        found = toolkit.providers.list(
            type=type, place=place, active=active, search=search, removed=removed
        )
        problems = [
            {"name": name, "message": error.message, "hint": http_hint(error.hint)}
            for name, error in toolkit.providers.registry.problems().items()
        ]
        rows = [describe(toolkit, provider) for provider in found]
        return ProviderPage(**page_of(rows, limit, offset).model_dump(), problems=problems)

    @router.post("/providers", tags=["providers"], summary="Add a provider", status_code=201)
    def add_provider(body: ProviderCreate, token: BearerToken = manage) -> dict[str, Any]:
        tests, notes = list[ProbeResult](), list[str]()
        fields = {name: value for name, value in body.given().items() if value is not None}
        added = toolkit.providers.add(
            body.name,
            api_key=body.key,
            local=body.local,
            test=body.test,
            key_store=body.key_store,
            on_test=tests.append,
            on_note=notes.append,
            **fields,
        )
        return _saved(toolkit, added, tests, notes)

    @router.post("/providers/test", tags=["providers"], summary="Test without saving")
    def test_provider(body: ProviderTrial, token: BearerToken = manage) -> dict[str, Any]:
        values = body.model_dump(exclude_none=True, exclude={"name", "api_key", "call", "local"})
        model = values.pop("default_model", None)
        if body.local:
            values["local"] = True
        key = body.api_key.get_secret_value() if body.api_key else None
        tested = toolkit.providers.test(
            body.name, api_key=key, call=body.call, model=model, **values
        )
        return _described(tested)

    @router.post("/providers/discover", tags=["providers"], summary="Find and add local servers")
    def discover_providers(token: BearerToken = manage) -> dict[str, Any]:
        return {"data": [asdict(found) for found in toolkit.providers.discover()]}

    @router.post("/providers/sync-all", tags=["models"], summary="Sync the models of all providers")
    def sync_all(token: BearerToken = manage) -> dict[str, Any]:
        return {"data": [asdict(result) for result in toolkit.catalog.sync().results]}

    @router.get("/providers/{name}", tags=["providers"], summary="One provider")
    def show_provider(name: Name, token: BearerToken = read) -> dict[str, Any]:
        return _detail(toolkit, toolkit.providers.require(name))


def _add_change_routes(router: APIRouter, toolkit: Toolkit) -> None:
    manage = Depends(require_scope("manage"))

    @router.put("/providers/{name}", tags=["providers"], summary="Change a provider")
    def update_provider(
        name: Name, body: ProviderUpdate, token: BearerToken = manage
    ) -> dict[str, Any]:
        tests, notes = list[ProbeResult](), list[str]()
        if (changes := body.given()) or body.key:
            toolkit.providers.update(
                name,
                api_key=body.key,
                test=body.test,
                key_store=body.key_store,
                on_test=tests.append,
                on_note=notes.append,
                **changes,
            )
        if body.is_active is not None:
            (toolkit.providers.enable if body.is_active else toolkit.providers.disable)(name)
        if body.is_default is not None:
            toolkit.providers.require(name)
            toolkit.providers.set_default(name if body.is_default else None)
        return _saved(toolkit, toolkit.providers.require(name), tests, notes)

    @router.delete("/providers/{name}", tags=["providers"], summary="Remove it; it can be restored")
    def remove_provider(name: Name, token: BearerToken = manage) -> dict[str, Any]:
        return describe(toolkit, toolkit.providers.remove(name))

    @router.post("/providers/{name}/restore", tags=["providers"], summary="Undo a removal")
    def restore_provider(name: Name, token: BearerToken = manage) -> dict[str, Any]:
        return describe(toolkit, toolkit.providers.restore(name))

    @router.post("/providers/{name}/sync", tags=["models"], summary="Sync its models")
    def sync_provider(name: Name, token: BearerToken = manage) -> dict[str, Any]:
        return asdict(toolkit.catalog.sync([name]).results[0])


def _add_model_routes(router: APIRouter, toolkit: Toolkit) -> None:
    read, manage = Depends(require_scope("read")), Depends(require_scope("manage"))

    @router.get("/models", tags=["models"], summary="The catalog")
    def list_models(
        provider: Text = None,
        search: Text = None,
        enabled: bool | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
        token: BearerToken = read,
    ) -> Page:
        return _models(toolkit, provider, search, enabled, (limit, offset))

    @router.get("/providers/{name}/models", tags=["models"], summary="The models of one provider")
    def list_provider_models(
        name: Name,
        search: Text = None,
        enabled: bool | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
        token: BearerToken = read,
    ) -> Page:
        toolkit.providers.require(name)
        return _models(toolkit, name, search, enabled, (limit, offset))

    @router.put(
        "/providers/{name}/models/{model_id:path}/enable",
        tags=["models"],
        summary="Enable or disable a model",
    )
    def enable_model(
        name: Name,
        model_id: Annotated[str, Path(min_length=1, max_length=2000)],
        body: Enabled,
        token: BearerToken = manage,
    ) -> dict[str, Any]:
        model = f"{name}/{model_id}"
        (toolkit.catalog.enable if body.enabled else toolkit.catalog.disable)(model)
        return {"model": model, "is_enabled": body.enabled}


def _add_probe_route(router: APIRouter, toolkit: Toolkit) -> None:
    manage = Depends(require_scope("manage"))

    @router.post(
        "/providers/{name}/models/{model_id:path}/probe",
        tags=["models"],
        summary="Try what a model can do; sends requests only with `confirm`",
    )
    def probe_model(
        name: Name,
        model_id: Annotated[str, Path(min_length=1, max_length=2000)],
        body: CapabilityProbe,
        token: BearerToken = manage,
    ) -> dict[str, Any]:
        model = f"{name}/{model_id}"
        most = toolkit.catalog.estimate_probe(model, body.capabilities)
        found = toolkit.catalog.probe(model, body.capabilities) if body.confirm else ()
        rows = [{k: _exact(v) for k, v in asdict(verdict).items()} for verdict in found]
        return {"model": model, "most_usd": _exact(most), "sent": body.confirm, "data": rows}


def _add_reading_routes(router: APIRouter, toolkit: Toolkit) -> None:
    read, manage = Depends(require_scope("read")), Depends(require_scope("manage"))

    @router.get("/calls", tags=["calls"], summary="Recorded calls, newest first")
    def list_calls(  # noqa: PLR0913, PLR0917 - one parameter per filter
        provider: Text = None,
        model: Text = None,
        status: Literal["ok", "error", "cancelled"] | None = None,
        origin: Text = None,
        since: When = None,
        until: When = None,
        limit: Limit = 100,
        offset: Offset = 0,
        token: BearerToken = read,
    ) -> Page:
        which = CallFilter(
            provider=provider, model=model, status=status, origin=origin,
            since=read_moment(since), until=read_moment(until),
        )  # fmt: skip
        return page_rows(toolkit.store, call_summaries(which), (limit, offset))

    @router.get("/spend", tags=["calls"], summary="What calls have cost, and a forecast")
    def read_spend(
        by: Annotated[list[SpendKey] | None, Query()] = None,
        since: When = None,
        until: When = None,
        token: BearerToken = read,
    ) -> dict[str, Any]:
        frame = toolkit.spend(by or ("provider", "model"), since=since, until=until)
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        forecast = asdict(toolkit.forecast_spend())
        return {
            "data": [{name: _exact(value) for name, value in row.items()} for row in rows],
            "forecast": {name: _exact(value) for name, value in forecast.items()},
        }

    @router.get("/health", tags=["health"], summary="The state of every provider in use")
    def read_health(token: BearerToken = read) -> dict[str, Any]:
        return {"data": toolkit.health.status()}

    @router.post(
        "/health/check", tags=["health"], summary="Check providers now, with free listings only"
    )
    def check_health(
        body: HealthCheck | None = None, token: BearerToken = manage
    ) -> dict[str, Any]:
        rows = toolkit.health.check(body.name if body else None)
        return {"data": [{**row, "ok": row["status"] != "error"} for row in rows]}


def _exact(value: object) -> object:
    """An amount as text, so that no digit is lost; a day as an ISO date."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat()[:10] if isinstance(value, date) else value


def describe(toolkit: Toolkit, provider: Provider) -> dict[str, Any]:
    """A provider with the fingerprint and source of its active key, never the key.

    No key store is opened: one that is locked must not make the whole list fail.
    """
    active = toolkit.keys.active(provider)
    shown = None
    if active is not None:
        shown = {"fingerprint": active.fingerprint, "source": active.source, "name": active.name}
    return {**provider.as_dict(), "key": shown}


def _detail(toolkit: Toolkit, provider: Provider) -> dict[str, Any]:
    """A provider with what its last sync said and the ids of its models."""
    syncs = toolkit.catalog.syncs()
    last = syncs[syncs["provider"] == provider.name].drop(columns="provider")
    page = _models(toolkit, provider.name, None, None, (1000, 0))
    return {
        **describe(toolkit, provider),
        "sync": json.loads(last.to_json(orient="records", date_format="iso"))[0]
        if len(last)
        else None,
        "models": [row["model_id"] for row in page.data],
        "model_count": page.total,
    }


def _saved(
    toolkit: Toolkit, provider: Provider, tests: list[ProbeResult], notes: list[str]
) -> dict[str, Any]:
    """A saved provider with what its test said and what the caller should know."""
    tested = _described(tests[-1]) if tests else None
    return {**describe(toolkit, provider), "test": tested, "notes": notes}


def _described(result: ProbeResult) -> dict[str, Any]:
    """A test with hints that can be followed over HTTP."""
    found = result.as_dict()
    for check in found["checks"]:
        check["hint"] = http_hint(check["hint"]) or ""
    if found["error"]:
        found["error"]["hint"] = http_hint(found["error"].get("hint"))
    return found


def _models(
    toolkit: Toolkit,
    provider: str | None,
    search: str | None,
    enabled: bool | None,
    page: tuple[int, int],
) -> Page:
    return page_rows(toolkit.store, model_list(provider, search, enabled), page)
