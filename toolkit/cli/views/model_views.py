"""How models are printed: rows of a DataFrame as plain values, and one model in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from toolkit.charts.numbers import UNKNOWN, UNPRICED, count, duration, price
from toolkit.cli.output import Column, print_table, show_facts

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = (
    "model", "display_name", "owner", "family", "kind", "status", "is_enabled", "context_window",
    "max_output_tokens", "input_modalities", "output_modalities", "capabilities",
    "deprecation_date", "successor", "first_seen_at", "last_seen_at", "gone_at", "sync_status",
    "sync_error", "flags", "description",
)  # fmt: skip


_DAYS = ("price_date", "deprecation_date", "retires_on", "valid_from", "price_since")


def text_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a DataFrame with None for what is unknown, and prices as one text beside."""
    days = [name for name in _DAYS if name in frame.columns]
    rows = []
    for raw in frame.astype(object).to_dict("records"):
        row = {str(name): _plain(value) for name, value in raw.items()}
        for name in days:
            row[name] = row[name].date() if isinstance(row[name], datetime) else row[name]
        if "input_usd_per_mtok" in row:
            row["prices"] = price(row["input_usd_per_mtok"], row["output_usd_per_mtok"])
        rows.append(row)
    return rows


def _plain(value: Any) -> Any:
    """pandas' many unknowns as None, its timestamps and arrays as Python's own."""
    import pandas as pd

    native = getattr(value, "tolist", None)
    if callable(native) and not isinstance(value, pd.Timestamp):
        value = native()
    if isinstance(value, list | tuple | dict):
        return value
    if value is None or value is pd.NaT or pd.isna(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def format_when(when: datetime | None) -> str:
    """`3 h ago` for the last day, then the day; `never`."""
    if when is None:
        return "never"
    age_s = (datetime.now(UTC) - when).total_seconds()
    if age_s < 60:
        return "just now"
    if age_s < 3600:
        return f"{age_s // 60:.0f} min ago"
    return f"{age_s // 3600:.0f} h ago" if age_s < 86_400 else f"{when:%Y-%m-%d}"


def sync_columns() -> tuple[Column, ...]:
    """Columns of a sync's result."""
    return (
        Column("provider", "Provider"),
        Column("status", "Status"),
        Column("models", "Models", count, is_number=True),
        Column("new", "New", count, is_number=True),
        Column("gone", "Gone", count, is_number=True),
        Column("back", "Back", count, is_number=True),
        Column("changed", "Changed", count, is_number=True),
        Column("network_ms", "Requested as", duration, is_number=True),
        Column("cause", "Why", lambda cause: str(cause or "")),
    )


def _usd(usd: Any) -> str:
    return UNPRICED if usd is None else f"{usd.normalize():f}"


_CLAIM_COLUMNS = (
    Column("fact", "Fact"),
    Column("value", "Used value"),
    Column("source", "By"),
    Column("others", "Other sources"),
    Column("conflict", "", lambda odd: "conflict" if odd else ""),
)
_PRICE_COLUMNS = (
    Column("valid_from", "From", lambda day: UNKNOWN if day is None else f"{day:%Y-%m-%d}"),
    Column("token_class", "Class"),
    Column("tier", "Tier"),
    Column("above_tokens", "Above tokens", lambda n: count(n) if n else "", is_number=True),
    Column(
        "usd_per_million",
        "USD",
        _usd,
        is_number=True,
    ),
    Column("source", "By"),
)


def show_model(found: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> None:
    """Print one model: its facts, who says what, its prices over time, changes, elsewhere."""
    known = {n: _words(found.get(n)) for n in _SHOWN if found.get(n) not in (None, [], "")}
    proof = found["proof"]
    known["price"] = price(found["input_usd_per_mtok"], found["output_usd_per_mtok"])
    known["called with your key"] = format_when(proof["called_at"])
    show_facts(known, as_json=False, title=str(found["model"]))
    print_table(_claim_rows(found), _CLAIM_COLUMNS, title="Facts by source")
    if history:
        print_table(history, _PRICE_COLUMNS, title="Prices over time, USD per million")
    if found["changes"]:
        columns = (Column("changed_at", "When", format_when), Column("words", "Changes"))
        print_table(found["changes"], columns, title="Changes")
    if found["elsewhere"]:
        rows = [
            {**r, "prices": price(r["input_usd_per_mtok"], r["output_usd_per_mtok"])}
            for r in found["elsewhere"]
        ]
        columns = (Column("model", "Model"), Column("prices", "$/M in / out", is_number=True))
        print_table(rows, columns, title="Other providers of this model")


def _claim_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "fact": name,
            "value": _words(said[0]["value"]),
            "source": said[0]["source"],
            "others": ", ".join(f"{c['source']}: {_words(c['value'])}" for c in said[1:]),
            "conflict": name in found["conflicts"],
        }
        for name, said in found["claims"].items()
    ]


def _words(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return count(value) if isinstance(value, int) else str(value)
