"""Dated price rows: one for each price that is not the one in force before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, Final

from uuid_utils import uuid7

from toolkit.catalog.sources.sourced_values import Row, claim_value, read_claims, read_price

_LISTING: Final = {"provider": "listing"}


def build_price_rows(before: Row | None, after: Row, at: datetime) -> list[dict[str, Any]]:
    """Rows of the table `prices` for every price in force in `after` but not in `before`."""
    old = {} if before is None else read_claims(before)
    rows = []
    for name, claims in read_claims(after).items():
        if not name.startswith("price:"):
            continue
        said = old.get(name)
        if said and claim_value(name, said[0]) == claim_value(name, claims[0]):
            continue
        rows.append(_row(after, name, claims[0], at))
    return rows


def find_input_price_id(rows: Iterable[Row]) -> str | None:
    """The id of the plain input price among new price rows, or None."""
    plain = ("input", "standard", 0)
    found = (r for r in rows if (r["token_class"], r["tier"], r["above_tokens"]) == plain)
    return next((str(row["price_id"]) for row in found), None)


def _row(model: Row, name: str, claim: Mapping[str, Any], at: datetime) -> dict[str, Any]:
    price = read_price(name, claim["value"])
    as_of = claim.get("as_of")
    source_date = date.fromisoformat(as_of) if isinstance(as_of, str) else None
    return {
        "price_id": str(uuid7()),
        "provider": model["provider"],
        "model_id": model["model_id"],
        "model": model["model"],
        "token_class": price.token_class,
        "usd_per_million": price.usd_per_million if price.currency == "USD" else None,
        "tier": price.tier,
        "above_tokens": price.above_tokens,
        "valid_from": source_date or at.date(),
        "valid_to": None,
        "source": _LISTING.get(claim["source"], claim["source"]),
        "source_date": source_date,
        "recorded_at": at,
        "note": None if price.currency == "USD" else f"priced in {price.currency}",
    }
