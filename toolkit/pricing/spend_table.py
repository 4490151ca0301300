"""The DataFrame that `tk.spend()` returns: in a notebook it says what its sums leave out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

import pandas as pd

from toolkit.display import Card, Cell, Shown, money

_NOTES: Final = {
    "unpriced_calls": "{n:,} answered without a known price: they are missing in the sums.",
    "partial_calls": "{n:,} used something that has no price: it is missing in the sums.",
    "mismatched_calls": "{n:,} have a reported and a computed cost that differ by more than 1 %.",
}
_SHOWN: Final = frozenset((*_NOTES, "calls", "cost_usd", "input_tokens", "output_tokens"))


class SpendTable(Shown, pd.DataFrame):
    """What calls have cost, one row per group; what is selected from it is a plain DataFrame."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def _card(self) -> Card:
        keys = [str(name) for name in self.columns[: list(self.columns).index("calls")]]
        notes = [] if len(self) else ["No live call in this span."]
        facts: dict[str, Cell] = {}
        if "tag" in keys:
            # A call with two tags is in two rows: a sum over them would count it twice.
            notes.append("A call with several tags is in several rows.")
        elif len(self):
            facts = {
                "total": _amount(
                    sum(self["cost_usd"], Decimal(0)), int(self["unpriced_calls"].sum())
                ),
                "calls": int(self["calls"].sum()),
            }
            counts = {column: int(self[column].sum()) for column in _NOTES}
            notes += [_NOTES[column].format(n=n) for column, n in counts.items() if n]
        return Card(
            title=f"Spend by {' and '.join(keys)}",
            facts=facts,
            rows=[_row(keys, row) for row in self.to_dict("records")],
            notes=notes,
        )

    def _repr_html_(self) -> str:
        if not set(self.columns) >= _SHOWN:  # its columns were changed in place
            return self.to_html(max_rows=60)
        return super()._repr_html_()

    def _repr_markdown_(self) -> str:
        return super()._repr_markdown_() if set(self.columns) >= _SHOWN else repr(self)

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        if set(self.columns) >= _SHOWN:
            return super()._repr_mimebundle_(include, exclude)
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def _row(keys: list[str], row: dict[Any, Any]) -> dict[str, Cell]:
    return {
        **{key: None if row[key] is None else str(row[key]) for key in keys},
        "calls": int(row["calls"]),
        "cost": _amount(row["cost_usd"], row["unpriced_calls"]),
        "unpriced calls": int(row["unpriced_calls"]),
        "input tokens": int(row["input_tokens"]),
        "output tokens": int(row["output_tokens"]),
    }


def _amount(usd: Decimal, unpriced: int) -> str | None:
    """A sum in USD; nothing is known of a sum over calls of which none has a price."""
    return "unknown" if not usd and unpriced else money(usd)
