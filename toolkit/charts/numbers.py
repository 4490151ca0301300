"""Numbers as people read them: durations, rates, money, counts and shares.

Unknown is a dash, never a zero; money has three significant digits; an estimate carries `~`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

UNKNOWN = "–"
UNPRICED = "unpriced"
MIN_FOR_SHARE = 5
_WITH_CENTS = Decimal("99.995")

Unit = Literal["ms", "s", "min"]


def duration(ms: float | None, unit: Unit | None = None) -> str:
    """`8.4 ms`, `312 ms`, `1.84 s`, `2 min 10 s`; `unit` forces one, as a column needs."""
    if not _is_number(ms):
        return UNKNOWN
    assert ms is not None
    unit = unit or duration_unit([ms])
    if unit == "ms":
        return f"{ms:,.1f} ms" if abs(ms) < 9.95 else f"{ms:,.0f} ms"
    if unit == "s":
        return f"{_three_digits(ms / 1000)} s"
    whole_s = round(ms / 1000)
    if whole_s >= 3600:
        return f"{whole_s // 3600:,} h {whole_s % 3600 // 60:02d} min"
    return f"{whole_s // 60} min {whole_s % 60} s"


def duration_unit(values_ms: Iterable[float | None]) -> Unit:
    """The unit a column of durations shares: that of its largest value."""
    largest = max((abs(v) for v in values_ms if v is not None and _is_number(v)), default=0.0)
    if largest < 999.5:
        return "ms"
    # 59.95 s would be written "60.0 s": from there on it is a minute.
    return "s" if largest < 59_950 else "min"


def rate(per_s: float | None, of: str = "tok", *, digits: int = 1) -> str:
    """`112.4 tok/s`."""
    if per_s is None or not _is_number(per_s):
        return UNKNOWN
    return f"{per_s:,.{digits}f} {of}/s"


def money(usd: Decimal | float | None) -> str:
    """`$0.000412`, `$1.84`, `$15.90`, `$214`; unknown is `unpriced`, never `$0`.

    Three significant digits, but cents from one dollar to a hundred, and none from there on.
    """
    if usd is None or not _is_number(usd):
        return UNPRICED
    amount = Decimal(str(usd))
    if amount == 0:
        return "$0"
    sign = "-" if amount < 0 else ""
    amount = abs(amount)
    if 1 <= amount < _WITH_CENTS:
        return f"{sign}${amount.quantize(Decimal('0.01'), rounding=ROUND_HALF_EVEN):,f}"
    step = Decimal(1).scaleb(amount.adjusted() - 2)
    rounded = amount.quantize(step, rounding=ROUND_HALF_EVEN) if step < 1 else amount
    if rounded.adjusted() > amount.adjusted():  # 0.9996 became 1.000: one digit less
        rounded = rounded.quantize(min(step.scaleb(1), Decimal(1)))
    return f"{sign}${rounded:,.0f}" if step >= 1 else f"{sign}${rounded:,f}"


def price(usd_in: Decimal | float | None, usd_out: Decimal | float | None) -> str:
    """`$0.15 / $0.60`, input and output per million tokens."""
    if usd_in is None and usd_out is None:
        return UNPRICED
    return " / ".join(_price(usd) for usd in (usd_in, usd_out))


def count(n: float | None) -> str:
    """`12,345`; from a million on `1.24 M`."""
    if n is None or not _is_number(n):
        return UNKNOWN
    return f"{n:,.0f}" if abs(n) < 1_000_000 else f"{n / 1_000_000:,.2f} M"


def tokens(n: float | None, *, is_estimate: bool = False) -> str:
    """`412 tokens`, `~412 tokens` when estimated."""
    if n is None or not _is_number(n):
        return f"{UNKNOWN} tokens"
    return f"{'~' if is_estimate else ''}{count(n)} token{'' if n == 1 else 's'}"


def share(part: float, whole: float) -> str:
    """`99.2 % of 1,204`; below 5 the share says nothing: `not enough data (n = 4)`.

    A share that is not whole never reads 100 %, one that is not nil never reads 0 %.
    """
    if not (_is_number(part) and _is_number(whole)) or whole < MIN_FOR_SHARE:
        return f"not enough data (n = {count(whole) if _is_number(whole) else 0})"
    percent = f"{100 * part / whole:.1f} %"
    if part < whole and percent == "100.0 %":
        percent = ">99.9 %"
    elif part > 0 and percent == "0.0 %":
        percent = "<0.1 %"
    return f"{percent} of {count(whole)}"


def _price(usd: Decimal | float | None) -> str:
    if usd is None:
        return UNKNOWN
    amount = Decimal(str(usd)).normalize()
    cents = amount.quantize(Decimal("0.01"))
    return f"${cents:,f}" if cents == amount else f"${amount:,f}"


def _three_digits(value: float) -> str:
    for digits, limit in ((2, 9.995), (1, 99.95)):
        if abs(value) < limit:
            return f"{value:,.{digits}f}"
    return f"{value:,.0f}"


def _is_number(value: Decimal | float | None) -> bool:
    return value is not None and math.isfinite(value)
