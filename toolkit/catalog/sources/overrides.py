"""The user's own word on a model: dated, in front of every other source, kept through syncs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from toolkit.catalog.listings.listed_model import CAPABILITIES
from toolkit.catalog.model_row import PRICE_COLUMNS
from toolkit.catalog.sources.sourced_values import (
    Row,
    claim_value,
    plain_value,
    read_claims,
    read_price,
)
from toolkit.errors import InvalidInput
from toolkit.pricing.price import PRICE_CLASSES

_CODE_LENGTH: Final = 3  # of a currency: ISO 4217
_COLUMNS: Final[Mapping[str, str]] = {
    **PRICE_COLUMNS,
    "context_window_tokens": "context_window",
    "max_output_tokens": "max_output_tokens",
    "retires_on": "deprecation_date",
    "successor": "successor",
}


def override_row(row: Row, values: Mapping[str, Any], on: date) -> dict[str, Any]:
    """The row with the user's words in force.

    Args:
        row: as it is stored, JSON columns read.
        values: by name of fact (`price:input`, `context_window_tokens`, `capability:tools`,
            `retires_on`, `successor`); None takes the user's word back.
        on: the day from which it holds.

    Raises:
        InvalidInput: no such fact, or a value that it cannot have.
    """
    claims = {name: list(said) for name, said in read_claims(row).items()}
    for name, value in values.items():
        others = [claim for claim in claims.get(name, []) if claim["source"] != "override"]
        own = {"source": "override", "value": _checked(name, value), "as_of": on.isoformat()}
        claims[name] = others if value is None else [own, *others]
        if not claims[name]:
            del claims[name]
    facts = dict(row["facts"] or {}, claims=claims, conflicts=_conflicts(claims))
    edited = {**row, "facts": facts}
    for name in values:
        if name in _COLUMNS:
            value = _value(claims, name)
            is_foreign = name.startswith("price:") and isinstance(value, str)
            edited[_COLUMNS[name]] = None if is_foreign else value
    has = {name for name in CAPABILITIES if _value(claims, f"capability:{name}")}
    edited["capabilities"] = [name for name in CAPABILITIES if name in has]
    if first := claims.get("price:input") or claims.get("price:output"):
        edited["price_source"], edited["price_date"] = first[0]["source"], first[0]["as_of"]
    return edited


def probe_row(row: Row, shown: Mapping[str, bool], on: date) -> dict[str, Any]:
    """Return the row with what real requests have shown, behind the user's own word.

    Args:
        row: as it is stored, JSON columns read.
        shown: by capability.
        on: the day of the requests.
    """
    claims = {name: list(said) for name, said in read_claims(row).items()}
    for capability, value in shown.items():
        said = claims.get(f"capability:{capability}", [])
        own = {"source": "probe", "value": value, "as_of": on.isoformat()}
        claims[f"capability:{capability}"] = [
            *(claim for claim in said if claim["source"] == "override"),
            own,
            *(claim for claim in said if claim["source"] not in ("override", "probe")),
        ]
    facts = dict(row["facts"] or {}, claims=claims, conflicts=_conflicts(claims))
    has = [name for name in CAPABILITIES if _value(claims, f"capability:{name}")]
    return {**row, "facts": facts, "capabilities": has}


def _value(claims: Mapping[str, list[dict[str, Any]]], name: str) -> Any:
    return claim_value(name, claims[name][0]) if claims.get(name) else None


def _conflicts(claims: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    return [
        name
        for name, said in claims.items()
        if any(claim_value(name, claim) != claim_value(name, said[0]) for claim in said)
    ]


def _checked(name: str, value: Any) -> Any:
    if name.startswith("price:"):
        return _checked_price(name, value)
    if name.startswith("capability:") and name.partition(":")[2] in CAPABILITIES:
        return None if value is None else bool(value)
    if name in ("context_window_tokens", "max_output_tokens"):
        if value is not None and (not isinstance(value, int) or value <= 0):
            raise InvalidInput(f"{name} must be a whole number above 0, not {value!r}")
        return value
    if name in ("retires_on", "successor"):
        return plain_value(value)
    known = ", ".join((*_COLUMNS, *(f"capability:{c}" for c in CAPABILITIES)))
    raise InvalidInput(f"unknown model property {name!r}", hint=f"Known properties: {known}.")


def _checked_price(name: str, value: Any) -> str | None:
    """The price as it is stored: a plain number is USD, another currency is kept as stated."""
    written = "0" if value is None else str(value).strip().removeprefix("$").removesuffix(" USD")
    try:
        price = read_price(name, written)
    except ValueError:
        classes = ", ".join(PRICE_CLASSES)
        raise InvalidInput(
            f"{name} is set to {value!r}, which is not a price",
            hint="Use price:CLASS, price:CLASS@TIER or price:CLASS>TOKENS with USD per million "
            f"(for `request` and `web_search`: per million requests). Classes: {classes}.",
        ) from None
    usd, currency = price.usd_per_million, price.currency
    if not usd.is_finite() or usd < 0 or not (currency.isalpha() and len(currency) == _CODE_LENGTH):
        raise InvalidInput(
            f"{name} is set to {value!r}, which is not a price",
            hint="Use USD per million tokens, or an amount and a currency: `2.50 EUR`.",
        )
    if value is None:
        return None
    return str(plain_value(usd)) + ("" if currency == "USD" else f" {currency.upper()}")
