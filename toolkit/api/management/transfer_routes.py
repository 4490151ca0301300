"""The routes that export and import providers, encrypted where keys are included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends

from toolkit.api.access import require_scope
from toolkit.api.bearer_tokens import BearerToken
from toolkit.api.management.request_bodies import Export, Import
from toolkit.errors import InvalidInput

if TYPE_CHECKING:
    from toolkit.toolkit import Toolkit


def add_transfer_routes(router: APIRouter, toolkit: Toolkit) -> None:
    """Add `POST /api/providers/export` and `POST /api/providers/import`."""
    manage = Depends(require_scope("manage"))

    @router.post("/providers/export", tags=["providers"], summary="Export providers")
    def export_providers(body: Export, token: BearerToken = manage) -> dict[str, Any]:
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
