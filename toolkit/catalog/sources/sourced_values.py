"""Claims as they are stored: every source's word on every fact, as JSON in the column `facts`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, cast

from toolkit.catalog.sources.facts import Facts, SourcedValue, SourceFacts
from toolkit.pricing.price import PRICE_CLASSES, Rate
from toolkit.records import PriceClass

Row = Mapping[str, Any]

_PRICE_NAME: Final = re.compile(
    r"price:(?P<token_class>\w+)(?:@(?P<tier>[\w-]+))?(?:>(?P<above>\d+))?"
)


def write_facts(facts: Facts, sources: tuple[SourceFacts, ...]) -> dict[str, Any]:
    """Claims, conflicts and sources as JSON-ready values (`read_claims` reads them back)."""
    return {
        "claims": {
            name: [
                {"source": c.source, "value": plain_value(c.value), "as_of": plain_value(c.as_of)}
                for c in said
            ]
            for name, said in facts.claims.items()
        },
        "conflicts": list(facts.conflicts),
        "sources": {s.source: {"key": s.key, "edition": s.edition} for s in sources},
    }


def read_claims(row: Row) -> dict[str, list[dict[str, Any]]]:
    """The claims in a stored row, by name of fact; the first one is in force."""
    facts = row.get("facts")
    if isinstance(facts, str):
        facts = json.loads(facts)
    claims = facts.get("claims") if isinstance(facts, Mapping) else None
    return dict(claims) if isinstance(claims, Mapping) else {}


def read_override(row: Row) -> SourceFacts | None:
    """The user's own words in a stored row, to be carried into the next one."""
    said = {
        name: claim
        for name, claims in read_claims(row).items()
        for claim in claims
        if claim["source"] == "override"
    }
    return override_facts(said) if said else None


def read_probe(row: Row) -> SourceFacts | None:
    """Return what real requests have shown of a model, to be carried into its next row."""
    said = {
        name.removeprefix("capability:"): claim
        for name, claims in read_claims(row).items()
        for claim in claims
        if claim["source"] == "probe"
    }
    if not said:
        return None
    return SourceFacts(
        source="probe",
        as_of=date.fromisoformat(max(claim["as_of"] for claim in said.values())),
        capabilities={name: bool(claim["value"]) for name, claim in said.items()},
    )


def override_facts(said: Mapping[str, Mapping[str, Any]]) -> SourceFacts:
    """A source from stored override claims (`{"value": ..., "as_of": ISO day}` by fact)."""
    values = {name: claim["value"] for name, claim in said.items()}
    days = [claim["as_of"] for claim in said.values() if claim.get("as_of")]
    return SourceFacts(
        source="override",
        as_of=date.fromisoformat(max(days)) if days else None,
        context_window_tokens=values.get("context_window_tokens"),
        max_output_tokens=values.get("max_output_tokens"),
        capabilities={
            name.removeprefix("capability:"): bool(value)
            for name, value in values.items()
            if name.startswith("capability:")
        },
        prices=tuple(
            read_price(name, value) for name, value in values.items() if name.startswith("price:")
        ),
        retires_on=_day(values.get("retires_on")),
        successor=values.get("successor"),
    )


def read_price(name: str, value: Any) -> Rate:
    """A price from its name (`price:output@batch>200000`) and its written value (`2.5`, `2 CNY`).

    Raises:
        ValueError: not the name of a price, or not an amount.
    """
    match = _PRICE_NAME.fullmatch(name)
    if match is None or match["token_class"] not in PRICE_CLASSES:
        raise ValueError(f"{name!r} is not the name of a price")
    amount, _, currency = str(value).partition(" ")
    try:
        per_million = Decimal(amount)
    except InvalidOperation:
        raise ValueError(f"{value!r} is not an amount") from None
    return Rate(
        token_class=cast("PriceClass", match["token_class"]),
        usd_per_million=per_million,
        tier=match["tier"] or "standard",
        above_tokens=int(match["above"] or 0),
        currency=currency or "USD",
    )


def _day(value: Any) -> date | None:
    return date.fromisoformat(value) if isinstance(value, str) else value


def claim_value(name: str, claim: SourcedValue | Mapping[str, Any]) -> Any:
    """A claim's value as it was before it was written: an amount in USD is `Decimal` again."""
    value = claim.value if isinstance(claim, SourcedValue) else claim["value"]
    if name.startswith("price:") and " " not in str(value):
        return Decimal(str(value))
    return value


def plain_value(value: Any) -> Any:
    """A fact's value in JSON's own types: money and days as text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, date | datetime):
        return value.isoformat()
    return list(value) if isinstance(value, tuple) else value
