"""The routes of API keys: they come in and never go out; only fingerprints are returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query

from toolkit.api.access import require_scope
from toolkit.api.bearer_tokens import BearerToken
from toolkit.api.management.hints import http_hint
from toolkit.api.management.request_bodies import KeyRotate, KeySet
from toolkit.keys.sources import KeyLocation

if TYPE_CHECKING:
    from toolkit.keys.index import KeyEntry
    from toolkit.keys.service import KeyVerdict
    from toolkit.toolkit import Toolkit

Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
KeyName = Annotated[str, Query(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


def add_key_routes(router: APIRouter, toolkit: Toolkit) -> None:
    """Add the routes under `/api/keys` and `/api/providers/{name}/keys`."""
    read, manage = Depends(require_scope("read")), Depends(require_scope("manage"))

    @router.get("/keys", tags=["keys"], summary="Every key source of every provider")
    def list_all_keys(token: BearerToken = read) -> dict[str, Any]:
        return {"data": [_shown(place) for place in toolkit.keys.list()]}

    @router.get("/providers/{name}/keys", tags=["keys"], summary="The key sources of a provider")
    def list_keys(name: Name, token: BearerToken = read) -> dict[str, Any]:
        places = toolkit.keys.list(toolkit.providers.require(name))
        return {
            "has_key": any(place.in_force for place in places),
            "data": [_shown(place) for place in places],
        }

    @router.put("/providers/{name}/keys", tags=["keys"], summary="Check and store a key")
    def set_key(name: Name, body: KeySet, token: BearerToken = manage) -> dict[str, Any]:
        owner = toolkit.providers.require(name)
        entry = toolkit.keys.set(
            owner,
            body.value.get_secret_value(),
            name=body.name,
            store=body.store,
            check=body.check,
        )
        return {**asdict(entry), "now_used": _active(toolkit, name)}

    @router.post("/providers/{name}/keys/check", tags=["keys"], summary="Check its active key")
    def check_key(name: Name, token: BearerToken = manage) -> dict[str, Any]:
        return _verdict(toolkit.keys.check(name)[0])

    @router.post("/providers/{name}/keys/rotate", tags=["keys"], summary="Replace a key")
    def rotate_key(name: Name, body: KeyRotate, token: BearerToken = manage) -> dict[str, Any]:
        entry = toolkit.providers.rotate_key(
            name, body.value.get_secret_value(), key_name=body.name, call=body.call
        )
        return {**asdict(entry), "now_used": _active(toolkit, name)}

    @router.delete("/providers/{name}/keys", tags=["keys"], summary="Delete a stored key, or all")
    def remove_key(
        name: Name,
        key: KeyName = "default",
        store: Literal["keyring", "vault"] | None = None,
        all_keys: Annotated[bool, Query(alias="all")] = False,
        token: BearerToken = manage,
    ) -> dict[str, Any]:
        owner = toolkit.providers.require(name)
        gone = (
            toolkit.keys.clear(owner)
            if all_keys
            else toolkit.keys.remove(owner, name=key, store=store)
        )
        return {"removed": _removed(gone), "now_used": _active(toolkit, name)}


def _shown(place: KeyLocation) -> dict[str, Any]:
    """One key source; its fingerprint identifies a key without revealing it."""
    found = asdict(place)
    found["active"] = found.pop("in_force")
    found["overridden_by"] = found.pop("shadowed_by")
    return found


def _active(toolkit: Toolkit, name: str) -> dict[str, Any] | None:
    place = toolkit.keys.active(name)
    return None if place is None else _shown(place)


def _removed(gone: Sequence[KeyEntry]) -> list[dict[str, Any]]:
    return [
        {"name": entry.name, "store": entry.store, "fingerprint": entry.fingerprint}
        for entry in gone
    ]


def _verdict(verdict: KeyVerdict) -> dict[str, Any]:
    return {**asdict(verdict), "hint": http_hint(verdict.hint) or ""}
