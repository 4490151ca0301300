"""What is different between two rows of one model: new, gone, back, price, context, ..."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from toolkit.catalog.sources.sourced_values import Row, claim_value, read_claims

ChangeKind = Literal[
    "new", "gone", "back", "price", "context", "capability", "status", "enabled", "sync"
]  # fmt: skip
KINDS: Final = ("new", "gone", "back", "price", "context", "capability", "status")

_CONTEXT: Final = ("context_window", "max_output_tokens")
_STATUS: Final = ("status", "deprecation_date", "successor")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference; `old` and `new` are texts, None where there was or is nothing.

    Attributes:
        kind: what sort of difference.
        field: the column, price (`input`, `output@batch`) or capability that changed.
        source: whose word changed: `provider`, `litellm`, `genai-prices`, `override`.
    """

    kind: ChangeKind
    field: str | None = None
    old: str | None = None
    new: str | None = None
    source: str = "provider"


def find_changes(old: Row | None, new: Row) -> list[Change]:
    """The differences that people want to hear of, from one row of a model to the next.

    A model that was never there is one change, `new`; one that is gone or back reports only
    that and, when back, what else is different.
    """
    if old is None:
        return [Change(kind="new")]
    was_gone, is_gone = old.get("gone_at") is not None, new.get("gone_at") is not None
    if is_gone:
        return [] if was_gone else [Change(kind="gone", old=text_of(old.get("status")))]
    back = [Change(kind="back", old="gone", new=text_of(new.get("status")))] if was_gone else []
    return [*back, *_differences(old, new, told_status=was_gone)]


def _differences(old: Row, new: Row, *, told_status: bool) -> Iterator[Change]:
    before, after = read_claims(old), read_claims(new)
    yield from _price_changes(before, after)
    for column in _CONTEXT:
        fact = {"context_window": "context_window_tokens"}.get(column, column)
        yield from _column(old, new, column, "context", _source(before, after, fact))
    yield from _capability_changes(old, new, before, after)
    for column in _STATUS:
        if column == "status" and told_status:
            continue
        fact = {"deprecation_date": "retires_on"}.get(column, column)
        yield from _column(old, new, column, "status", _source(before, after, fact))


def _column(old: Row, new: Row, column: str, kind: ChangeKind, source: str) -> Iterator[Change]:
    before, after = text_of(old.get(column)), text_of(new.get(column))
    if before != after:
        yield Change(kind=kind, field=column, old=before, new=after, source=source)


Claims = Mapping[str, list[dict[str, Any]]]


def _price_changes(before: Claims, after: Claims) -> Iterator[Change]:
    names = [n for n in dict.fromkeys((*before, *after)) if n.startswith("price:")]
    for name in names:
        old = claim_value(name, before[name][0]) if before.get(name) else None
        new = claim_value(name, after[name][0]) if after.get(name) else None
        if old != new:
            yield Change(
                kind="price",
                field=name.removeprefix("price:"),
                old=text_of(old),
                new=text_of(new),
                source=_source(before, after, name),
            )


def _capability_changes(old: Row, new: Row, before: Claims, after: Claims) -> Iterator[Change]:
    had, has = set(old.get("capabilities") or ()), set(new.get("capabilities") or ())
    for name in sorted(had ^ has):
        yield Change(
            kind="capability",
            field=name,
            old="yes" if name in had else "no",
            new="yes" if name in has else "no",
            source=_source(before, after, f"capability:{name}"),
        )


def _source(before: Claims, after: Claims, name: str) -> str:
    claims = after.get(name) or before.get(name)
    return str(claims[0]["source"]) if claims else "provider"


def text_of(value: Any) -> str | None:
    """A value as the text that the table `model_changes` holds."""
    if value is None:
        return None
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def describe(change: Row) -> str:
    """A change in words, for people: `input $0.15 → $0.10 per million (−33 %)`."""
    kind, field, old, new = (change.get(n) for n in ("kind", "field", "old", "new"))
    if kind == "price":
        return f"{field} {_dollars(old)} → {_dollars(new)} per million{_percent(old, new)}"
    if kind == "context":
        return f"{str(field).replace('_', ' ')} {_count(old)} → {_count(new)}"
    if kind == "capability":
        return f"can {field}" if new == "yes" else f"no more {field}"
    if kind == "status":
        return f"{str(field).replace('_', ' ')} {old or '–'} → {new or '–'}"
    words = {"new": "new", "gone": "no longer listed", "back": "listed again"}
    return words.get(str(kind), str(kind))


def fold_first_listings(changes: Iterable[Row]) -> list[dict[str, Any]]:
    """Changes for people: the models of a provider's first listing become one line."""
    folded: list[dict[str, Any]] = []
    first: dict[str, dict[str, Any]] = {}
    for change in changes:
        if not change["is_first_listing"]:
            folded.append(dict(change))
            continue
        provider = change["provider"]
        if provider not in first:
            first[provider] = {**change, "model": f"{provider}/*", "count": 0}
            folded.append(first[provider])
        first[provider]["count"] += 1
        count = first[provider]["count"]
        first[provider]["words"] = f"{count:,} models listed for the first time"
    return folded


def _dollars(text: str | None) -> str:
    return "unpriced" if text is None else f"${text}"


def _count(text: str | None) -> str:
    return f"{int(text):,}" if text and text.isdigit() else "–"


def _percent(old: str | None, new: str | None) -> str:
    if not old or not new or Decimal(old) == 0:
        return ""
    share = (Decimal(new) / Decimal(old) - 1) * 100
    return f" ({share:+.0f} %)".replace("-", "−")
